"""What unlabelled cells tell of genes: on real cells, for genes that they have not measured too."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.arrays import unit_rows
from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.selected import select_counts
from lexicell.errors import InputError, OutputExistsError
from lexicell.learn import gene_atlas
from lexicell.learn.gene_atlas import (
    _features,
    atlas_likenesses,
    expression_of_genes,
    foretell_loadings,
    gene_loadings,
    learn_gene_atlas,
    read_through,
    resolve_atlas,
)
from lexicell.lexicon import align_genes, cell_hashes, open_gene_atlas

QUIET = {"listener": lambda event: None}


@pytest.fixture(scope="module")
def two(scanpys, few, tmp_path_factory):
    """An atlas of two halves of scanpy's cells, one of which has half of the genes; and its file."""
    path = tmp_path_factory.mktemp("atlas") / "atlas.parquet"
    data = {"all": scanpys[:350].copy(), "half": scanpys[350:, ::2].copy()}
    return learn_gene_atlas(data, path, lexicon=few, min_coverage=0.1, **QUIET), path, data


def test_an_atlas_holds_what_each_data_set_has_measured_and_what_texts_foretell_for_all(two, few):
    atlas, path, data = two
    assert [(cells.name, cells.cells, cells.columns) for cells in atlas.data] == [
        ("all", 350, (0, 50)),
        ("half", 350, (50, 100)),
    ]
    for cells in atlas.data:
        columns = slice(*cells.columns)
        lengths = np.linalg.norm(atlas.loadings[:, columns], axis=1)
        measured = np.flatnonzero(lengths)
        np.testing.assert_allclose(lengths[measured], 1, rtol=1e-5)
        assert len(measured) == cells.genes > 300
        assert set(measured) <= set(align_genes(few, data[cells.name].var).rows)
        assert (np.linalg.norm(atlas.foretold[:, columns], axis=1) > 0.99).mean() > 0.99
    assert atlas.card["lexicon_identity"] == few.identity
    again = open_gene_atlas(few, path)
    np.testing.assert_allclose(again.loadings, atlas.loadings, atol=1 / 250)
    for name, cells in data.items():
        totals = np.asarray(cells.X.sum(axis=1)).ravel()
        kept = again.apart_from(cell_hashes(cells.obs_names, totals)).data
        assert [one.name for one in kept] == [other for other in data if other != name]


@pytest.mark.slow
def test_the_same_cells_and_seed_give_the_same_atlas(two, few):
    atlas, path, data = two
    again = learn_gene_atlas(data, lexicon=few, min_coverage=0.1, **QUIET)
    for part in ("loadings", "foretold", "words", "scale"):
        np.testing.assert_array_equal(getattr(again, part), getattr(atlas, part))
    with pytest.raises(OutputExistsError, match="exists"):
        learn_gene_atlas(data, path, lexicon=few)


@pytest.mark.slow
def test_cells_that_were_not_drawn_are_known_too(scanpys, few, monkeypatch):
    monkeypatch.setattr(gene_atlas, "_MOST_CELLS", 30)
    atlas = learn_gene_atlas({"blood": scanpys}, lexicon=few, min_coverage=0.1, **QUIET)
    assert (atlas.data[0].cells, len(atlas.data[0].sketch)) == (30, scanpys.n_obs)
    totals = np.asarray(scanpys.X.sum(axis=1)).ravel()
    assert not atlas.apart_from(cell_hashes(scanpys.obs_names, totals)).data


def test_what_texts_foretell_is_right_more_often_than_by_chance(pbmc3k, bundled):
    with open_counts(pbmc3k) as source:
        cells = align_cells(source, AlignOptions(lexicon=bundled)).select(None)
    loadings = gene_loadings(cells)
    vectors = bundled.vectors(bundled.rows).astype(np.float32)
    features = _features(vectors, np.zeros((len(vectors), 1), np.float32))
    measured = np.flatnonzero(loadings.any(axis=1))
    asked = np.random.default_rng(0).permutation(measured)[:2_000]
    rest = loadings.copy()
    rest[asked] = 0
    true = unit_rows(loadings[asked])
    right, wrong = (
        float((true * foretell_loadings(rest, by)[asked]).sum(axis=1).mean())
        for by in (features, features[np.random.default_rng(1).permutation(len(features))])
    )
    assert right > 0.05
    assert right > 3 * abs(wrong)


def blocks(n=240, m=120, module=40):
    """Cells of three classes; genes of a module rise and fall together."""
    rng = np.random.default_rng(0)
    rate = np.full((3, m), 0.5)
    for g in range(3):
        rate[g, g * module : (g + 1) * module] = 4
    counts = sp.csr_array(rng.poisson(rate[np.arange(n) % 3]).astype(np.float32))
    totals = np.asarray(counts.sum(axis=1), np.float32)
    return select_counts(counts, np.arange(10, 10 + m, dtype=np.int32), totals, n_lexicon=150)


@pytest.mark.parametrize("made", ["cells", "loadings"])
def test_genes_that_are_expressed_together_are_alike(made):
    cells = blocks()
    vectors = (
        expression_of_genes(cells.take(np.arange(50))).vectors if made == "cells" else gene_loadings(cells)
    )
    assert vectors.shape == (150, 50)
    assert not vectors[:10].any()
    assert not vectors[130:].any()  # not measured
    cosine = unit_rows(vectors[10:130]) @ unit_rows(vectors[10:130]).T
    module = np.arange(120) // 40
    same = module[:, None] == module
    np.fill_diagonal(same, val=False)
    assert cosine[same].mean() > 0.2 + cosine[module[:, None] != module].mean()


def test_expression_of_genes_is_scaled_and_cut():
    cells = blocks().take(np.arange(30))
    found = expression_of_genes(cells)
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors[10:130].mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(found.vectors[10:130].std(axis=1), 1, rtol=1e-4)
    assert np.abs(found.vectors).max() <= 10


def test_too_few_cells_are_one_sentence(scanpys, few, bundled):
    with pytest.raises(InputError, match=r"20 .* 19"):
        learn_gene_atlas({"blood": scanpys[:19].copy()}, lexicon=few, min_coverage=0.1, **QUIET)
    with pytest.raises(InputError, match=r"three cells.*not 2"):
        read_through(scanpys[:2].copy(), AlignOptions(lexicon=bundled))
    with pytest.raises(InputError, match="give a data set"):
        learn_gene_atlas({})
    with pytest.raises(InputError, match="same name"):
        learn_gene_atlas(["a/cells.h5ad", "b/cells.h5ad"])


def test_of_many_cells_that_measured_both_a_sample_is_read(scanpys, bundled, monkeypatch):
    options = AlignOptions(lexicon=bundled)
    assert read_through(scanpys, options).vectors.shape == (bundled.n_genes, scanpys.n_obs)
    monkeypatch.setattr(gene_atlas, "_MOST_THROUGH", 40)
    first, again, other = (read_through(scanpys, options, seed=seed).vectors for seed in (0, 0, 1))
    assert first.shape == (bundled.n_genes, 40)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_atlas_is_resolved_by_name_path_and_itself(two, few):
    atlas, path, _ = two
    assert resolve_atlas("none", few) is None
    assert atlas_likenesses(None) == ()
    assert resolve_atlas(atlas, few) is atlas
    assert [cells.name for cells in resolve_atlas(path, few).data] == ["all", "half"]
    assert len(resolve_atlas("bundled", few).data) == 2
    assert [one.name for one in atlas_likenesses(atlas)] == ["words", "loadings", "foretold loadings"]
