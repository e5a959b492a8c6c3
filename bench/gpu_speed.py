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

from bench import gpu_cells, gpu_peers, machine
from bench.gpu_checks import rows_of, upload
from bench.gpu_steps import Clock, Outcome, said
from bench.gpu_timing import Timed, copy_bandwidth, gather_bandwidth, measure
from lexicell_kernels import CsrBlock, GeneTable, Order, cuda, parity, reference
from lexicell_kernels.cuda._source import Instantiation

__all__ = [
    "FRACTIONS",
    "HEADLINE",
    "NARROW",
    "SIZES",
    "UNIQUE",
    "WIDE",
    "memory",
    "name_of",
    "peers",
    "speed",
    "threads",
    "threads_of_a_row",
]

SIZES = ((64, 128), (128, 256), (256, 256), (1024, 512))
WIDE, NARROW, FRACTIONS = "float32 + int32", "uint16 + uint16", "fractions + int32"
UNIQUE = 20_000  # cells drawn; each more than 20 kB of counts, so that together they are ten times an L2
_COPIES = 10
_LAUNCHES = 4  # into which the copies are cut: inputs rotate
_ROUNDS = 20
_PEER_CELLS = 16_384
_PEER_ROUNDS = 8
_THREADS = (32, 64, 96, 128, 192, 256)


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


def _cells(*kinds: str) -> _Cells:
    """Draw cells and upload `kinds` of them, as often as a quarter of the free memory takes."""
    import cupy

    wide, described = gpu_cells.synthetic(UNIQUE)
    lengths = np.diff(wide.indptr)
    row = np.repeat(np.arange(wide.n_rows), lengths)
    totals = np.bincount(row, wide.data)
    fractions = (wide.data * (1e4 / totals[row])).astype(np.float32)
    host = {
        WIDE: wide,
        NARROW: gpu_cells.narrow(wide),
        FRACTIONS: replace(wide, data=fractions),
    }
    room = int(cupy.cuda.Device().mem_info[0]) // 2 // sum(host[kind].nbytes for kind in kinds)
    copies = max(1, min(_COPIES, room))
    launches = {}
    for kind in kinds:
        block = upload(host[kind], copies)
        at = np.linspace(0, block.n_rows, _LAUNCHES + 1).astype(int)
        launches[kind] = [replace(block, indptr=block.indptr[a : b + 1]) for a, b in pairwise(at)]
    return _Cells(host, launches, described)


def memory(_: Clock) -> Outcome:
    """Measure the two ceilings: a copy within device memory, and table rows read out of the caches."""
    import cupy

    copied = copy_bandwidth()
    host, described = gpu_cells.synthetic(8_192)
    table = gpu_cells.random_table(described, 256, "float16", in_order=True)
    vectors = cupy.asarray(table.vectors)
    picked = cuda.select_topk(upload(host), table, k=128).genes
    rng = np.random.default_rng(0)
    anywhere = cupy.asarray(rng.integers(0, table.n_genes, picked.shape, dtype=np.int32))
    details = {
        "copy_bytes_per_s": copied["bytes_per_s"],
        "copy_bytes": copied["bytes"],
        "gather_bytes_per_s": gather_bandwidth(vectors, cupy.maximum(picked, 0)),
        "gather_anywhere_bytes_per_s": gather_bandwidth(vectors, anywhere),
        "table_bytes": table.vectors.nbytes,
    }
    print(
        f"   copy {details['copy_bytes_per_s'] / 1e12:.2f} TB/s; rows of a table of "
        f"{table.vectors.nbytes / 1e6:.0f} MB: {details['gather_bytes_per_s'] / 1e12:.2f} TB/s as cells pick "
        f"them, {details['gather_anywhere_bytes_per_s'] / 1e12:.2f} TB/s anywhere",
        flush=True,
    )
    return Outcome(details)


