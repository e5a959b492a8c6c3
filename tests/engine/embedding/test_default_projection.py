"""The default recipe whitens vectors and weighs genes, and costs nothing per cell."""

from __future__ import annotations

import numpy as np

from lexicell.embedding import embed_anndata
from lexicell.embedding.default_projection import default_projection, make_default_projection
from lexicell.lexicon import gene_scales


def test_rows_are_whitened_vectors_of_length_one_times_factors(bundled):
    rows = np.arange(0, bundled.n_genes, 50)
    table = default_projection(bundled).table_rows(bundled, rows.astype(np.int32))
    lengths = np.linalg.norm(table, axis=1)
    np.testing.assert_allclose(lengths, gene_scales(bundled)[rows], rtol=2e-2)
    raw = bundled.vectors(rows)

    def mean_cosine(vectors):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return (unit @ unit.T)[np.triu_indices(len(unit), 1)].mean()

    assert abs(mean_cosine(table)) < 0.02
    assert mean_cosine(raw) > 0.2


def test_the_one_that_comes_along_is_what_would_be_computed(bundled):
    shipped, computed = default_projection(bundled), make_default_projection(bundled)
    assert shipped.lexicon == bundled.identity
    rows = np.arange(0, bundled.n_genes, 200, dtype=np.int32)
    np.testing.assert_allclose(
        shipped.table_rows(bundled, rows), computed.table_rows(bundled, rows), atol=1e-4
    )


def test_it_is_made_once_for_a_lexicon(bundled):
    assert default_projection(bundled) is default_projection(bundled)


def test_the_default_recipe_says_what_it_did(cells):
    embed_anndata(cells)
    told = cells.uns["lexicell"]
    assert told["recipe"] == "lexicell"
    assert told["projection"] != "none"
    assert told["projection_card"]["name"] == "whitening and gene factors"
    embed_anndata(cells, recipe="paper", key_added="raw")
    assert cells.uns["raw"]["projection"] == "none"
    assert not np.allclose(cells.obsm["raw"], cells.obsm["X_lexicell"], atol=1e-2)
