"""What DESIGN promises of every embedding, searched for counterexamples.

The GPU's kernels run on the CPU here, behind the stand-in for CuPy, with threads in a random order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tests.kernels.cuda.stand_in import stand_in

from lexicell_kernels import (
    CsrBlock,
    Device,
    GeneTable,
    Order,
    Picks,
    Rows,
    Weight,
    cpu,
    embed_rows,
    parity,
    reference,
    select_topk,
)

WHOLE = [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 7, 253, 254, 255, 256, 257, 65535, 65536, 1 << 20]
FRACTIONS = [0, 0, 0.1, 0.1, 0.25, 1 / 3, 0.5, 1, 1, 2.5, 1e-30, 255.5, 300.7, 1e6]
DIM = 5

ANYWHERE = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.slow)])


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, stand_in():
        patch.setenv("LEXICELL_SHIM_SEED", "5")
        yield


@dataclass(frozen=True)
class Problem:
    dense: NDArray[np.float64]  # cells x columns
    table: GeneTable
    k: int | None
    weight: Weight
    shuffle: NDArray[np.int64]  # an order of the columns

    @property
    def block(self) -> CsrBlock:
        return csr(self.dense)


def csr(dense: Any, values: Any = np.float32, columns: Any = np.int32) -> CsrBlock:
    """All non-zeros, as scipy would store them."""
    rows, indices = np.nonzero(dense)
    indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
    return CsrBlock(
        data=dense[rows, indices].astype(values),
        indices=indices.astype(columns),
        indptr=indptr.astype(np.int64),
        n_columns=dense.shape[1],
    )


@st.composite
def problems(draw: st.DrawFn, values: list[float] | None = None, max_value: float = np.inf) -> Problem:
    n, v = draw(st.integers(1, 6)), draw(st.integers(1, 90))
    pool = values or draw(st.sampled_from([WHOLE, FRACTIONS]))
    dense = draw(
        hnp.arrays(np.float64, (n, v), elements=st.sampled_from([x for x in pool if x <= max_value]))
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m = draw(st.integers(0, v))
    rank = np.full(v, -1, np.int32)
    rank[rng.permutation(v)[:m]] = np.arange(m, dtype=np.int32)
    # Around a common direction, as real texts are: sums never cancel.
    vectors = (rng.standard_normal((m, DIM)) + 2).astype(draw(st.sampled_from([np.float32, np.float16])))
    factor = rng.choice(np.array([0.3, 0.5, 1, 1, 7], np.float32), m) if draw(st.booleans()) else None
    bias = rng.standard_normal(DIM).astype(np.float32) * np.float32(0.1) if draw(st.booleans()) else None
    k = draw(st.sampled_from([1, 2, 3, 10, 40, 10_000, None]))
    weight = draw(st.sampled_from(Weight))
    return Problem(dense, GeneTable(vectors, rank, factor, bias), k, weight, rng.permutation(v))


def embed(problem: Problem, block: CsrBlock | None = None, device: Device = "cpu") -> Rows:
    block = problem.block if block is None else block
    return embed_rows(block, problem.table, k=problem.k, weight=problem.weight, device=device)


def in_lexicon_order(problem: Problem) -> Problem:
    """The same described columns, their genes ascending: a shorter way through the GPU's kernel."""
    rank = problem.table.rank.copy()
    rank[rank >= 0] = np.sort(rank[rank >= 0])
    return replace(problem, table=replace(problem.table, rank=rank))


def shuffled(problem: Problem) -> Problem:
    """The same cells and genes, with the columns in another order."""
    table = replace(problem.table, rank=problem.table.rank[problem.shuffle])
    return replace(problem, dense=problem.dense[:, problem.shuffle], table=table)


def same(found: Rows | Picks, expected: Rows | Picks, rows: Any = slice(None)) -> None:
    """Bit-equal in every field."""
    for field in expected.__slots__:
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field)[rows], err_msg=field)


