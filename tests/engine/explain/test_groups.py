"""Genes that weigh most in a group are found, and their shares are exact."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.atlas import open_counts
from lexicell.embedding import RECIPES, Options, make_plan
from lexicell.explain import group_genes
from lexicell_kernels import reference

MARKERS = {"x": ["CD79A", "CD79B"], "y": ["CST3", "LYZ"]}


def explained(adata, labels, n=5, **options):
    with open_counts(adata) as source:
        plan = make_plan(source, Options(**options))
        block = source.read(0, source.n_cells)
        return group_genes(plan, labels, n=n), plan, block


def test_planted_markers_are_found(cells):
    dense = cells.X.toarray()
    labels = np.array(["x", "y", "z"])[np.arange(120) % 3]
    for group, genes in MARKERS.items():
        for gene in genes:
            at = cells.var_names.get_loc(gene)
            dense[:, at] = 0
            dense[labels == group, at] = 400
    cells.X = sp.csr_matrix(dense)
    found, _, _ = explained(cells, labels, n=2)
    assert found.columns.tolist() == ["group", "gene", "share", "excess"]
    assert found["group"].tolist() == ["x", "x", "y", "y", "z", "z"]
    for group, genes in MARKERS.items():
        rows = found[found["group"] == group]
        assert set(rows["gene"]) == set(genes)
        assert (rows["excess"] > 0).all()
        assert rows["excess"].is_monotonic_decreasing


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_shares_are_how_much_each_vector_counts_in_the_mean(cells, recipe):
    labels = np.arange(120) // 60
    found, plan, block = explained(cells, labels, n=10_000, recipe=recipe)
    for _, rows in found.groupby("group"):
        assert rows["share"].sum() == pytest.approx(1, abs=1e-5)
    # The mean of the unnormalised vectors of a group is the mean of the genes' vectors by share.
    vectors = reference.embed_rows(block, plan.folded.table, k=plan.recipe.top_k, normalise=False).vectors
    symbols = plan.cells.lexicon.genes.column("symbol").to_pylist()
    row_of = {symbols[row]: i for i, row in enumerate(plan.folded.genes.rows)}
    for group, rows in found.groupby("group"):
        genes = np.array([row_of[g] for g in rows["gene"]])
        mixed = rows["share"].to_numpy() @ plan.folded.table.vectors[genes].astype(np.float32)
        np.testing.assert_allclose(mixed, vectors[labels == group].mean(axis=0), atol=1e-5)


def test_logarithms_list_the_genes_of_their_counts(cells):
    labels = np.arange(120) // 60
    counts, _, _ = explained(cells, labels, n=25)
    cells.X = cells.X.log1p().astype(np.float32)
    logarithms, _, _ = explained(cells, labels, n=25, values="lognorm")
    assert logarithms["gene"].tolist() == counts["gene"].tolist()
    np.testing.assert_allclose(logarithms["share"], counts["share"], rtol=1e-3)


def test_a_gene_that_is_everywhere_is_nobodys(cells):
    labels = np.zeros(120, int)
    found, _, _ = explained(cells, labels)
    np.testing.assert_allclose(found["excess"], 0, atol=1e-7)


def test_markers_of_real_cells_are_found(pbmc3k):
    some = pbmc3k[pbmc3k.obs["cell_type"].isin(["B cells", "CD14+ Monocytes"])][:200].copy()
    if some.n_obs < 50:
        pytest.skip("the labels of this file are other ones")
    found, _, _ = explained(some, some.obs["cell_type"].astype(str).to_numpy(), n=8)
    b_cells = set(found[found["group"] == "B cells"]["gene"])
    assert {"CD79A", "CD74"} & b_cells
