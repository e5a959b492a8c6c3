"""Components of expression are scanpy's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.evaluation import Panel
from lexicell.evaluation.cells.expression import components, corrected_components, log_normalise


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


def test_highly_variable_genes_of_few_cells_are_scanpys_too(cells):
    counts = sp.csr_array(cells.X)
    theirs = np.flatnonzero(scanpys(counts, 200).var["highly_variable"])
    mine = highly_variable_columns(counts, np.asarray(counts.sum(1)).ravel(), 200)
    assert len(mine) == 200
    assert len(np.intersect1d(mine, theirs)) >= 199


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


# Harmony moves clouds that are far from each other a little.
@pytest.mark.parametrize(("how", "left"), [("centred", 0.1), ("harmony", 0.95)])
def test_corrected_components_keep_classes_and_lose_batches(how, left):
    if how == "harmony":
        pytest.importorskip("harmonypy")
    rng = np.random.default_rng(0)
    classes, batches = np.arange(400) % 2, np.repeat(["x", "y"], 200)
    seen_better = (batches == "y")[:, None] & (np.arange(300) % 3 == 0)
    rates = (0.5 + 4 * (np.arange(300) % 5 == classes[:, None])) * np.where(seen_better, 6, 1)
    panel = bare(rng.poisson(rates))
    (joint,) = components(panel, [panel], n_genes=250, seed=0)
    found = corrected_components(panel, batches, how=how, n_genes=250, seed=0)
    assert found.dtype == np.float32
    assert found.shape == joint.shape

    def apart(vectors, groups):
        """Distance between two groups' means, over what cells differ within them."""
        sides = [vectors[groups == one] for one in np.unique(groups)]
        within = np.mean([np.linalg.norm(side - side.mean(axis=0), axis=1).mean() for side in sides])
        return np.linalg.norm(sides[0].mean(axis=0) - sides[1].mean(axis=0)) / within

    assert apart(joint, batches) > 0.5
    assert apart(found, batches) < left * apart(joint, batches)
    assert apart(found, classes) > 0.9 * apart(joint, classes)
    again = corrected_components(panel, batches, how=how, n_genes=250, seed=0)
    np.testing.assert_array_equal(found, again)
