"""Statistics of genes are those of NumPy on the dense matrix, however it is read."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.atlas import open_counts
from lexicell.embedding import Options, make_plan
from lexicell.embedding.gene_statistics import (
    count_statistics,
    dispersed_columns,
    factors,
    gene_statistics,
    most_dispersed,
)
from lexicell.errors import CountsError, InputError
from lexicell.learn.bridge import weight_matrix


def statistics(adata, **options):
    with open_counts(adata) as source:
        plan = make_plan(source, Options())
        return gene_statistics(source, plan.folded, plan.values, **options), plan


@pytest.fixture(scope="module")
def known(pbmc3k):
    """PBMC3k's first 400 cells: statistics, and the dense normalised counts of the same genes."""
    part = pbmc3k[:400]
    found, plan = statistics(part)
    described = np.flatnonzero(plan.alignment.rows >= 0)
    gene = np.searchsorted(found.rows, plan.alignment.rows[described])
    which = sp.csr_array((np.ones(len(gene)), (described, gene)), shape=(part.n_vars, len(found.rows)))
    dense = (sp.csr_array(part.X).astype(np.float64) @ which).toarray()
    return found, 1e4 * dense / np.asarray(part.X.sum(1)).reshape(-1, 1)


def test_moments_and_detection_are_numpys(known):
    found, share = known
    assert found.n_cells == 400
    np.testing.assert_allclose(found.mean, np.log1p(share).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, np.log1p(share).var(0, ddof=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.detected, (share > 0).mean(0))


def test_the_median_is_within_half_a_percent(known):
    found, share = known
    share[share == 0] = np.nan
    there = ~np.isnan(share).all(0)
    expected = np.nanmedian(share[:, there], axis=0)
    assert np.abs(found.median_nonzero[there] / expected - 1).max() < 0.005
    assert np.isnan(found.median_nonzero[~there]).all()


def test_blocks_do_not_show(cells):
    whole, _ = statistics(cells)
    parts, _ = statistics(cells, max_nnz=500)
    for name in ("mean", "variance", "median_nonzero"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12, atol=1e-14)


def test_values_that_stand_twice_are_one_count(cells):
    whole, _ = statistics(cells)
    halves = cells.copy()
    rows = np.repeat(np.arange(120), np.diff(cells.X.indptr))
    split = sp.csr_matrix(cells.shape, dtype=np.float32)
    split.data = np.concatenate([cells.X.data[rows == i] / 2 for i in range(120) for _ in range(2)])
    split.indices = np.concatenate([cells.X.indices[rows == i] for i in range(120) for _ in range(2)])
    split.indptr = cells.X.indptr * 2
    halves.X = split
    with open_counts(halves) as source:
        plan = make_plan(source, Options(values="normalised"))
        found = gene_statistics(source, plan.folded, plan.values)
    np.testing.assert_allclose(found.variance, whole.variance, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.detected, whole.detected)


def test_a_matrix_in_memory_gives_the_same(cells):
    found, plan = statistics(cells)
    described = np.flatnonzero(plan.alignment.rows >= 0)
    counts = sp.csr_array(cells.X)
    held = count_statistics(
        counts[:, described], plan.alignment.rows[described], np.asarray(counts.sum(1)).ravel()
    )
    for name in ("rows", "mean", "variance", "detected", "median_nonzero"):
        np.testing.assert_allclose(getattr(held, name), getattr(found, name), rtol=1e-6, atol=1e-12)


def test_a_negative_count_is_an_error(cells):
    with open_counts(cells) as source:
        plan = make_plan(source, Options())
    cells.X.data[5] = -1
    with open_counts(cells) as source, pytest.raises(CountsError, match="negative"):
        gene_statistics(source, plan.folded)


@pytest.mark.parametrize("kind", ["dispersion", "specificity", "idf", "median"])
def test_factors_are_positive_and_finite(known, kind):
    found, _ = known
    factor = factors(found, kind)
    assert factor.dtype == np.float32
    assert (np.isfinite(factor) & (factor > 0)).all()
    assert (factor[found.detected == 0] == 1).all()


@pytest.mark.parametrize("kind", ["dispersion", "specificity"])
def test_markers_count_more_than_housekeeping(known, pbmc3k, kind):
    found, _ = known
    _, plan = statistics(pbmc3k[:400])
    symbol = np.array(plan.lexicon.genes.column("symbol").to_pylist(), object)[found.rows]
    factor = factors(found, kind)

    def of(*names):
        return np.array([factor[symbol == name][0] for name in names])

    assert of("LYZ", "NKG7", "CD74", "S100A9").min() > of("RPL13", "B2M", "ACTB", "EEF1A1").max()


def test_idf_and_median_are_their_formulas():
    made = SimpleNamespace(
        rows=np.arange(2), n_cells=9, detected=np.array([1 / 3, 0]), median_nonzero=np.array([4.0, np.nan])
    )
    np.testing.assert_allclose(factors(made, "idf"), [np.log1p(9 / 4), 1])
    np.testing.assert_allclose(factors(made, "median"), [0.25, 1])
    with pytest.raises(InputError, match="one of dispersion, specificity, idf, median, not 'x'"):
        factors(made, "x")


def test_the_most_dispersed_are_scanpys_more_often_than_not(pbmc3k):
    sc = pytest.importorskip("scanpy")
    found, plan = statistics(pbmc3k)
    rows = most_dispersed(found, 1000)
    assert (np.diff(rows) > 0).all()
    part = pbmc3k[:, plan.alignment.rows >= 0].copy()
    sc.pp.normalize_total(part, target_sum=1e4)
    sc.pp.log1p(part)
    sc.pp.highly_variable_genes(part, n_top_genes=1000, flavor="seurat")
    theirs = plan.alignment.rows[plan.alignment.rows >= 0][part.var["highly_variable"]]
    assert len(np.intersect1d(rows, theirs)) > 400


def test_the_quick_way_to_the_most_dispersed_genes_finds_the_same(blood):
    cells, _, _ = blood
    weights, rows = weight_matrix(cells)
    counts = sp.csr_array((cells.counts.astype(np.float32), weights.indices, cells.indptr), weights.shape)
    slow = most_dispersed(count_statistics(counts, rows, cells.totals), 300)
    np.testing.assert_array_equal(rows[dispersed_columns(counts, cells.totals, 300)], slow)
