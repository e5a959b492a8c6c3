"""Weights of a selection are those that the kernel pools with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lexicell_kernels import Weight, embed_rows, parity, select_topk, weights

# Three cells: three genes of which two are tied, none, and one.
COUNTS, SCORES = np.array([4, 2, 8, 2], np.uint8), np.array([0, 0, 9, 1], np.uint8)
TOTALS, INDPTR = np.array([20.0, 0, 2]), np.array([0, 3, 3, 4])
EXPECTED = {
    Weight.LOG1P: np.log1p([2000, 1000, 4000, 10000]),
    Weight.COUNT: [2000, 1000, 4000, 10000],
    Weight.UNIFORM: [1, 1, 1, 1],
    Weight.RANK: [2 / 3, 1 / 3, 1, 1],  # of the tie the first is higher
}


@pytest.mark.parametrize("weight", Weight)
def test_they_are_what_the_design_says(weight):
    single = weights(COUNTS, SCORES, TOTALS, INDPTR, weight)
    double = weights(COUNTS, SCORES, TOTALS, INDPTR, weight, dtype=np.float64)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(double, EXPECTED[weight])
    np.testing.assert_array_equal(single, np.float32(EXPECTED[weight]))


@pytest.mark.parametrize("weight", Weight)
@pytest.mark.parametrize("rank_factor", [False, True], ids=["plain", "rank_factor"])
@pytest.mark.parametrize("pattern", ["counts", "heavy", "equal", "fractions"])
def test_they_are_what_the_kernel_pools_with(pattern, rank_factor, weight):
    case = parity.Case(pattern, n_columns=400, longest=200, rank_factor=rank_factor, seed=50)
    block, table = parity.block_of(case), parity.table_of(case)
    table = replace(table, vectors=np.eye(table.n_genes, dtype=np.float32))  # a vector shows the weights
    picks = select_topk(block, table, k=40)
    cell, place = np.nonzero(picks.genes >= 0)
    indptr = np.concatenate([[0], np.cumsum(picks.n_genes)])
    w = weights(picks.counts[cell, place], picks.scores[cell, place], picks.totals, indptr, weight)
    pooled = embed_rows(block, table, k=40, weight=weight, normalise=False).vectors
    np.testing.assert_allclose(
        pooled[cell, picks.genes[cell, place]], w / np.bincount(cell, w)[cell], rtol=1e-6
    )


@pytest.mark.parametrize(
    "given",
    [
        (COUNTS[1:], SCORES, TOTALS, INDPTR),
        (COUNTS, SCORES[1:], TOTALS, INDPTR),
        (COUNTS, SCORES, TOTALS[1:], INDPTR),
        (COUNTS, SCORES, TOTALS, np.array([1, 3, 3, 4])),
        (COUNTS[1:], SCORES[1:], TOTALS, INDPTR),
    ],
    ids=["counts", "scores", "totals", "indptr", "genes"],
)
@pytest.mark.parametrize("weight", Weight)
def test_arrays_of_different_lengths_are_refused(given, weight):
    with pytest.raises(ValueError, match="of 3 cells from"):
        weights(*given, weight)


def test_a_weight_that_is_none_is_refused():
    with pytest.raises(ValueError, match="heavy"):
        weights(COUNTS, SCORES, TOTALS, INDPTR, "heavy")