@given(problems())
def test_the_cpu_backend_is_the_reference(problem: Problem) -> None:
    parity.check_block(cpu, problem.block, problem.table, k=problem.k, weight=problem.weight)


@ANYWHERE
@given(problems(), st.booleans())
def test_vectors_do_not_depend_on_the_order_of_columns(
    device: Device, problem: Problem, in_order: bool
) -> None:
    if in_order:
        problem = in_lexicon_order(problem)
    same(embed(shuffled(problem), device=device), embed(problem, device=device))


@ANYWHERE
def test_nor_do_picks_and_totals_of_fractions_that_float64_rounds(device: Device) -> None:
    rng = np.random.default_rng(1)
    dense = np.exp(rng.normal(0, 8, (20, 400)))
    table = GeneTable(np.ones((400, 1), np.float32), np.arange(400, dtype=np.int32))
    problem = Problem(dense, table, 5, Weight.LOG1P, rng.permutation(400))
    found, expected = (
        select_topk(p.block, p.table, k=5, device=device) for p in (shuffled(problem), problem)
    )
    same(found, expected)


@ANYWHERE
def test_nor_where_a_gpu_takes_the_picks_in_several_windows(device: Device) -> None:
    rng = np.random.default_rng(0)
    v = 5000
    dense = rng.integers(0, 4, (2, v)).astype(np.float64)
    table = GeneTable((rng.standard_normal((v, 20)) + 2).astype(np.float32), np.arange(v, dtype=np.int32))
    problem = Problem(dense, table, None, Weight.LOG1P, rng.permutation(v))
    found = embed(problem, device=device)
    assert (found.n_genes > 2048).all()
    same(embed(shuffled(problem), device=device), found)


@ANYWHERE
@given(problems(), st.data())
def test_a_cell_does_not_depend_on_other_cells(device: Device, problem: Problem, data: st.DataObject) -> None:
    n = len(problem.dense)
    rows = data.draw(st.lists(st.integers(0, n - 1), max_size=2 * n))
    some = replace(problem, dense=problem.dense[rows])
    same(embed(some, device=device), embed(problem, device=device), rows)


@ANYWHERE
@given(problems(), st.integers(0, 6))
def test_blocks_may_be_cut_anywhere(device: Device, problem: Problem, cut: int) -> None:
    whole = problem.block
    rows = slice(min(cut, whole.n_rows), None)
    expected = embed(problem, device=device)
    # The second part keeps the arrays of the whole: offsets need not begin at 0.
    same(embed(problem, replace(whole, indptr=whole.indptr[rows.start :]), device), expected, rows)
    head = replace(problem, dense=problem.dense[: rows.start])
    same(embed(head, device=device), expected, slice(rows.start))


@given(problems(), st.integers(2, 4))
def test_the_number_of_threads_changes_nothing(problem: Problem, threads: int) -> None:
    alone = embed(problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "_INLINE_NNZ", 0)
        options = {"k": problem.k, "weight": problem.weight, "threads": threads}
        same(cpu.embed_rows(problem.block, problem.table, **options), alone)
        k = problem.k or 3
        same(
            cpu.select_topk(problem.block, problem.table, k=k, threads=threads),
            cpu.select_topk(problem.block, problem.table, k=k, threads=1),
        )


