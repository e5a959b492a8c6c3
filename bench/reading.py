"""Reading alone: counts of a file into blocks, as `embed` reads them, beside the same through h5py.

``python -m bench.reading FILE... [--cells 100000] [--threads 1 2] [--repeats 5] [--json FILE]``

A thread reads consecutive spans of its own share of the rows. Rounds are interleaved, so that whatever else
the machine does hits both ways; a ratio is the median over rounds of two times of the same round. Ratios of
CPU time say what one core gains, whatever else runs; ratios of wall time also what threads gain, but on a
quiet machine only. Folders are read in one way. `PREDICTION` was written before the first run.

Whether pages come from the disk or from memory is the caller's to arrange: the first round is not counted, so
by default they come from memory; ``--cold`` has the kernel drop a file's pages before each reading.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import machine
from lexicell.atlas import CountSource, open_counts
from lexicell.atlas.counts import _h5chunks, _slices
from lexicell.atlas.counts._scratch import Scratch

__all__ = ["PREDICTION", "main", "measure", "read_all"]

#: Values of one block; what `embed` asks for.
MAX_NNZ = 4_000_000

PREDICTION = (
    "gzip as anndata writes it, per CPU second: 2.2 times h5py, since ISA-L takes 0.4 of the time of "
    "zlib and most of the rest was copying; two quiet cores: 4 times, since h5py admits one thread. lzf "
    "1.6 and 3 times; uncompressed 1.5 and 3 times."
)


@contextmanager
def _through_h5py() -> Iterator[None]:
    """Have every HDF5 array read by h5py, as before."""
    fast = _h5chunks.fast_array
    _h5chunks.fast_array = _slices.Hdf5Slices
    try:
        yield
    finally:
        _h5chunks.fast_array = fast


def read_all(source: CountSource, n_cells: int, threads: int) -> float:
    """Read the first `n_cells` rows, each thread its own share of them.

    Returns
    -------
    A sum over some of the values and columns: the same whichever way they are read.
    """
    edges = np.linspace(0, n_cells, threads + 1).astype(int).tolist()

    def share(start: int, stop: int) -> float:
        scratch, total = Scratch(), 0.0
        for first, last in source.spans(MAX_NNZ, start, stop):
            block = source.read(first, last, scratch)
            total += float(block.data[:: 1 << 10].sum(dtype=np.float64)) + float(block.indices[-1])
        return total

    if threads == 1:
        return share(0, n_cells)
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(share, edges[:-1], edges[1:]))


def measure(
    path: Path, n_cells: int, threads: Sequence[int], repeats: int, *, cold: bool = False
) -> list[dict[str, Any]]:
    """Time both ways of reading a file in `repeats` interleaved rounds, after one that does not count.

    Returns
    -------
    list
        For each number of threads: medians ``cells_per_s`` and ``cells_per_cpu_s`` of "lexicell" and "h5py",
        and the medians ``ratio`` and ``cpu_ratio`` of their times.
    """
    ways = ["lexicell"]
    with open_counts(path) as source:
        n = min(n_cells, source.n_cells)
        if path.is_file():
            ways.append("h5py")
    taken: dict[tuple[str, int], list[tuple[float, float]]] = {}
    sums = set()
    for i in range(repeats + 1):
        for count in threads:
            for way in ways:
                if cold:
                    _drop_pages(path)
                with _through_h5py() if way == "h5py" else _as_it_is(), open_counts(path) as source:
                    start, cpu = time.perf_counter(), time.process_time()
                    total = read_all(source, n, count)
                    times = time.perf_counter() - start, time.process_time() - cpu
                sums.add((count, total))
                if i:
                    taken.setdefault((way, count), []).append(times)
    assert len(sums) == len(threads), f"{path}: the ways of reading do not give the same values"
    rows = []
    for count in threads:
        each = {way: np.array(taken[way, count]).T for way in ways}
        row: dict[str, Any] = {"threads": count, "cells": n}
        for way, (wall, cpu) in each.items():
            row[way] = {
                "seconds": wall.round(4).tolist(),
                "cpu_seconds": cpu.round(4).tolist(),
                "cells_per_s": round(n / float(np.median(wall)), 1),
                "cells_per_cpu_s": round(n / float(np.median(cpu)), 1),
            }
        if "h5py" in each:
            row["ratio"], row["cpu_ratio"] = (
                np.median(each["h5py"] / each["lexicell"], axis=1).round(2).tolist()
            )
        rows.append(row)
    return rows


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def _drop_pages(path: Path) -> None:
    """Ask the kernel to forget a file's pages; only Linux offers this to everybody."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _table(name: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"{name}, {rows[0]['cells']:,} cells; ratios: how many times as fast as h5py")
    for heading in ("threads", "cells/s", "h5py", "ratio", "per CPU second", "h5py", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        ours, theirs = row["lexicell"], row.get("h5py")
        table.add_row(
            str(row["threads"]),
            f"{ours['cells_per_s']:,.0f}",
            f"{theirs['cells_per_s']:,.0f}" if theirs else "",
            f"{row['ratio']:.1f}" if theirs else "",
            f"{ours['cells_per_cpu_s']:,.0f}",
            f"{theirs['cells_per_cpu_s']:,.0f}" if theirs else "",
            f"{row['cpu_ratio']:.1f}" if theirs else "",
        )
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Time reading of count matrices; print a table for each and append a record."""
    parser = argparse.ArgumentParser(prog="python -m bench.reading", description=main.__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="of bench.cells, or any that embed takes")
    parser.add_argument("--cells", type=int, default=100_000, help="read at most so many of each")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="from the disk")
    parser.add_argument("--json", type=Path, default=machine.RESULTS / "reading.jsonl")
    given = parser.parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 130)
    where = machine.fingerprint()
    found = {}
    for path in given.files:
        found[path.name] = measure(path, given.cells, given.threads, given.repeats, cold=given.cold)
        console.print(_table(path.name, found[path.name]))
    cache = "cold" if given.cold else "warm"
    record = {
        "bench": "reading",
        "format": 1,
        "machine": where,
        "parameters": {"repeats": given.repeats, "max_nnz": MAX_NNZ, "cache": cache},
        "prediction": PREDICTION,
        "files": found,
    }
    machine.append(record, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
