"""Read, compute and end to end in one run: the share of what the two alone allow that a run reaches.

``python -m bench.scale STORE... [--workers 2] [--rounds 5] [--k 128] [--dim 256] [--dtype f16] [--cold]``

For each store, in each of the interleaved rounds: *read*, workers that read whole shards and throw them
away; *compute*, workers that embed blocks which lie in memory; *run*, end to end to a new store, its tables
and ``COMPLETE`` included. If nothing overlapped and nothing else cost time, a run would reach
``1 / (1 / read + 1 / compute)`` cells/s; the share of that is what is reported. ``--cold`` drops the files
from the page cache before each reading.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from lexicell.atlas import Scratch
from lexicell.embedding import Options, make_plan
from lexicell.embedding.job import Inputs
from lexicell.embedding.pipeline import MAX_NNZ
from lexicell.embedding.plan import Plan
from lexicell.embedding.run import Output, layout_of, run_to_store
from lexicell_kernels import CsrBlock

__all__ = ["main"]

#: Blocks kept in memory for the measurement of computing alone: more than any cache holds.
_BLOCKS = 12


def drop_cache(paths: Sequence[str]) -> None:
    """Ask the kernel to forget the files' pages; what was just written goes to the disk first."""
    for root in map(Path, paths):
        for file in [root] if root.is_file() else root.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)


def narrowed(plan: Plan, dim: int) -> Plan:
    """The plan with a table of the first `dim` dimensions, as a projection to so many would make it."""
    table = plan.folded.table
    table = replace(table, vectors=np.ascontiguousarray(table.vectors[:, :dim]))
    return replace(plan, folded=replace(plan.folded, table=table))


def _in_threads(work: Callable[[list[int]], None], shards: Sequence[int], workers: int) -> float:
    """Seconds that `workers` threads need for `work` on all shards, taken in turn."""
    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, [list(shards[i::workers]) for i in range(workers)]))
    return time.perf_counter() - started


def read_rate(plan: Plan, output: Output, workers: int) -> float:
    """Cells/s of reading alone."""
    layout, source = layout_of(plan, output), plan.source

    def work(shards: list[int]) -> None:
        scratch = Scratch()
        for shard in shards:
            for first, last in source.spans(MAX_NNZ, *layout.rows(shard)):
                source.read(first, last, scratch)

    return source.n_cells / _in_threads(work, range(layout.n_shards), workers)


def compute_rate(plan: Plan, blocks: Sequence[CsrBlock], workers: int) -> float:
    """Cells/s of embedding alone."""

    def work(numbers: list[int]) -> None:
        for number in numbers:
            plan.embedder.embed(blocks[number], 0, plan.source.names, 1)

    times = list(range(len(blocks))) * 4
    return 4 * sum(block.n_rows for block in blocks) / _in_threads(work, times, workers)


def run_rate(plan: Plan, output: Output, inputs: Inputs, workers: int) -> float:
    """Cells/s of a whole run."""
    shutil.rmtree(output.path, ignore_errors=True)
    done = run_to_store(plan, output, inputs, workers=workers)
    shutil.rmtree(output.path)
    return done.cells_per_second


def annbatch_rate(python: str, store: str) -> float:
    """Cells/s at which annbatch only loads a store, with the best of several settings."""
    program = Path(__file__).with_name("annbatch_load.py")
    said = subprocess.run([python, str(program), store], check=True, capture_output=True, text=True)  # noqa: S603
    return float(json.loads(said.stdout)["best"])


def measure(paths: Sequence[str], given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Rates of one input, over interleaved rounds."""
    inputs = Inputs(tuple(paths))
    output = Output(str(folder / "out.zarr"), given.dtype)
    rounds: list[dict[str, float]] = []
    with inputs.open() as source:
        plan = narrowed(make_plan(source, Options(top_k=given.k)), given.dim)
        blocks = [source.read(*ends) for ends in itertools.islice(source.spans(MAX_NNZ), _BLOCKS)]
        for number in range(given.rounds + 1):
            rates = {}
            for name, rate in (
                ("read", lambda: read_rate(plan, output, given.workers)),
                ("compute", lambda: compute_rate(plan, blocks, given.workers)),
                ("run", lambda: run_rate(plan, output, inputs, given.workers)),
            ):
                if given.cold and name != "compute":
                    drop_cache(paths)
                rates[name] = rate()
            if given.annbatch and len(paths) == 1 and paths[0].endswith(".zarr"):
                if given.cold:
                    drop_cache(paths)
                rates["annbatch"] = annbatch_rate(given.annbatch, paths[0])
            rates["share"] = rates["run"] * (1 / rates["read"] + 1 / rates["compute"])
            if number:  # the first round warms up
                rounds.append(rates)
        cells = source.n_cells
    return {
        "input": [Path(path).name for path in paths],
        "cells": cells,
        **{name: round(statistics.median(r[name] for r in rounds), 3) for name in rounds[0]},
        "rounds": [{name: round(value, 3) for name, value in r.items()} for r in rounds],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line for each input and append a record."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=main.__doc__)
    parser.add_argument("inputs", nargs="+", help="inputs; several of one run are joined by a comma")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--k", type=int, default=128)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--dtype", choices=["f16", "f32"], default="f16")
    parser.add_argument("--annbatch", metavar="PYTHON", help="an interpreter with annbatch, to compare with")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--work", type=Path, help="folder for the outputs (default: a temporary one)")
    parser.add_argument("--json", type=Path, default=machine.RESULTS / "scale.jsonl")
    given = parser.parse_args(argv)
    rows = []
    for joined in given.inputs:
        with tempfile.TemporaryDirectory(dir=given.work) as folder:
            row = measure(joined.split(","), given, Path(folder))
        rows.append(row)
        print(
            f"{row['input'][0]}: read {row['read']:,.0f}, compute {row['compute']:,.0f}, "
            f"run {row['run']:,.0f} cells/s: {row['share']:.0%}"
            + (f"; annbatch loads {row['annbatch']:,.0f}" if "annbatch" in row else "")
        )
    machine.append(
        {
            "bench": "scale",
            "format": 1,
            "machine": machine.fingerprint(),
            "parameters": {
                "workers": given.workers,
                "k": given.k,
                "dim": given.dim,
                "dtype": given.dtype,
                "cache": "cold" if given.cold else "warm",
            },
            "rows": rows,
        },
        given.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
