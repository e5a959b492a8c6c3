"""Exports for other models: speed from disk to disk, memory, kills, and whether a cell's export is its own.

``python -m bench.exports [PART...] [--cells 100000] [--rounds 3] [--million 1000000]``, with the parts
``speed``, ``memory``, ``kills`` and ``stable``; results are appended to ``bench/results/exports.jsonl``.
Peers that can't share an environment with lexicell are run from folders that ``pip install --target`` made
(``--datasets``, ``--slaf``, ``--cell2sentence``), and left out, with the reason, where there is none.
Geneformer's dictionaries are the published ones where they are (`bench.real_data`), else made up.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import blake3
from rich.console import Console
from rich.table import Table

import lexicell
from bench import cells, exports_stable, machine
from bench.exports_given import Given, dictionaries, of_columns
from bench.exports_speed import speed
from bench.process import lexicell as command
from bench.process import run_process
from bench.real_data import data_folder
from lexicell.embedding.events import ignore

__all__ = ["main"]

PARTS = ("speed", "memory", "kills", "stable")
_REAL = {"pbmc3k": "pbmc3k_raw_labelled.h5ad", "baron": "baron_h1_pancreas.h5ad"}


def memory(given: Given) -> dict[str, Any]:
    """Peak memory of a process that exports more and more cells."""
    path, _, _ = dictionaries(given.folder, given.seed)
    rows = []
    for n in given.memory:
        packed = _packed(given, n)
        line = _command(packed, given.folder / "out", path)
        done = run_process(line)
        rows.append({"cells": n, "peak_mb": round(done.peak_mb), "seconds": round(done.taken.seconds, 2)})
        shutil.rmtree(given.folder / "out")
        if n != given.million:
            shutil.rmtree(packed)
    return {"rows": rows}


def _packed(given: Given, n: int) -> Path:
    packed, plain = given.folder / f"{n}.zarr", given.folder / "plain.h5ad"
    if not packed.exists():
        cells.write_h5ad(plain, n, given.seed, None, depth=cells.SHALLOW)
        lexicell.pack(plain, packed, listener=ignore)
        plain.unlink()
    return packed


def _command(packed: Path, out: Path, dictionary: Path, *more: str) -> list[str]:
    given = ("--tokens", str(dictionary), "--medians", str(dictionary))
    return command("export", "geneformer", str(packed), str(out), *given, *more)


def kills(given: Given) -> dict[str, Any]:
    """Kill an export at random instants, resume it, and compare its files with those of a quiet run."""
    path, _, _ = dictionaries(given.folder, given.seed)
    packed, whole, broken = _packed(given, given.million), given.folder / "whole", given.folder / "broken"
    took = run_process(_command(packed, whole, path)).taken.seconds
    rng = random.Random(given.seed)  # noqa: S311 -- instants, no secrets
    killed: list[float] = []
    line = _command(packed, broken, path, "--resume")
    while len(killed) < given.kills:
        instant = rng.uniform(0.3, 0.7) * took
        running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            running.wait(instant)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            killed.append(round(instant, 2))
            continue
        if broken.exists():  # it was done before
            shutil.rmtree(broken)
    run_process(line)
    one, other = _files(whole), _files(broken)
    same = one == other
    for folder in (whole, broken, packed):
        shutil.rmtree(folder)
    return {
        "cells": given.million,
        "killed_after": killed,
        "seconds": round(took, 2),
        "files": len(one),
        "same": same,
    }


def _files(folder: Path) -> dict[str, str]:
    """Hash of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = blake3.blake3()
                while part := file.read(1 << 24):
                    digest.update(part)
            found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found