@pytest.mark.slow
@ANYWHERE
@settings(max_examples=max(15, settings.default.max_examples // 4))
@given(problems(WHOLE, max_value=255), st.sampled_from(Order))
def test_picks_do_not_depend_on_how_numbers_are_stored(
    device: Device, problem: Problem, order: Order
) -> None:
    k = problem.k or 5
    expected = reference.select_topk(problem.block, problem.table, k=k, order=order)
    vectors = embed(problem, device=device)
    for values in (np.uint8, np.uint16, np.uint32, np.int32, np.int64, np.float32, np.float64):
        for columns in (np.uint16, np.int32, np.int64):
            block = csr(problem.dense, values, columns)
            same(select_topk(block, problem.table, k=k, order=order, device=device), expected)
            same(embed(problem, block, device), vectors)


@ANYWHERE
@given(problems())
def test_stored_zeros_and_negative_zeros_are_nothing(device: Device, problem: Problem) -> None:
    n, v = problem.dense.shape
    data = problem.dense.astype(np.float32).ravel()
    data[data == 0] = np.where(np.arange((data == 0).sum()) % 2, np.float32(0), np.float32(-0.0))
    full = CsrBlock(
        data=data,
        indices=np.tile(np.arange(v, dtype=np.int32), n),
        indptr=np.arange(n + 1, dtype=np.int64) * v,
        n_columns=v,
    )
    same(embed(problem, full, device), embed(problem, device=device))
    parity.check_block(cpu, full, problem.table, k=problem.k, weight=problem.weight)


@given(problems())
def test_columns_may_stand_in_any_order_inside_a_row(problem: Problem) -> None:
    block = problem.block
    data, indices = block.data.copy(), block.indices.copy()
    for a, b in zip(block.indptr[:-1], block.indptr[1:], strict=True):
        data[a:b], indices[a:b] = data[a:b][::-1].copy(), indices[a:b][::-1].copy()
    same(embed(problem, replace(block, data=data, indices=indices)), embed(problem))


@given(problems())
def test_a_column_that_stands_twice_in_a_row_is_summed(problem: Problem) -> None:
    half = csr(problem.dense)
    twice = CsrBlock(
        data=np.concatenate([np.r_[x, x] for x in np.split(half.data, half.indptr[1:-1])]),
        indices=np.concatenate([np.r_[c, c] for c in np.split(half.indices, half.indptr[1:-1])]),
        indptr=2 * half.indptr,
        n_columns=half.n_columns,
    )
    doubled = replace(problem, dense=2 * problem.dense)
    same(embed(problem, twice), embed(doubled))
    parity.check_block(cpu, twice, problem.table, k=problem.k, weight=problem.weight)


@given(problems())
def test_two_runs_are_bit_equal_and_the_input_is_untouched(problem: Problem) -> None:
    block = problem.block
    before = [a.copy() for a in (block.data, block.indices, block.indptr)]
    same(embed(problem, block), embed(problem, block))
    for now, then in zip((block.data, block.indices, block.indptr), before, strict=True):
        np.testing.assert_array_equal(now, then)


@ANYWHERE
@given(problems())
def test_every_row_is_a_unit_vector_or_flagged_and_zero(device: Device, problem: Problem) -> None:
    rows = embed(problem, device=device)
    length = np.linalg.norm(rows.vectors, axis=1)
    np.testing.assert_allclose(length, rows.n_genes > 0, atol=1e-5)
    described = problem.dense.astype(np.float32)[:, problem.table.rank >= 0]
    candidates = (described > 0).sum(axis=1)
    np.testing.assert_array_equal(rows.n_genes, np.minimum(candidates, problem.k or candidates))
    assert (rows.coverage[candidates == 0] == 0).all()
    most = 1 if device == "cuda" else 1 + 1e-6
    assert ((rows.coverage >= 0) & (rows.coverage <= most)).all()


@given(problems())
def test_a_masked_gene_is_as_if_it_had_no_description(problem: Problem) -> None:
    """Masking a gene leaves the picks among the others: k counts described genes only."""
    table = problem.table
    if not table.n_genes:
        return
    masked = replace(table, rank=np.where(table.rank == 0, -1, table.rank).astype(np.int32))
    k = problem.k or 5
    left = cpu.select_topk(problem.block, masked, k=k, order=Order.SCORE)
    full = cpu.select_topk(problem.block, table, k=k + 1, order=Order.SCORE)
    for row in range(len(problem.dense)):
        kept = full.genes[row][(full.genes[row] > 0)][:k]
        np.testing.assert_array_equal(left.genes[row, : left.n_genes[row]], kept)
