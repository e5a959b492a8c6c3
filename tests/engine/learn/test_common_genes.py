"""Components of genes that two data sets have both measured."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.embedding.selected import select_counts
from lexicell.learn import common_genes
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.common_genes import common_components


def sides(first=range(0, 50), second=range(30, 90), seed=0):
    """70 and 90 cells of the same two kinds; the second's counts are three times as high."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.7, 1, (2, 100))
    made = []
    for n, genes, depth in ((70, first, 1), (90, second, 3)):
        rows = np.array(genes, np.int32)
        counts = sp.csr_array(rng.poisson(depth * rate[np.arange(n) % 2][:, rows]).astype(np.float32))
        totals = np.asarray(counts.sum(axis=1), np.float32)
        made.append(select_counts(counts, rows, totals, n_lexicon=100))
    return made


def by_definition(first, second, n_components):
    """Scale and centre each gene in each of the two, then principal components of both together."""
    dense = []
    weights = [weight_matrix(cells) for cells in (first, second)]
    common = np.intersect1d(weights[0][1], weights[1][1])
    for matrix, rows in weights:
        x = matrix.toarray()[:, np.isin(rows, common)].astype(float)
        spread = x.std(axis=0)
        scaled = np.minimum(x / np.where(spread > 0, spread, np.inf), 10)
        dense.append(scaled - scaled.mean(axis=0))
    _, _, axes = np.linalg.svd(np.vstack(dense), full_matrices=False)
    axes = axes[:n_components].T
    return [side @ axes for side in dense]


def test_components_are_those_of_both_together_each_gene_scaled_in_each():
    pair = sides()
    for found, wanted in zip(common_components(*pair, n_components=6), by_definition(*pair, 6), strict=True):
        assert (found.dtype, found.shape[1]) == (np.float32, 6)
        sign = np.sign((found * wanted).sum(axis=0))
        np.testing.assert_allclose(found * sign, wanted, atol=1e-4)


def test_cells_of_a_kind_meet_whatever_the_depth():
    one, two = common_components(*sides())
    kinds = [np.arange(len(side)) % 2 for side in (one, two)]
    means = [
        [side[kind == k].mean(axis=0) for k in (0, 1)] for side, kind in zip((one, two), kinds, strict=True)
    ]
    same = np.linalg.norm(means[0][0] - means[1][0])
    assert same < np.linalg.norm(means[0][0] - means[1][1]) / 3


def test_signs_and_numbers_do_not_depend_on_the_order_of_cells():
    first, second = sides()
    one, two = common_components(first, second)
    order = np.random.default_rng(2).permutation(len(first))
    moved, other = common_components(first.take(order), second)
    np.testing.assert_allclose(moved, one[order], atol=1e-3)
    np.testing.assert_allclose(other, two, atol=1e-3)


def test_sparse_stays_sparse(monkeypatch):
    seen = []
    scaled = common_genes.scaled_to_variance

    def spy(weights):
        seen.append(scaled(weights))
        monkeypatch.setattr(seen[-1], "toarray", None, raising=False)
        return seen[-1]

    monkeypatch.setattr(common_genes, "scaled_to_variance", spy)
    common_components(*sides())
    assert [type(side) for side in seen] == [sp.csr_matrix] * 2


@pytest.mark.parametrize(("second", "columns"), [(range(50, 90), 1), (range(49, 90), 1), (range(46, 90), 4)])
def test_few_common_genes_give_few_components_and_none_gives_zeros(second, columns):
    found = common_components(*sides(second=second))
    assert [side.shape for side in found] == [(70, columns), (90, columns)]
    assert all(np.isfinite(side).all() for side in found)
    assert any(side.any() for side in found) == (second.start < 50)


def test_the_sign_that_a_solver_gives_does_not_show(monkeypatch):
    known = common_components(*sides())
    solve = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda scatter: (solve(scatter)[0], -solve(scatter)[1]))
    for found, wanted in zip(common_components(*sides()), known, strict=True):
        np.testing.assert_array_equal(found, wanted)