def stable(given: Given) -> dict[str, Any]:
    """Share of cells whose export stays the same, by data set."""
    path, tokens, medians = dictionaries(given.folder, given.seed)
    rows = []

    def sentences(data: ad.AnnData, name: str) -> dict[str, str]:
        into, out = given.folder / f"{name}.h5ad", given.folder / "sentences.json"
        # Names that differ only by case are merged there, and then looked up by position.
        own = ~data.var_names.str.upper().duplicated(keep=False)
        ad.AnnData(data.X[:, own], obs=data.obs[[]], var=data.var.loc[own, []]).write_h5ad(into)
        given.elsewhere("cell2sentence", "sentences", str(into), str(out))
        found: dict[str, str] = json.loads(out.read_text())
        return found

    sets = {name: data_folder() / "expr" / file for name, file in _REAL.items()}
    there = {name: ad.read_h5ad(file) for name, file in sets.items() if file.is_file()}
    if not there:
        x = cells.csr(min(given.n, 300), given.seed, depth=cells.SHALLOW)
        there["synthetic"] = ad.AnnData(x)
        there["synthetic"].var_names = cells.panel().names.astype(object)
        there["synthetic"].obs_names = [f"cell{i}" for i in range(x.shape[0])]
    for name, data in there.items():
        data.var_names_make_unique()
        token, median, names = of_columns(data, tokens, medians)
        of = {column: float(m) for column, t, m in zip(names, token, median, strict=True) if t >= 0}
        missing = given.missing("cell2sentence")
        made = exports_stable.stable(data, path, given.folder, of, missing or sentences, given.seed)
        rows += [{"data": name, "cells": data.n_obs} | row for row in made]
    return {"rows": rows}


def _show(part: str, result: Mapping[str, Any]) -> None:
    """Print one part as a table."""
    table, console = Table(title=f"exports: {part}", title_justify="left"), Console(width=150)
    if part == "speed":
        lines = [
            [
                one["scenario"]["group"],
                one["label"],
                f"{one['rate']:,.0f}" if one["rate"] else one["empty"],
                f"{one['rate'] * one['facts'].get('tokens_per_cell', 0) / 1e6:,.2f}" if one["rate"] else "",
                f"{one['ratio']:.3g}" if one["ratio"] else "",
            ]
            for one in result["records"]
        ]  # fmt: skip
        heads = ["group", "who", "cells/s", "M tokens/s", "time, first = 1"]
    elif part == "stable":
        lines = [
            [row["data"], row["whose"], row["what"], row["ran"], *map(_percent, _shares(row))]
            for row in result["rows"]
        ]
        heads = ["data", "whose", "what", "ran", *exports_stable.CHANGES]
    else:
        rows = result.get("rows", [result])
        heads, lines = list(rows[0]), [list(map(str, row.values())) for row in rows]
    for head in heads:
        table.add_column(head)
    for line in lines:
        table.add_row(*line)
    console.print(table)


def _shares(row: Mapping[str, Any]) -> list[float | None]:
    return [(row["share"] or {}).get(change) for change in exports_stable.CHANGES]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and append."""
    parser = argparse.ArgumentParser(prog="python -m bench.exports", description=main.__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named"
    )
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3, help="that count, after one that does not")
    parser.add_argument(
        "--memory", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="CELLS"
    )
    parser.add_argument("--million", type=int, default=1_000_000, help="cells of the export that is killed")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    for package in ("datasets", "slaf", "cell2sentence"):
        parser.add_argument(f"--{package}", type=Path, metavar="FOLDER", help=f"that has {package}")
    parser.add_argument("--work", type=Path, help="folder for the files (default: a temporary one)")
    parser.add_argument(
        "--json", type=Path, default=machine.RESULTS / "exports.jsonl", help="JSON Lines, appended"
    )
    asked = parser.parse_args(argv)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="lexicell-exports-", dir=asked.work) as folder:
        given = Given(
            Path(folder), asked.cells, asked.rounds, asked.memory, asked.million, asked.kills, asked.seed,
            {name: getattr(asked, name) for name in ("datasets", "slaf", "cell2sentence")},
        )  # fmt: skip
        for part in asked.parts or PARTS:
            began = time.perf_counter()
            result = {"speed": speed, "memory": memory, "kills": kills, "stable": stable}[part](given)
            took = {"took": round(time.perf_counter() - began, 1)}
            machine.append({"part": part, "machine": machine.fingerprint(), **took, **result}, asked.json)
            _show(part, result)
            wrong += part == "kills" and not result["same"]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
