"""Statistics of genes are those of NumPy on the dense matrix, however it is read."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.gene_statistics import (
    enough_cells,
    gene_statistics,
    highly_variable_columns,
    highly_variable_genes,
)
from lexicell.errors import CountsError


def statistics(adata, values=None, **options):
    with open_counts(adata) as source:
        cells = align_cells(source, AlignOptions(values=values))
        return gene_statistics(cells, **options), cells


@pytest.fixture(scope="module")
def known(pbmc3k):
    """PBMC3k's first 400 cells: statistics, and the dense normalised counts of the same genes."""
    part = pbmc3k[:400]
    found, aligned = statistics(part)
    described = np.flatnonzero(aligned.alignment.rows >= 0)
    gene = np.searchsorted(found.rows, aligned.alignment.rows[described])
    which = sp.csr_array((np.ones(len(gene)), (described, gene)), shape=(part.n_vars, len(found.rows)))
    dense = (sp.csr_array(part.X).astype(np.float64) @ which).toarray()
    return found, 1e4 * dense / np.asarray(part.X.sum(1)).reshape(-1, 1)


def test_moments_and_detection_are_numpys(known):
    found, share = known
    assert found.n_cells == 400
    np.testing.assert_allclose(found.mean, np.log1p(share).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, np.log1p(share).var(0, ddof=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.detected, (share > 0).mean(0))


def test_blocks_do_not_show(cells):
    whole, _ = statistics(cells)
    parts, _ = statistics(cells, max_nnz=500)
    for name in ("mean", "variance", "share_variance"):
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
    found, _ = statistics(halves, values="normalised")
    np.testing.assert_allclose(found.variance, whole.variance, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.detected, whole.detected)


def test_a_negative_count_is_an_error(cells):
    with open_counts(cells) as source:
        aligned = align_cells(source, AlignOptions())
        cells.X.data[5] = -1
        with pytest.raises(CountsError, match=rf"'{cells.obs_names[0]}'"):
            gene_statistics(aligned)


def test_highly_variable_genes_are_scanpys(pbmc3k):
    sc = pytest.importorskip("scanpy")
    found, cells = statistics(pbmc3k)
    rows = highly_variable_genes(found, 1000)
    assert (np.diff(rows) > 0).all()
    part = pbmc3k.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.normalize_total(part, target_sum=1e4)
        sc.pp.log1p(part)
        part = part[:, cells.alignment.rows >= 0].copy()
        sc.pp.highly_variable_genes(part, n_top_genes=1000, flavor="seurat")
    theirs = cells.alignment.rows[cells.alignment.rows >= 0][part.var["highly_variable"]]
    assert len(rows) == 1000
    assert len(np.setdiff1d(rows, theirs)) <= 2  # they take all of a tie, and round to float32


def test_columns_in_memory_are_chosen_alike(cells):
    found, aligned = statistics(cells)
    described = np.flatnonzero(aligned.alignment.rows >= 0)
    counts, rows = sp.csr_array(cells.X), aligned.alignment.rows[described]
    totals = np.asarray(counts.sum(axis=1)).ravel()
    order = np.argsort(rows)
    columns = highly_variable_columns(counts[:, described[order]], totals, 300)
    np.testing.assert_array_equal(rows[order][columns], highly_variable_genes(found, 300))


def test_genes_that_do_not_vary_are_never_chosen(cells):
    found, _ = statistics(cells)
    assert len(highly_variable_genes(found, 10_000)) == (found.share_variance > 0).sum()


def test_statistics_of_some_genes_are_a_part(cells):
    found, _ = statistics(cells)
    part = found.among(found.rows[::7])
    np.testing.assert_array_equal(part.variance, found.variance[::7])
    assert part.n_cells == found.n_cells


def test_genes_of_too_few_cells_are_no_candidates(cells):
    found, aligned = statistics(cells)
    everyone = highly_variable_genes(found, 300)
    common = highly_variable_genes(found, 300, least_cells=30)
    have = dict(zip(found.rows.tolist(), np.rint(found.detected * found.n_cells), strict=True))
    assert min(have[row] for row in everyone.tolist()) < 30
    assert min(have[row] for row in common.tolist()) >= 30
    described = np.flatnonzero(aligned.alignment.rows >= 0)
    order = np.argsort(aligned.alignment.rows[described])
    counts = sp.csr_array(cells.X)
    totals = np.asarray(counts.sum(axis=1)).ravel()
    columns = highly_variable_columns(counts[:, described[order]], totals, 300, least_cells=30)
    np.testing.assert_array_equal(aligned.alignment.rows[described][order][columns], common)


def test_few_cells_are_asked_for_fewer_cells():
    assert [enough_cells(n) for n in (0, 4, 20, 50, 3000)] == [0, 0, 4, 10, 10]
