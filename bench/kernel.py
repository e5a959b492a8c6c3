"""The fused kernel beside what people do today, on the same cells in the same run.

``python -m bench.kernel [--cells 100000] [--repeats 5] [--json FILE]``

Each round times every case once, in the same order, so that whatever else the machine does hits all of
them; a ratio is the median over rounds of two times of the same round. Two ratios are given: of wall time
(what a user sees; meaningful on a quiet machine only, since a busy one slows two threads more than one), and
of CPU time (work per cell, as if both sides used all cores equally well). A case of ours counts only if its
output agrees with the float64 reference on a sample of rows.

`FAIRNESS` says what each peer does more or less than we do; `PREDICTION` was written before the first run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench import cells, machine
from lexicell_kernels import CsrBlock, GeneTable, embed_rows, reference, select_topk

__all__ = ["FAIRNESS", "PREDICTION", "Case", "Workload", "main", "measure", "workload"]

K, P = 128, 256
TOLERANCE = {"float32": 1e-5, "float16": 2e-3}
HEADLINE = "lexicell: float32 + int32 counts, float16 table"

PREDICTION = (
    "Two cores of an EPYC, quiet: ours 140 k cells/s for float32 counts and a float16 table, 180 k for "
    "uint16 counts, 10 % less with the float32 table (its 20 MB fit L3, not L2); ours without top-k 10 k; "
    "scipy X @ E 2.2 k on one thread and 4.2 k on two; dense argpartition 0.35 k and 0.6 k. So 64x scipy as "
    "it comes, 33x scipy on both cores, 400x argpartition as it comes."
)

FAIRNESS = {
    "scipy": (
        "The product alone: normalising, log1p, and dividing by length are done before and not timed. All "
        "genes, no selection, so about 20 times the multiply-adds of k = 128: compare 'all genes' of ours "
        "for the same sum. scipy's sparse product runs on one thread; '2 threads' is ours around it, one "
        "half of the rows each. 'described' leaves the columns without a description out beforehand."
    ),
    "GenePT-w": (
        "The same work as ours without top-k: normalising, log1p, product over all genes, length; no checks "
        "and no quality columns."
    ),
    "argpartition": (
        "Columns without a description are left out beforehand and not timed; making 1,000 cells dense is "
        "timed. Ties are broken arbitrarily, so its genes differ from run to run of the same cell in other "
        "column orders. '2 threads' is ours around it, one 1,000-cell block each."
    ),
    "lexicell": (
        "Everything: checks of the input, total, selection with the tie rule, weights, pooling, length, "
        "quality columns, from raw counts; threads as by default (all CPUs)."
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: `run` embeds `n_cells` cells once."""

    name: str
    n_cells: int
    run: Callable[[], object]
    ours: bool


@dataclass(frozen=True, slots=True)
class Workload:
    """Cells and tables that all cases share.

    Attributes
    ----------
    blocks
        ``{"float32 + int32": [...], "uint16 + uint16": [...]}``, the same cells as lists of blocks.
    tables
        ``{"float32": ..., "float16": ...}``, the same vectors.
    """

    blocks: dict[str, list[CsrBlock]]
    tables: dict[str, GeneTable]

    @property
    def n_cells(self) -> int:
        """Cells in all blocks."""
        return sum(b.n_rows for b in next(iter(self.blocks.values())))


