"""Exports for other models: speed from disk to disk, memory, kills, and whether a cell's export is its own.

``python -m bench.exports [PART...] [--cells 100000] [--rounds 3] [--million 1000000]``, with the parts
``speed``, ``memory``, ``kills`` and ``stable``; results are appended to ``bench/results/exports.jsonl``. Peers
that can't share an environment with lexicell are run from folders that ``pip install --target`` made
(``--datasets``, ``--slaf``, ``--cell2sentence``), and left out, with the reason, where there is none. Geneformer's
dictionaries are the published ones where they are (`bench.real_data`), else made up.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import anndata as ad
import blake3
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import lexicell
from bench import cells, exports_stable, machine, record
from bench.measure import Case, Taken, measure
from bench.peers import in_other_places
from bench.peers.ranked_lists import loop
from bench.real_data import data_folder
from bench.scenario import Scenario
from bench.suites._process import lexicell as command
from bench.suites._process import run_process
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.events import ignore
from lexicell.embedding.inputs import open_data
from lexicell.exports.ensembl import ensembl_ids
from lexicell.lexicon import Lexicon

__all__ = ["main"]

PARTS = ("speed", "memory", "kills", "stable")
#: Depths of synthetic cells: as PBMC3k's, and as today's.
DEPTHS = {"pbmc3k-like": cells.SHALLOW, "deep": 1.0}
#: Of these, where SLAF is measured, which takes minutes whatever there is to do.
SLAF_AT = ("pbmc3k-like",)
#: Cells of peers that take a millisecond for each.
_FEW = 10_000
_REAL = {"pbmc3k": "pbmc3k_raw_labelled.h5ad", "baron": "baron_h1_pancreas.h5ad"}


@dataclass(frozen=True)
class Given:
    """What was asked for; see the module's text."""

    folder: Path
    n: int
    rounds: int
    memory: Sequence[int]
    million: int
    kills: int
    seed: int
    places: Mapping[str, Path | None]

    def elsewhere(self, package: str, *words: str) -> dict[str, Any]:
        """Run a peer by a Python that has its folder on the path."""
        place = self.places[package]
        path = os.pathsep.join([str(place), *filter(None, sys.path)])
        done = subprocess.run(  # noqa: S603
            [sys.executable, in_other_places.__file__, *words],
            env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return said

    def missing(self, package: str) -> str:
        """Why a peer can't run, or nothing."""
        place = self.places[package]
        return "" if place and place.is_dir() else f"no folder with {package} was given"


def dictionaries(folder: Path, seed: int) -> tuple[Path, dict[str, int], dict[str, float]]:
    """Tokens and medians: the published ones, or as many made up for the lexicon's ids."""
    path = folder / "dictionaries.json"
    real = data_folder() / "geneformer/geneformer_gc30M.json.gz"
    if real.is_file():
        both = json.loads(gzip.decompress(real.read_bytes()))
    else:
        column = Lexicon.open("human-go-minilm").genes.column("ensembl_ids").to_pylist()
        ids = sorted({ids[0] for ids in column if ids})
        drawn = np.random.default_rng(seed).lognormal(1, 1, len(ids)).tolist()
        both = {"tokens": {one: i + 2 for i, one in enumerate(ids)}, "medians": dict(zip(ids, drawn, strict=True))}
    path.write_text(json.dumps(both))
    return path, both["tokens"], both["medians"]


def _of_columns(
    path: str | ad.AnnData, tokens: Mapping[str, int], medians: Mapping[str, float]
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    """Token, median and name of each column; of columns that are one gene the first alone."""
    with open_data(path, None, None, use_raw=False, follow_links=False) as source:
        ids = ensembl_ids(align_cells(source, AlignOptions(min_coverage=None), ignore), tokens).ids.tolist()
        names = source.var.index.astype(str).tolist()
    seen: set[str] = set()
    token, median = np.full(len(ids), -1), np.ones(len(ids))
    for i, one in enumerate(ids):
        if one in tokens and one in medians and one not in seen:
            seen.add(one)
            token[i], median[i] = tokens[one], medians[one]
    return token, median, names


def speed(given: Given) -> dict[str, Any]:
    """Cells and tokens a second, in turn, each held against ours."""
    path, tokens, medians = dictionaries(given.folder, given.seed)
    stamp, made = record.Stamp.now(), []
    for depth, scale in DEPTHS.items():
        plain, packed = given.folder / f"{depth}.h5ad", given.folder / f"{depth}.zarr"
        cells.write_h5ad(plain, given.n, given.seed, None, depth=scale)
        lexicell.pack(plain, packed, overwrite=True, listener=ignore)
        token, median, names = _of_columns(str(plain), tokens, medians)
        genes = given.folder / "genes.npz"
        np.savez(genes, token=token, median=median)
        for name, options, k in (
            ("geneformer", {"tokens": str(path), "medians": str(path)}, 2048),
            ("cell-sentence", {"top": 200}, 200),
        ):
            cases = _cases(given, depth, name, options, k, (plain, packed, genes), (token, median, names))
            load = os.getloadavg()[0]
            made += record.make(measure(cases, given.rounds), stamp, load)
        for one in (plain, packed, given.folder / f"{depth}.slaf"):
            shutil.rmtree(one) if one.is_dir() else one.unlink(missing_ok=True)
    return {"records": made}


def _cases(
    given: Given,
    depth: str,
    name: str,
    options: Mapping[str, Any],
    k: int,
    paths: tuple[Path, Path, Path],
    of_columns: tuple[NDArray[np.int64], NDArray[np.float64], list[str]],
) -> list[Case]:
    plain, packed, genes = paths
    token, median, names = of_columns
    by = median if name == "geneformer" else None
    out, halves = given.folder / "out", [given.folder / f"half-{i}.arrow" for i in range(2)]
    counted: dict[str, float] = {}

    def ours(source: Path) -> None:
        lexicell.export(name, source, out, listener=ignore, **options)

    def one() -> None:
        counted["loop"] = loop(plain, halves[0], k, token, by, names) / given.n

    def two() -> None:
        middle = given.n // 2
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            parts = [(0, middle), (middle, given.n)]
            again = partial(loop, plain, k=k, token=token, median=by, words=names)
            list(pool.map(_half, [again] * 2, halves, parts))

    @cache
    def slaf() -> Taken:
        return elsewhere("slaf", "slaf", str(plain), str(given.folder / f"{depth}.slaf"))

    def elsewhere(package: str, *words: str) -> Taken:
        said = given.elsewhere(package, *words)
        counted[package] = said["tokens"] / said["n"]
        return Taken(said["seconds"] * few / said["n"] if package == "datasets" else said["seconds"], 0.0)

    def case(what: str, label: str, n: int, run: Callable[[], object], fairness: str = "", empty: str = "") -> Case:
        row = Scenario(
            "exports", f"{name}-{depth}", what, "synthetic", str(n), str(k), "-", "f32", "-",
            "packed" if what == "lexicell" else "h5ad-plain", "cpu", "all", "warm",
        )  # fmt: skip
        package = "datasets" if what == "datasets" else "slaf" if what == "slaf" else "loop"
        return Case(
            row, label, n, run=run, peer=not what.startswith("lexicell"), fairness=fairness, empty=empty,
            before=lambda: shutil.rmtree(out, ignore_errors=True),
            facts=lambda: {"tokens_per_cell": round(counted.get(package, counted.get("loop", 0.0)), 1)},
        )  # fmt: skip

    few = min(_FEW, given.n)
    found = [
        case("lexicell", "lexicell, packed", given.n, lambda: ours(packed)),
        case("lexicell-h5ad", "lexicell, the peers' h5ad", given.n, lambda: ours(plain)),
        case(
            "loop", "NumPy, cell by cell", given.n, one,
            "One process; knows the columns' tokens; no checks, hashes or fsync; equal scores in any order.",
        ),
        case("loop-2", "NumPy, cell by cell, two processes", given.n, two, "The same; starts them each time."),
    ]  # fmt: skip
    if name == "geneformer":
        words = ("map", str(plain), str(genes), str(out), str(few))
        found += [
            case(
                "datasets", "datasets.map, two processes", few, lambda: elsewhere("datasets", *words),
                "Cells become a data set first, as Geneformer's own tokenizer does; then one function a cell.",
                given.missing("datasets"),
            ),
            case(
                "slaf", "SLAF's loader", given.n,
                slaf,
                "Tokens in memory, nothing written; from its own format, whose making is not timed; genes by "
                "count, no medians; up to its last batch, after which it waits for more than a minute. Once.",
                given.missing("slaf") or ("" if depth in SLAF_AT else f"measured at {' and '.join(SLAF_AT)}"),
            ),
        ]  # fmt: skip
    return found


def _half(again: Callable[..., int], out: Path, rows: tuple[int, int]) -> int:
    return again(out=out, rows=rows)


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
    rng, killed = random.Random(given.seed), []  # noqa: S311 -- instants, no secrets
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
    return {"cells": given.million, "killed_after": killed, "seconds": round(took, 2), "files": len(one), "same": same}


def _files(folder: Path) -> dict[str, str]:
    """Hash of each file but the ledger's, which tells who wrote what and when."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "ledger" not in path.as_posix():
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
        ad.AnnData(data.X, obs=data.obs[[]], var=data.var[[]]).write_h5ad(into)
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
        token, median, names = _of_columns(data, tokens, medians)
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
                one["scenario"]["group"], one["label"], f"{one['rate']:,.0f}" if one["rate"] else one["empty"],
                f"{one['rate'] * one['facts'].get('tokens_per_cell', 0) / 1e6:,.2f}" if one["rate"] else "",
                f"{one['ratio']:.3g}" if one["ratio"] else "",
            ]
            for one in result["records"]
        ]  # fmt: skip
        heads = ["group", "who", "cells/s", "M tokens/s", "time, first = 1"]
    elif part == "stable":
        lines = [
            [row["data"], row["whose"], row["what"], row["ran"], *map(_percent, _shares(row))] for row in result["rows"]
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
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3, help="that count, after one that does not")
    parser.add_argument("--memory", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="CELLS")
    parser.add_argument("--million", type=int, default=1_000_000, help="cells of the export that is killed")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    for package in ("datasets", "slaf", "cell2sentence"):
        parser.add_argument(f"--{package}", type=Path, metavar="FOLDER", help=f"that has {package}")
    parser.add_argument("--work", type=Path, help="folder for the files (default: a temporary one)")
    parser.add_argument("--json", type=Path, default=machine.RESULTS / "exports.jsonl", help="JSON Lines, appended")
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
