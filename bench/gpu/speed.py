"""How fast the kernel is on this device, beside what its memory allows and what people use today.

Cells are drawn once and lie on the device several times over, cut into launches that take turns, so that each
launch reads counts that no cache holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np

from bench import machine
from bench.gpu import peers as others
from bench.gpu.cells import narrow, random_table, synthetic, traffic
from bench.gpu.checks import rows_of, upload
from bench.gpu.sizes import Sizes
from bench.gpu.steps import Clock, Outcome, said
from bench.gpu.timing import Timed, copy_bandwidth, gather_bandwidth, measure
from lexicell_kernels import CsrBlock, GeneTable, Order, cuda, parity, reference
from lexicell_kernels.cuda.source import Instantiation

__all__ = [
    "FRACTIONS",
    "HEADLINE",
    "NARROW",
    "WIDE",
    "headline",
    "memory",
    "name_of",
    "peers",
    "speed",
    "threads",
    "threads_of_a_row",
]

WIDE, NARROW, FRACTIONS = "float32 + int32", "uint16 + uint16", "fractions + int32"


def name_of(k: int, p: int, vectors: str, counts: str, *, in_order: bool = True) -> str:
    """Name a case."""
    return f"k = {k}, p = {p}, {vectors} table, {counts}{'' if in_order else ', shuffled columns'}"


HEADLINE = name_of(128, 256, "float16", WIDE)


@dataclass(frozen=True)
class _Cells:
    """Cells on the host, and copies of them on the device, cut into launches."""

    host: dict[str, CsrBlock]
    launches: dict[str, list[CsrBlock]]
    described: Any


@dataclass(frozen=True)
class _Case:
    timed: Timed
    counts: str
    table: GeneTable
    k: int


def _cells(sizes: Sizes, *kinds: str) -> _Cells:
    """Draw cells and upload `kinds` of them, as often as a quarter of the free memory takes."""
    import cupy

    wide, described = synthetic(sizes.drawn)
    lengths = np.diff(wide.indptr)
    row = np.repeat(np.arange(wide.n_rows), lengths)
    totals = np.bincount(row, wide.data)
    fractions = (wide.data * (1e4 / totals[row])).astype(np.float32)
    host = {
        WIDE: wide,
        NARROW: narrow(wide),
        FRACTIONS: replace(wide, data=fractions),
    }
    room = int(cupy.cuda.Device().mem_info[0]) // 2 // sum(host[kind].nbytes for kind in kinds)
    copies = max(1, min(sizes.copies, room))
    launches = {}
    for kind in kinds:
        block = upload(host[kind], copies)
        at = np.linspace(0, block.n_rows, sizes.launches + 1).astype(int)
        launches[kind] = [replace(block, indptr=block.indptr[a : b + 1]) for a, b in pairwise(at)]
    return _Cells(host, launches, described)


def headline(sizes: Sizes) -> Callable[[Clock], Outcome]:
    """Time the one case that is talked about."""

    def step(clock: Clock) -> Outcome:
        cells = _cells(sizes, WIDE)
        table = random_table(cells.described, 256, "float16", in_order=True)
        case = _case(cells, HEADLINE, WIDE, table, 128)
        return _timed(sizes, cells, [case], clock)

    return step


def memory(sizes: Sizes) -> Callable[[Clock], Outcome]:
    """Measure the two ceilings: a copy within device memory, and table rows read out of the caches.

    The roofline is the cells/s at which the headline's bytes would reach them.
    """

    def step(_: Clock) -> Outcome:
        import cupy

        copied = copy_bandwidth(sizes.copy_bytes)
        host, described = synthetic(sizes.memory_cells)
        table = random_table(described, 256, "float16", in_order=True)
        vectors = cupy.asarray(table.vectors)
        picks = cuda.select_topk(upload(host), table, k=128)
        rng = np.random.default_rng(0)
        anywhere = cupy.asarray(rng.integers(0, table.n_genes, picks.genes.shape, dtype=np.int32))
        gathered = gather_bandwidth(vectors, cupy.maximum(picks.genes, 0))
        moved = traffic(host, int(picks.n_genes.sum()), table.dim, table.vectors.itemsize)
        details = {
            "copy_bytes_per_s": copied["bytes_per_s"],
            "copy_bytes": copied["bytes"],
            "gather_bytes_per_s": gathered,
            "gather_anywhere_bytes_per_s": gather_bandwidth(vectors, anywhere),
            "table_bytes": table.vectors.nbytes,
            "roofline": {
                "case": HEADLINE,
                "copy_cells_per_s": round(copied["bytes_per_s"] / moved.memory * host.n_rows),
                "gather_cells_per_s": round(gathered / moved.gathered * host.n_rows),
            },
        }
        _say(
            f"copy {details['copy_bytes_per_s'] / 1e12:.2f} TB/s; rows of a table of "
            f"{table.vectors.nbytes / 1e6:.0f} MB: {gathered / 1e12:.2f} TB/s as cells pick them, "
            f"{details['gather_anywhere_bytes_per_s'] / 1e12:.2f} TB/s anywhere"
        )
        return Outcome(details)

    return step


def speed(sizes: Sizes) -> Callable[[Clock], Outcome]:
    """Time all sizes, tables, counts and orders of columns, and the selection alone."""

    def step(clock: Clock) -> Outcome:
        cells = _cells(sizes, WIDE, NARROW, FRACTIONS)
        outcome = _timed(sizes, cells, list(_cases(sizes, cells)), clock)
        outcome.details["rows"] |= _selection(sizes, cells, clock)
        return outcome

    return step


def _timed(sizes: Sizes, cells: _Cells, listed: list[_Case], clock: Clock) -> Outcome:
    """Time cases, each held against the reference."""
    rows = measure([case.timed for case in listed], sizes.rounds, clock, _say)
    outcome = Outcome({"rounds": sizes.rounds, "rows": rows}, complete=len(rows) == len(listed))
    for case in listed:
        if case.timed.name in rows:
            try:
                rows[case.timed.name] |= _facts(cells, case)
            except AssertionError as error:
                outcome.problems.append(f"{case.timed.name}: {said(error)}; its time does not count")
                del rows[case.timed.name]
    outcome.details["as_found_after"] = machine.gpu()["as_found"]
    return outcome


def _say(text: str) -> None:
    print(f"   {text}", flush=True)


def _cases(sizes: Sizes, cells: _Cells) -> Iterator[_Case]:
    """The headline first."""
    wanted = [(128, 256, "float16", WIDE, True)]
    wanted += [
        (k, p, vectors, counts, in_order)
        for k, p in sizes.kp
        for in_order in (True, False)
        for vectors in ("float16", "float32")
        for counts in (WIDE, NARROW)
    ]
    wanted += [(128, 256, vectors, FRACTIONS, True) for vectors in ("float16", "float32")]
    tables: dict[tuple[int, str, bool], GeneTable] = {}
    for k, p, vectors, counts, in_order in dict.fromkeys(wanted):
        key = (p, vectors, in_order)
        if key not in tables:
            tables[key] = random_table(cells.described, p, vectors, in_order=in_order)
        yield _case(cells, name_of(k, p, vectors, counts, in_order=in_order), counts, tables[key], k)


def _case(cells: _Cells, name: str, counts: str, table: GeneTable, k: int) -> _Case:
    launches = cells.launches[counts]

    def run(i: int) -> object:
        return cuda.embed_rows(launches[i % len(launches)], table, k=k)

    return _Case(Timed(name, launches[0].n_rows, run), counts, table, k)


def _facts(cells: _Cells, case: _Case) -> dict[str, Any]:
    """Bytes a cell, and the largest error of a sample.

    Raises
    ------
    AssertionError
        The sample is not the reference's.
    """
    import cupy

    block, host = cells.launches[case.counts][0], cells.host[case.counts]
    found = cuda.embed_rows(block, case.table, k=case.k)
    some = np.linspace(0, min(block.n_rows, host.n_rows) - 1, 12).astype(int)
    expected = reference.embed_rows(rows_of(host, some), case.table, k=case.k)
    off = float(np.abs(cupy.asnumpy(found.vectors[some]) - expected.vectors).max())
    assert off <= parity.TOLERANCE[case.table.vectors.dtype], f"off by {off}"
    assert np.array_equal(cupy.asnumpy(found.n_tied[some]), expected.n_tied), "other ties"
    vectors = case.table.vectors
    moved = traffic(block, int(found.n_genes.sum()), vectors.shape[1], vectors.itemsize)
    return {
        "max_error": off,
        "memory_bytes_per_cell": round(moved.memory / block.n_rows, 1),
        "gathered_bytes_per_cell": round(moved.gathered / block.n_rows, 1),
    }


def _selection(sizes: Sizes, cells: _Cells, clock: Clock) -> dict[str, Any]:
    """Time the selection alone."""
    launches = cells.launches[WIDE]
    listed = []
    for in_order in (True, False):
        table = random_table(cells.described, 8, "float16", in_order=in_order)
        for k, order in ((128, Order.LEXICON), (1024, Order.LEXICON), (128, Order.SCORE)):

            def run(i: int, table: GeneTable = table, k: int = k, order: Order = order) -> object:
                return cuda.select_topk(launches[i % len(launches)], table, k=k, order=order)

            shuffled = "" if in_order else ", shuffled columns"
            name = f"select_topk, k = {k}, in order of {order}, {WIDE}{shuffled}"
            listed.append(Timed(name, launches[0].n_rows, run))
    return measure(listed, sizes.rounds, clock, _say)


def threads(sizes: Sizes) -> Callable[[Clock], Outcome]:
    """Time the headline with other numbers of threads for a row."""

    def step(clock: Clock) -> Outcome:
        cells = _cells(sizes, WIDE)
        table = random_table(cells.described, 256, "float16", in_order=True)
        usual = _case(cells, "as chosen", WIDE, table, 128)
        outcome, listed = Outcome(), [usual]
        for n in sizes.threads:

            def run(i: int, n: int = n) -> object:
                with threads_of_a_row(n):
                    return usual.timed.run(i)

            case = replace(usual, timed=Timed(f"{n} threads", usual.timed.cells, run))
            try:
                with threads_of_a_row(n):
                    _facts(cells, case)
            except Exception as error:  # the others are still worth a time
                outcome.problems.append(f"{n} threads: {said(error)}")
            else:
                listed.append(case)
        rows = measure([case.timed for case in listed], sizes.rounds, clock, _say)
        outcome.complete = len(rows) == len(listed)
        outcome.details = {"case": HEADLINE, "rows": rows}
        return outcome

    return step


@dataclass(frozen=True, slots=True)
class _WithThreads(Instantiation):
    fixed: int = 0

    @property
    def threads(self) -> int:
        return self.fixed


def threads_of_a_row(n: int) -> AbstractContextManager[object]:
    """Launch `n` threads for a row inside, where the backend would choose another number."""
    return mock.patch.object(cuda, "Instantiation", partial(_WithThreads, fixed=n))


def _once(run: Callable[[], object]) -> Callable[[int], object]:
    return lambda _: run()


def peers(sizes: Sizes) -> Callable[[Clock], Outcome]:
    """Time the headline and the peers in turns; ratios are medians over rounds."""

    def step(clock: Clock) -> Outcome:
        cells = _cells(sizes, WIDE)
        table = random_table(cells.described, 256, "float16", in_order=True)
        outcome = Outcome({"fairness": others.FAIRNESS})
        ours = _case(cells, HEADLINE, WIDE, table, 128)
        _facts(cells, ours)
        few = rows_of(cells.host[WIDE], np.arange(min(sizes.peer_cells, cells.host[WIDE].n_rows)))
        runs, left_out = others.runs(few, table, 128)
        outcome.details["left_out"] = left_out
        outcome.problems += others.disagreements(table, sizes.peer_checked)
        listed = [ours.timed, *(Timed(name, few.n_rows, _once(run)) for name, run in runs.items())]
        rows = measure(listed, sizes.peer_rounds, clock, _say)
        outcome.complete = len(rows) == len(listed)
        if HEADLINE in rows:
            our_time = np.array(rows[HEADLINE]["seconds"]) / rows[HEADLINE]["cells"]
            for row in rows.values():
                row["ratio"] = round(float(np.median(np.array(row["seconds"]) / row["cells"] / our_time)), 2)
        outcome.details["rows"] = rows
        return outcome

    return step
