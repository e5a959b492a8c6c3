"""The GPU backend against the definition, its kernels run on fibers in several orders."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.kernels.test_bad_blocks import BAD, OFFSETS, TABLE, sound

import lexicell_kernels
from lexicell_kernels import CsrBlock, GeneTable, Weight, parity

from .stand_in import stand_in

#: 0 runs the threads in order. With others, one warp runs ahead as far as barriers let it, its lanes in
#: random order, and differently in each launch, so that a case sees four such orders.
SEEDS = (0, pytest.param(1, marks=pytest.mark.slow))

Check = Callable[..., None]

Case = parity.Case
CASES = [
    *parity.cases(),
    # More picks than are held at once, at the borders of chunks, in both orders of columns.
    *(Case(k=k, n_rows=4, n_columns=9000, longest=8000, dim=8, in_order=in_order, seed=20)
      for k in (2047, 2048, 2049, 4096, 5000) for in_order in (False, True)),
    Case(k=None, n_rows=4, n_columns=9000, longest=8000, dim=8, in_order=True, pattern="equal", seed=21),
    # Sorted by score all at once.
    Case(k=3000, n_rows=4, n_columns=9000, longest=8000, dim=8, weight=Weight.RANK, pattern="heavy", seed=22),
    # Longer than 16 bits count.
    *(Case(k=k, n_rows=4, n_columns=90_000, longest=70_000, dim=16, in_order=True, values=np.uint16,
           pattern=pattern, seed=23) for k, pattern in ((300, "ones"), (4096, "heavy"))),
    # Every layout of a block: a piece for each thread, more, fewer, and slices that leave threads over.
    *(Case(dim=dim, vectors=vectors, n_rows=4, seed=24)
      for dim in (24, 96, 500, 1024, 1100) for vectors in (np.float32, np.float16)),
]  # fmt: skip


@pytest.fixture(scope="module")
def backends() -> Iterator[tuple[ModuleType, ModuleType]]:
    with stand_in() as cupy:
        yield cupy, importlib.import_module("lexicell_kernels.cuda")


@pytest.fixture(params=SEEDS, ids="seed {}".format)
def check(
    backends: tuple[ModuleType, ModuleType],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Check:
    """Hold the backend against the reference on a block."""
    monkeypatch.setenv("LEXICELL_SHIM_SEED", str(request.param))
    cupy, backend = backends
    cupy.testing_counters.reset()  # the seeds of launches count from here

    def check_block(block: CsrBlock, table: GeneTable, **options: Any) -> None:
        parity.check_block(backend, block, table, to_device=cupy.asarray, to_host=cupy.asnumpy, **options)

    return check_block


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gpu_backend_agrees_with_the_reference(check: Check, case: parity.Case) -> None:
    check(
        parity.block_of(case), parity.table_of(case), k=case.k, weight=case.weight, normalise=case.normalise
    )


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("select", [False, True], ids=["embed", "select"])
def test_what_is_no_csr_matrix_is_refused_before_it_is_copied(
    backends: tuple[ModuleType, ModuleType], bad: str, select: bool
) -> None:
    run: Callable[..., Any] = lexicell_kernels.select_topk if select else lexicell_kernels.embed_rows
    with pytest.raises(lexicell_kernels.InvalidBlockError):
        run(sound(**BAD[bad]), TABLE, k=2, device="cuda")


@pytest.mark.parametrize("bad", OFFSETS)
@pytest.mark.parametrize("select", [False, True], ids=["embed", "select"])
def test_a_row_that_lies_nowhere_is_flagged_where_nobody_waits(
    backends: tuple[ModuleType, ModuleType], bad: str, select: bool
) -> None:
    cupy, backend = backends
    arrays = {name: getattr(sound(), name) for name in ("data", "indices")}
    indptr = np.array(OFFSETS[bad], np.int64)
    there = sound(**{name: cupy.asarray(a) for name, a in arrays.items()}, indptr=cupy.asarray(indptr))
    result = (backend.select_topk if select else backend.embed_rows)(there, TABLE, k=2)
    used = cupy.asnumpy(result.n_genes)
    starts, stops = indptr[:-1], indptr[1:]
    np.testing.assert_array_equal(used == -4, (starts < 0) | (stops < starts) | (stops > 4))
    with pytest.raises(lexicell_kernels.InvalidBlockError):
        lexicell_kernels.check_rows(result, there)


def block(rows: Sequence[NDArray[Any]], n_columns: int, rng: np.random.Generator) -> CsrBlock:
    """Rows of given values in random columns."""
    columns = [np.sort(rng.permutation(n_columns)[: len(values)]) for values in rows]
    indptr = np.cumsum([0, *map(len, rows)])
    return CsrBlock(
        data=np.concatenate(rows),
        indices=np.concatenate(columns).astype(np.int32),
        indptr=indptr.astype(np.int64),
        n_columns=n_columns,
    )


def table(
    n_columns: int, rng: np.random.Generator, *, in_order: bool, factor: float | None = None
) -> GeneTable:
    """Four of five columns are genes; vectors lie around a common direction, so that sums never cancel."""
    known = np.flatnonzero(rng.random(n_columns) < 0.8)
    rank = np.full(n_columns, -1, np.int32)
    rank[known] = np.arange(len(known)) if in_order else rng.permutation(len(known))
    vectors = (rng.standard_normal((len(known), 20)) + 2).astype(np.float32)
    factors = None if factor is None else np.full(len(known), factor, np.float32)
    return GeneTable(vectors, rank, factors)


BOTH_ORDERS = pytest.mark.parametrize("in_order", [False, True], ids=["any order", "lexicon order"])


@BOTH_ORDERS
def test_rows_may_end_anywhere_in_a_warp_a_group_or_a_segment(check: Check, in_order: bool) -> None:
    rng = np.random.default_rng(30)
    edges = [n + d for n in (0, 32, 64, 128, 256, 384, 512, 768, 1024) for d in (-1, 0, 1) if n + d >= 0]
    rows = [rng.integers(1, 4, n).astype(np.float32) for n in edges]
    check(block(rows, 1300, rng), table(1300, rng, in_order=in_order), k=48)


@BOTH_ORDERS
@pytest.mark.parametrize("k", [1, 31, 32, 33, 127, 128, 129])
def test_the_group_at_the_boundary_is_cut_at_any_place(check: Check, in_order: bool, k: int) -> None:
    rng = np.random.default_rng(31)
    rows = [rng.choice([1, 1, 1, 2], n).astype(np.uint16) for n in (40, 129, 700)]
    check(block(rows, 900, rng), table(900, rng, in_order=in_order), k=k)


EXTREMES = {
    "bytes and more": [1, 253, 254, 255, 256, 257],
    "sixteen bits": [1, 254, 65534, 65535],
    "beyond whole floats": [1, 2**22, 2**23 - 1, 2**23, 2**24, 2**24 + 2],
    "tiny": [1e-45, 1e-42, 1e-38, 1.2e-38, 1],
    "huge": [1, 1e30, 3e38, 3.4e38],
    "next to each other": [0.1, np.nextafter(np.float32(0.1), np.float32(1)), 0.3, 1 / 3],
    "negative zeros": [-0.0, 0.0, 1, 2],
}


@BOTH_ORDERS
@pytest.mark.parametrize("values", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("factor", [None, 3.0, 1e-30], ids=["plain", "factor", "tiny factor"])
def test_counts_of_any_size_are_ordered_and_summed(
    check: Check, in_order: bool, values: list[float], factor: float | None
) -> None:
    rng = np.random.default_rng(32)
    rows = [rng.choice(values, n).astype(np.float32) for n in (1, 60, 300)]
    check(block(rows, 500, rng), table(500, rng, in_order=in_order, factor=factor), k=40)


@BOTH_ORDERS
@pytest.mark.parametrize("weight", Weight)
def test_real_cells_agree(check: Check, pbmc3k: Any, in_order: bool, weight: Weight) -> None:
    counts = pbmc3k.X[np.random.default_rng(33).permutation(pbmc3k.n_obs)[:12]]
    rng = np.random.default_rng(34)
    cells = CsrBlock(
        data=counts.data,
        indices=counts.indices,
        indptr=counts.indptr.astype(np.int64),
        n_columns=counts.shape[1],
    )
    check(cells, table(cells.n_columns, rng, in_order=in_order), k=128, weight=weight)
