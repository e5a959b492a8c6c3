"""Views are what fewer reads or another panel would have given, and depend on their generator only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.learn.augment import Views, draw_views, keep_genes, thin


def rng(seed=0):
    return np.random.default_rng(seed)


def test_thinning_keeps_the_expected_share_of_counts_and_total(groups):
    cells = groups[0].take(np.repeat(np.arange(240), 20))
    found = thin(cells, 0.3, 0.3, rng())
    assert found.counts.sum() / cells.counts.sum(dtype=int) == pytest.approx(0.3, abs=0.005)
    assert found.totals.sum() / cells.totals.sum() == pytest.approx(0.3, abs=0.005)
    assert (found.counts > 0).all()
    variance = found.totals.reshape(240, 20).var(axis=1, ddof=1).mean()
    assert variance == pytest.approx(0.3 * 0.7 * cells.totals.mean(), rel=0.1)


def test_thinned_counts_are_binomial_and_genes_without_counts_leave(groups):
    cells = groups[0].take(np.zeros(8000, int))
    found = thin(cells, 0.5, 0.5, rng())
    dense = np.zeros((8000, 70))
    dense[np.repeat(np.arange(8000), found.sizes), found.genes] = found.counts
    x = np.zeros(70)
    x[cells.genes[: cells.sizes[0]]] = cells.counts[: cells.sizes[0]]
    np.testing.assert_allclose(dense.mean(0), x / 2, atol=0.08)
    np.testing.assert_allclose(dense.var(0), x / 4, atol=0.12)


def test_each_view_of_a_cell_has_a_rate_of_its_own(groups):
    cells = groups[0]
    found = thin(cells, 0.1, 1.0, rng())
    share = found.totals / cells.totals
    assert share.min() < 0.2
    assert share.max() > 0.9


def test_fractions_are_thinned_to_the_right_mean(groups):
    cells = groups[0].take(np.repeat(np.arange(240), 20))
    cells = replace(cells, counts=cells.counts * np.float32(1.3))
    assert thin(cells, 0.4, 0.4, rng()).counts.sum() / cells.counts.sum() == pytest.approx(0.4, abs=0.005)


def test_without_thinning_a_view_is_the_cell(groups):
    (found,) = draw_views(groups[0], Views((1.0, 1.0), 0.0), 1, rng())
    assert found is groups[0]


def test_panels_share_no_gene_and_miss_none(groups):
    cells = groups[0]
    first, second = draw_views(cells, Views((1.0, 1.0), 0.0, panels=True), 2, rng())
    assert not np.intersect1d(first.genes, second.genes).size
    assert 20 < len(first.used) < 40
    np.testing.assert_array_equal(np.union1d(first.genes, second.genes), cells.used)
    np.testing.assert_allclose(first.totals + second.totals, cells.totals, rtol=1e-6)


def test_dropped_genes_differ_between_views_and_are_the_same_for_a_batch(groups):
    cells = groups[0]
    first, second = draw_views(cells, Views((1.0, 1.0), 0.3), 2, rng())
    assert set(first.used) != set(second.used)
    for view in (first, second):
        assert 0.5 < len(view.used) / len(cells.used) < 0.9
        kept = np.isin(cells.genes, view.used)
        np.testing.assert_array_equal(view.genes, cells.genes[kept])


def test_a_smaller_panel_has_a_smaller_total(groups):
    cells = groups[0]
    found = keep_genes(cells, np.arange(70) < 35)
    kept = [
        cells.counts[a:b][cells.genes[a:b] < 35].sum()
        for a, b in zip(cells.indptr, cells.indptr[1:], strict=False)
    ]
    np.testing.assert_allclose(found.totals, np.array(kept) + 50, rtol=1e-6)


def test_a_view_is_a_function_of_its_generator(groups):
    first, same, other = (draw_views(groups[0], Views(), 2, rng(s))[1] for s in (1, 1, 2))
    np.testing.assert_array_equal(first.counts, same.counts)
    assert len(first.counts) != len(other.counts) or (first.counts != other.counts).any()


@pytest.mark.parametrize(
    "bad", [{"thinning": (0.0, 1.0)}, {"thinning": (0.9, 0.5)}, {"drop": 1.0}, {"drop": -0.1}]
)
def test_ranges_are_checked(bad):
    with pytest.raises(InputError):
        Views(**bad)