def workload(n_cells: int, seed: int = 0) -> Workload:
    """Make cells, and random unit vectors for the described genes in an order unlike the columns'."""
    wide, narrow = [], []
    for x in cells.blocks(n_cells, seed):
        indptr = x.indptr.astype(np.int64)
        wide.append(CsrBlock(x.data, x.indices, indptr, x.shape[1]))
        narrow.append(CsrBlock(x.data.astype(np.uint16), x.indices.astype(np.uint16), indptr, x.shape[1]))
    described = np.flatnonzero(cells.panel().described)
    rng = np.random.default_rng(seed)
    rank = np.full(cells.panel().n_genes, -1, np.int32)
    rank[described] = rng.permutation(len(described))
    vectors = rng.standard_normal((len(described), P), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tables = {dtype: GeneTable(vectors.astype(dtype), rank) for dtype in ("float32", "float16")}
    return Workload({"float32 + int32": wide, "uint16 + uint16": narrow}, tables)


def quality(work: Workload, rows: int = 200) -> dict[str, float]:
    """Hold a sample of rows against the reference.

    Returns
    -------
    dict
        Case name -> largest absolute difference of a component.

    Raises
    ------
    AssertionError
        Selected genes differ, or a component differs by more than the tolerance: no time would count.
    """
    worst = {}
    for counts, blocks in work.blocks.items():
        sample = _head(blocks[0], rows)
        for dtype, table in work.tables.items():
            for k in (K, None):
                defined = reference.embed_rows(sample, table, k=k)
                got = embed_rows(sample, table, k=k)
                off = float(np.abs(got.vectors - defined.vectors).max())
                assert off <= TOLERANCE[dtype], f"{counts}, {dtype}, k = {k}: off by {off}"
                assert np.array_equal(got.n_genes, defined.n_genes)
                worst[_name(counts, dtype, k)] = off
            assert np.array_equal(
                select_topk(sample, table, k=K).genes, reference.select_topk(sample, table, k=K).genes
            ), f"{counts}: selected genes differ"
    return worst


def cases(work: Workload, sample: int = 4_000, dense_sample: int = 2_000) -> list[Case]:
    """List ours and the peers, the slow ones on the first cells only."""
    listed = []
    for counts, blocks in work.blocks.items():
        for dtype, table in work.tables.items():
            listed.append(Case(_name(counts, dtype, K), work.n_cells, _embed(blocks, table, K), ours=True))
    wide = work.blocks["float32 + int32"]
    table = work.tables["float32"]
    few = _head(wide[0], sample)
    listed.append(
        Case(_name("float32 + int32", "float32", None), few.n_rows, _embed([few], table, None), ours=True)
    )

    described = np.flatnonzero(table.rank >= 0)
    every = np.zeros((table.n_columns, P), np.float32)
    every[described] = table.vectors[table.rank[described]]
    raw = sp.csr_array((few.data, few.indices, few.indptr), shape=(few.n_rows, few.n_columns))
    scale = (1e4 / np.asarray(raw.sum(axis=1))).astype(np.float32)
    x = raw.copy()
    x.data = np.log1p(x.data * np.repeat(scale, np.diff(x.indptr)))
    x.indptr, x.indices = x.indptr.astype(np.int32), x.indices.astype(np.int32)
    for name, left, right in (
        ("scipy X @ E, all genes", x, every),
        ("scipy X @ E, described genes", sp.csr_array(x[:, described]), every[described]),
    ):
        listed.extend(_one_and_two(name, left, lambda part, e=right: part @ e, left.shape[0] // 2))

    listed.extend(
        _one_and_two(
            "GenePT-w by scipy, from raw counts", raw, lambda part: _genept(part, every), sample // 2
        )
    )

    counts = sp.csr_array(raw[:dense_sample][:, described])
    counts_scale = scale[:dense_sample]
    listed.extend(
        _one_and_two(
            "dense argpartition + gather",
            sp.csr_array(sp.hstack([counts, sp.csr_array(counts_scale[:, None])], format="csr")),
            lambda part, e=every[described]: _argpartition(part, e),
            1_000,
        )
    )
    return listed


def _embed(blocks: list[CsrBlock], table: GeneTable, k: int | None) -> Callable[[], object]:
    def run() -> None:
        for b in blocks:
            embed_rows(b, table, k=k)

    return run


def _genept(part: sp.csr_array, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalise to 1e4, log1p, product over all genes, length."""
    x = part.copy()
    scale = (1e4 / np.asarray(part.sum(axis=1))).astype(np.float32)
    x.data = np.log1p(x.data * np.repeat(scale, np.diff(x.indptr)))
    z = x @ vectors
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return np.asarray(z)


def _argpartition(part: sp.csr_array, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Top-k by `numpy.argpartition`, weights, gather, sum, length; the last column is 1e4 / N."""
    dense = part.toarray()
    x, scale = dense[:, :-1], dense[:, -1:]
    top = np.argpartition(x, x.shape[1] - K, axis=1)[:, -K:]
    w = np.log1p(np.take_along_axis(x, top, axis=1) * scale)
    z = np.einsum("nk,nkp->np", w, vectors[top])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return np.asarray(z)


def _one_and_two(name: str, x: sp.csr_array, run: Callable[[sp.csr_array], object], rows: int) -> list[Case]:
    """The same peer on parts of `rows` rows, one after the other and two at a time."""
    parts = [x[i : i + rows] for i in range(0, x.shape[0], rows)]
    pool = ThreadPoolExecutor(2)
    return [
        Case(f"{name}, 1 thread", x.shape[0], lambda: [run(p) for p in parts], ours=False),
        Case(f"{name}, 2 threads", x.shape[0], lambda: list(pool.map(run, parts)), ours=False),
    ]


def measure(
    listed: Sequence[Case], repeats: int, tick: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Time all cases in `repeats` interleaved rounds, after one round that does not count.

    Returns
    -------
    dict
        Case name -> ``cells``, ``seconds`` and ``cpu_seconds`` (of every round), ``cells_per_s`` and its
        quartiles, ``cells_per_cpu_s``; ``ratio`` and ``cpu_ratio``, how many times faster the headline is.
    """
    seconds: dict[str, list[tuple[float, float]]] = {case.name: [] for case in listed}
    for i in range(repeats + 1):
        for case in listed:
            tick(f"round {i} of {repeats}: {case.name}")
            start, cpu = time.perf_counter(), time.process_time()
            case.run()
            taken = time.perf_counter() - start, time.process_time() - cpu
            if i:
                seconds[case.name].append(taken)
    each = {case.name: np.array(seconds[case.name]).T / case.n_cells for case in listed}
    rows = {}
    for case in listed:
        wall, cpu = each[case.name]
        low, middle, high = np.quantile(1 / wall, [0.25, 0.5, 0.75])
        ratio, cpu_ratio = np.median(each[case.name] / each[HEADLINE], axis=1)
        rows[case.name] = {
            "ours": case.ours,
            "cells": case.n_cells,
            "seconds": [round(s, 5) for s, _ in seconds[case.name]],
            "cpu_seconds": [round(s, 5) for _, s in seconds[case.name]],
            "cells_per_s": round(middle, 1),
            "quartiles": [round(low, 1), round(high, 1)],
            "cells_per_cpu_s": round(float(np.median(1 / cpu)), 1),
            "ratio": round(float(ratio), 2),
            "cpu_ratio": round(float(cpu_ratio), 2),
        }
    return rows


def _name(counts: str, dtype: str, k: int | None) -> str:
    return f"lexicell: {counts} counts, {dtype} table{'' if k else ', all genes'}"


def _head(b: CsrBlock, rows: int) -> CsrBlock:
    indptr = b.indptr[: rows + 1]
    stop = int(indptr[-1])
    return CsrBlock(b.data[:stop], b.indices[:stop], indptr, b.n_columns)


def _table(rows: dict[str, Any]) -> Table:
    table = Table(title=f"k = {K}, p = {P}; ratios: how many times as fast the second line is")
    table.add_column("case", min_width=50)
    for heading in ("cells", "cells/s", "quartiles", "ratio", "per CPU second", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in rows.items():
        low, high = row["quartiles"]
        table.add_row(
            name,
            f"{row['cells']:,}",
            f"{row['cells_per_s']:,.0f}",
            f"{low:,.0f} - {high:,.0f}",
            f"{row['ratio']:.1f}",
            f"{row['cells_per_cpu_s']:,.0f}",
            f"{row['cpu_ratio']:.1f}",
        )
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Time the CPU kernel and its peers; print a table and append a record."""
    parser = argparse.ArgumentParser(prog="python -m bench.kernel", description=main.__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", type=Path, default=machine.RESULTS / "kernel.jsonl", help="JSON Lines, appended"
    )
    given = parser.parse_args(argv)
    console, progress = Console(width=None if sys.stdout.isatty() else 130), Console(stderr=True)
    where = machine.fingerprint()
    with progress.status("making cells") as status:
        work = workload(given.cells, given.seed)
        status.update("holding a sample against the reference")
        off = quality(work)
        rows = measure(cases(work), given.repeats, status.update)
    for name, most in off.items():
        if name in rows:
            rows[name]["max_error"] = most
    console.print(_table(rows))
    for peer, note in FAIRNESS.items():
        console.print(f"[bold]{peer}[/]: {note}")
    record = {
        "bench": "kernel",
        "format": 1,
        "machine": where,
        "parameters": {"cells": given.cells, "seed": given.seed, "repeats": given.repeats, "k": K, "p": P},
        "headline": HEADLINE,
        "prediction": PREDICTION,
        "rows": rows,
    }
    machine.append(record, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
