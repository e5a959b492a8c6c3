"""What stands in the place of texts: words, terms, cells that measured both panels, other data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.evaluation import METHODS
from lexicell.evaluation.cells.across_panels import THROUGH
from lexicell.evaluation.cells.panels import Panel
from lexicell.evaluation.cells.splits import Split
from lexicell.evaluation.cells.tables import OTHER_DATA, Tables
from lexicell.evaluation.controls import BAGS, CONTROLS, bag_vectors
from lexicell.lexicon import AtlasCells, GeneAtlas, cell_hashes


def panel(seed=0, n=240, m=120, first=0, module=40):
    """Cells of three classes; genes of a module rise and fall together."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % 3
    rate = np.full((3, m), 0.5)
    for g in range(3):
        rate[g, g * module : (g + 1) * module] = 4
    counts = sp.csr_array(rng.poisson(rate[group]).astype(np.float32))
    totals = np.asarray(counts.sum(axis=1), np.float32)
    labels = np.array(["a", "b", "c"])[group]
    names = np.array([f"{seed}-{i}" for i in range(n)], object)
    return Panel(counts, np.arange(first, first + m, dtype=np.int32), totals, labels, names=names)


def halves(of):
    cells = np.arange(of.n_cells)
    genes = of.rows[::2], of.rows[1::2]
    return Split("disjoint", "halves", None, 0, (of, of), (cells[:120], cells[120:]), genes)


@pytest.fixture(scope="module")
def atlas(few):
    """Loadings of two data sets of 240 cells each, on two components and on three."""
    rng = np.random.default_rng(1)
    data = tuple(
        AtlasCells.of(name, 240, 100, columns, cell_hashes(of.names, of.totals))
        for name, columns, of in (("one", (0, 2), panel(0)), ("two", (2, 5), panel(1)))
    )
    parts = (rng.standard_normal((few.n_genes, n)).astype(np.float32) for n in (5, 5, 4))
    return GeneAtlas(*parts, np.zeros((few.n_genes, 2), np.float32), np.ones(few.n_genes, np.float32), data)


@pytest.mark.slow
def test_cells_through_which_genes_are_compared_are_of_the_query_and_drawn_anew(few):
    split, tables = halves(panel()), Tables(few, 0, lambda event: None)
    first, again, other = (tables.through(10, split, seed).vectors for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    drawn = np.sort(np.random.default_rng(0).permutation(split.cells[1])[:10])
    cells = split.sources[1].take(drawn)
    logged = np.log1p(1e4 * cells.counts.toarray() / cells.totals[:, None])
    np.testing.assert_array_equal(first[:120].T > 0, logged > logged.mean(axis=0))
    np.testing.assert_array_equal(tables.vectors("co-expression in 10 cells", split, 0), first)
    apart = Split("transfer", "text alone", None, 0, (panel(0), panel(1)), split.cells)
    assert tables.vectors("co-expression in 10 cells", apart, 0) is None
    assert tables.through(10, apart, 0) is None


def test_controls_are_what_a_method_could_have_used(few, atlas):
    tables, without = (Tables(few, 0, lambda event: None, given) for given in (atlas, None))
    of_texts = {*CONTROLS, *BAGS}
    cells = {f"co-expression in {n} cells" for n in THROUGH}
    assert set(tables.controls(METHODS["bridge"])) == of_texts | cells | {OTHER_DATA}
    assert set(tables.controls(METHODS["bridge+atlas"])) == {*CONTROLS, OTHER_DATA}
    assert set(tables.controls(METHODS["paper"])) == of_texts
    assert set(without.controls(METHODS["bridge"])) == of_texts | cells
    for name in ("pca50-hvg", "common genes", "common genes+mixture"):
        assert tables.controls(METHODS[name]) == ()
    np.testing.assert_array_equal(tables.vectors("", halves(panel()), 0), few.vectors(few.rows))


def test_what_is_evaluated_was_not_learned_from(few, atlas):
    tables = Tables(few, 0, lambda event: None, atlas)
    one, two, new = (halves(panel(seed)) for seed in (0, 1, 2))
    for split, left in ((one, slice(2, 5)), (two, slice(0, 2)), (new, slice(0, 5)), (one, slice(2, 5))):
        np.testing.assert_array_equal(tables.vectors(OTHER_DATA, split, 7), atlas.loadings[:, left])
        apart = tables.atlas("", split, 7)
        np.testing.assert_array_equal(apart.foretold, atlas.foretold[:, left])
    both = replace(one, sources=(panel(0), panel(1)))
    assert tables.vectors(OTHER_DATA, both, 7) is None
    assert tables.atlas("", both, 7).data == ()
    some = panel(0).take(np.arange(100, 130))
    few_of_them = replace(one, sources=(some, some), cells=(np.arange(15), np.arange(15, 30)))
    assert [cells.name for cells in tables.atlas("", few_of_them, 0).data] == ["two"]


def test_a_controls_atlas_means_nothing_in_what_texts_gave_and_keeps_what_cells_gave(few, atlas):
    tables, split = Tables(few, 0, lambda event: None, atlas), halves(panel(2))
    for control in CONTROLS:
        changed = tables.atlas(control, split, 3)
        np.testing.assert_array_equal(changed.loadings, atlas.loadings)
        for part in ("words", "foretold"):
            assert not np.isclose(getattr(changed, part), getattr(atlas, part)).all(axis=1).any()
            lengths = (np.linalg.norm(getattr(of, part), axis=1) for of in (changed, atlas))
            np.testing.assert_allclose(*lengths, rtol=1e-5)
    assert tables.atlas(OTHER_DATA, split, 3) is None
    assert tables.atlas("co-expression in 50 cells", split, 3) is None
    assert Tables(few, 0, lambda event: None).atlas("", split, 3) is None


@pytest.mark.parametrize("bag", BAGS)
def test_genes_whose_texts_share_words_are_alike(few, bag):
    vectors = bag_vectors(few, bag)
    assert vectors.shape == (few.n_genes, 300)
    symbols = few.genes.column("symbol").to_pylist()
    at = {name: symbols.index(name) for name in ("CD3D", "CD3E", "INS")}
    assert vectors[at["CD3D"]] @ vectors[at["CD3E"]] > 0.2 + vectors[at["CD3D"]] @ vectors[at["INS"]]
    lengths = np.linalg.norm(vectors, axis=1)
    assert ((abs(lengths - 1) < 1e-4) | (lengths == 0)).all()


def test_texts_without_words_or_terms_give_no_bag(make_lexicon):
    lexicon = make_lexicon(np.eye(5, dtype=np.float32))
    assert bag_vectors(lexicon, "GO terms of texts") is None