def speed(clock: Clock) -> Outcome:
    """Time all sizes, tables, counts and orders of columns; each case held against the reference."""
    cells = _cells(WIDE, NARROW, FRACTIONS)
    listed = list(_cases(cells))
    rows = measure([case.timed for case in listed], _ROUNDS, clock, _say)
    outcome = Outcome({"rounds": _ROUNDS, "rows": rows}, complete=len(rows) == len(listed))
    for case in listed:
        if case.timed.name in rows:
            try:
                rows[case.timed.name] |= _facts(cells, case)
            except AssertionError as error:
                outcome.problems.append(f"{case.timed.name}: {said(error)}; its time does not count")
                del rows[case.timed.name]
    rows |= _selection(cells, clock)
    outcome.details["as_found_after"] = machine.gpu()["as_found"]
    return outcome


def _say(text: str) -> None:
    print(f"   {text}", flush=True)


def _cases(cells: _Cells) -> Iterator[_Case]:
    """The headline first."""
    wanted = [(128, 256, "float16", WIDE, True)]
    wanted += [
        (k, p, vectors, counts, in_order)
        for k, p in SIZES
        for in_order in (True, False)
        for vectors in ("float16", "float32")
        for counts in (WIDE, NARROW)
    ]
    wanted += [(128, 256, vectors, FRACTIONS, True) for vectors in ("float16", "float32")]
    tables: dict[tuple[int, str, bool], GeneTable] = {}
    for k, p, vectors, counts, in_order in dict.fromkeys(wanted):
        key = (p, vectors, in_order)
        if key not in tables:
            tables[key] = gpu_cells.random_table(cells.described, p, vectors, in_order=in_order)
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
    moved = gpu_cells.traffic(block, int(found.n_genes.sum()), vectors.shape[1], vectors.itemsize)
    return {
        "max_error": off,
        "memory_bytes_per_cell": round(moved.memory / block.n_rows, 1),
        "gathered_bytes_per_cell": round(moved.gathered / block.n_rows, 1),
    }


def _selection(cells: _Cells, clock: Clock) -> dict[str, Any]:
    """Time the selection alone."""
    launches = cells.launches[WIDE]
    listed = []
    for in_order in (True, False):
        table = gpu_cells.random_table(cells.described, 8, "float16", in_order=in_order)
        for k, order in ((128, Order.LEXICON), (1024, Order.LEXICON), (128, Order.SCORE)):

            def run(i: int, table: GeneTable = table, k: int = k, order: Order = order) -> object:
                return cuda.select_topk(launches[i % len(launches)], table, k=k, order=order)

            shuffled = "" if in_order else ", shuffled columns"
            name = f"select_topk, k = {k}, in order of {order}, {WIDE}{shuffled}"
            listed.append(Timed(name, launches[0].n_rows, run))
    return measure(listed, _ROUNDS, clock, _say)


def threads(clock: Clock) -> Outcome:
    """Time the headline with other numbers of threads for a row."""
    cells = _cells(WIDE)
    table = gpu_cells.random_table(cells.described, 256, "float16", in_order=True)
    usual = _case(cells, "as chosen", WIDE, table, 128)
    outcome, listed = Outcome(), [usual]
    for n in _THREADS:

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
    rows = measure([case.timed for case in listed], _ROUNDS, clock, _say)
    outcome.complete = len(rows) == len(listed)
    outcome.details = {"case": HEADLINE, "rows": rows}
    return outcome


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


def peers(clock: Clock) -> Outcome:
    """Time the headline and the peers in turns; ratios are medians over rounds."""
    cells = _cells(WIDE)
    table = gpu_cells.random_table(cells.described, 256, "float16", in_order=True)
    outcome = Outcome({"fairness": gpu_peers.FAIRNESS})
    ours = _case(cells, HEADLINE, WIDE, table, 128)
    _facts(cells, ours)
    few = rows_of(cells.host[WIDE], np.arange(min(_PEER_CELLS, cells.host[WIDE].n_rows)))
    runs, outcome.missing = gpu_peers.runs(few, table, 128)
    outcome.problems += gpu_peers.disagreements(table)
    listed = [ours.timed, *(Timed(name, few.n_rows, _once(run)) for name, run in runs.items())]
    rows = measure(listed, _PEER_ROUNDS, clock, _say)
    outcome.complete = len(rows) == len(listed)
    headline = np.array(rows[HEADLINE]["seconds"]) / rows[HEADLINE]["cells"]
    for row in rows.values():
        row["ratio"] = round(float(np.median(np.array(row["seconds"]) / row["cells"] / headline)), 2)
    outcome.details["rows"] = rows
    return outcome
