"""Components of expression are scanpy's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.evaluation import Panel
from lexicell.evaluation.expression import components, log_normalise


def bare(counts) -> Panel:
    counts = sp.csr_array(counts).astype(np.float32)
    rows = np.arange(counts.shape[1], dtype=np.int32)
    return Panel(counts, rows, np.asarray(counts.sum(axis=1), np.float32))


def scanpys(counts, n_genes):
    sc = pytest.importorskip("scanpy")
    from anndata import AnnData

    adata = AnnData(sp.csr_matrix(counts).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata, n_top_genes=n_genes, flavor="seurat")
    return adata


def test_highly_variable_genes_are_scanpys(pbmc3k):
    counts = pbmc3k.X[:600]
    adata = scanpys(counts, 500)
    mine = highly_variable_columns(sp.csr_array(counts), np.asarray(counts.sum(1)).ravel(), 500)
    theirs = np.flatnonzero(adata.var["highly_variable"])
    assert len(mine) == 500
    assert len(np.intersect1d(mine, theirs)) >= 499  # they take all of a tie


def test_components_of_highly_variable_genes_are_scanpys(pbmc3k):
    sc = pytest.importorskip("scanpy")
    counts = pbmc3k.X[:400]
    adata = scanpys(counts, 300)
    genes = highly_variable_columns(sp.csr_array(counts), np.asarray(counts.sum(1)).ravel(), 300)
    adata = adata[:, genes].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.scale(adata, max_value=10)
    # scanpy's values are what is decomposed: distances between cells are kept by all 50 components
    theirs = np.clip(np.asarray(adata.X, np.float64), -10, None)
    theirs -= theirs.mean(axis=0)
    left, sizes, _ = np.linalg.svd(theirs, full_matrices=False)
    (mine,) = components(bare(counts), [bare(counts)], n_genes=300, seed=0)
    best = left[:, :5] * sizes[:5]
    np.testing.assert_allclose(np.abs(mine[:, :5]), np.abs(best), atol=0.05 * sizes[4] / 20)


def test_few_cells_have_few_components_and_others_are_projected(pbmc3k):
    few, more = bare(pbmc3k.X[:24]), bare(pbmc3k.X[24:60])
    none = few.take(np.empty(0, np.int64))
    for n_genes in (None, 200):
        fitted, projected, empty = components(few, [few, more, none], n_genes=n_genes, seed=0)
        assert fitted.shape == (24, 23)
        assert projected.shape == (36, 23)
        assert empty.shape == (0, 23)
        assert np.isfinite(projected).all()


def test_depth_is_divided_out(pbmc3k):
    logged = log_normalise(sp.csr_array(pbmc3k.X[:20]))
    deeper = log_normalise(sp.csr_array(pbmc3k.X[:20] * 3))
    np.testing.assert_allclose(logged.toarray(), deeper.toarray(), rtol=1e-5)
    np.testing.assert_allclose(np.expm1(logged.toarray()).sum(axis=1), 1e4, rtol=1e-4)
