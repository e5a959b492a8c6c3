"""What DESIGN promises of every embedding, searched for counterexamples on the GPU's kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.test_invariants import WHOLE, Problem, csr, problems, same

from lexicell_kernels import CsrBlock, GeneTable, Order, Rows, Weight, embed_rows, reference, select_topk

from .stand_in import stand_in


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, stand_in():
        patch.setenv("LEXICELL_SHIM_SEED", "5")
        yield


def embed(problem: Problem, block: CsrBlock | None = None) -> Rows:
    block = problem.block if block is None else block
    return embed_rows(block, problem.table, k=problem.k, weight=problem.weight, device="cuda")


def in_lexicon_order(problem: Problem) -> Problem:
    """The same described columns, their genes ascending: the kernel's shorter way."""
    rank = problem.table.rank.copy()
    rank[rank >= 0] = np.sort(rank[rank >= 0])
    return replace(problem, table=replace(problem.table, rank=rank))


@given(problems())
def test_vectors_do_not_depend_on_the_order_of_columns(problem: Problem) -> None:
    problem = in_lexicon_order(problem)
    table = replace(problem.table, rank=problem.table.rank[problem.shuffle])
    shuffled = replace(problem, dense=problem.dense[:, problem.shuffle], table=table)
    same(embed(shuffled), embed(problem))


def test_nor_where_the_picks_come_in_several_windows() -> None:
    rng = np.random.default_rng(0)
    v = 5000
    dense = rng.integers(0, 4, (2, v)).astype(np.float64)
    table = GeneTable((rng.standard_normal((v, 20)) + 2).astype(np.float32), np.arange(v, dtype=np.int32))
    problem = Problem(dense, table, None, Weight.LOG1P, rng.permutation(v))
    shuffled = replace(
        problem,
        dense=dense[:, problem.shuffle],
        table=replace(table, rank=table.rank[problem.shuffle]),
    )
    found = embed(problem)
    assert (found.n_genes > 2048).all()
    same(embed(shuffled), found)


@given(problems(), st.data())
def test_a_cell_does_not_depend_on_other_cells(problem: Problem, data: st.DataObject) -> None:
    n = len(problem.dense)
    rows = data.draw(st.lists(st.integers(0, n - 1), max_size=2 * n))
    same(embed(replace(problem, dense=problem.dense[rows])), embed(problem), rows)


@given(problems(), st.integers(0, 6))
def test_blocks_may_be_cut_anywhere(problem: Problem, cut: int) -> None:
    whole = problem.block
    start = min(cut, whole.n_rows)
    same(embed(problem, replace(whole, indptr=whole.indptr[start:])), embed(problem), slice(start, None))


@given(problems(WHOLE, max_value=255), st.sampled_from(Order))
def test_picks_do_not_depend_on_how_numbers_are_stored(problem: Problem, order: Order) -> None:
    k = problem.k or 5
    expected = reference.select_topk(problem.block, problem.table, k=k, order=order)
    vectors = embed(problem)
    for values in (np.uint8, np.uint16, np.int64, np.float32, np.float64):
        for columns in (np.uint16, np.int64):
            block = csr(problem.dense, values, columns)
            same(select_topk(block, problem.table, k=k, order=order, device="cuda"), expected)
            same(embed(problem, block), vectors)


@given(problems())
def test_stored_zeros_and_negative_zeros_are_nothing(problem: Problem) -> None:
    n, v = problem.dense.shape
    data = problem.dense.astype(np.float32).ravel()
    data[data == 0] = np.where(np.arange((data == 0).sum()) % 2, np.float32(0), np.float32(-0.0))
    full = CsrBlock(data, np.tile(np.arange(v, dtype=np.int32), n), np.arange(n + 1, dtype=np.int64) * v, v)
    same(embed(problem, full), embed(problem))


@given(problems())
def test_every_row_is_a_unit_vector_or_flagged_and_zero(problem: Problem) -> None:
    rows = embed(problem)
    np.testing.assert_allclose(np.linalg.norm(rows.vectors, axis=1), rows.n_genes > 0, atol=1e-5)
    assert ((rows.coverage >= 0) & (rows.coverage <= 1)).all()
