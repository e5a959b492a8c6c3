"""What stands in the place of texts: words, terms, cells that measured both panels, other data."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.evaluation import METHODS
from lexicell.evaluation.controls import BAGS, CONTROLS, bag_vectors
from lexicell.evaluation.panels import Panel
from lexicell.evaluation.splits import Split
from lexicell.evaluation.tables import OTHER_DATA, THROUGH, Tables, loadings_of, through_cells
from lexicell.lexicon import subset_lexicon


@pytest.fixture(scope="module")
def few(bundled, tmp_path_factory):
    """The bundled lexicon of 2,000 genes: words of all 21,609 take long."""
    symbols = bundled.genes.column("symbol").to_pylist()
    genes = ["CD3D", "CD3E", "INS", *symbols[::11]]
    return subset_lexicon("human-go-minilm", tmp_path_factory.mktemp("few") / "few", genes=genes)


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
    return Panel(counts, np.arange(first, first + m, dtype=np.int32), totals, labels)


def halves(of):
    cells = np.arange(of.n_cells)
    genes = of.rows[::2], of.rows[1::2]
    return Split("disjoint", "halves", None, 0, (of, of), (cells[:120], cells[120:]), genes)


def likeness(vectors):
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit @ unit.T


@pytest.mark.parametrize("made", ["cells", "loadings"])
def test_genes_that_are_expressed_together_are_alike(made):
    of = panel()
    vectors = through_cells(halves(of), 50, 150, 0) if made == "cells" else loadings_of(of, 150, 0)
    assert vectors.shape == (150, 50)
    assert not vectors[120:].any()  # not measured
    cosine = likeness(vectors)
    module = np.arange(120) // 40
    same = module[:, None] == module
    np.fill_diagonal(same, val=False)
    assert cosine[:120, :120][same].mean() > 0.2 + cosine[:120, :120][module[:, None] != module].mean()


def test_cells_are_of_the_query_and_drawn_anew():
    split = halves(panel())
    first, again, other = (through_cells(split, 10, 150, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    drawn = np.sort(np.random.default_rng(0).permutation(split.cells[1])[:10])
    cells = split.sources[1].take(drawn)
    logged = np.log1p(1e4 * cells.counts.toarray() / cells.totals[:, None])
    np.testing.assert_array_equal(first[:120].T > 0, logged > logged.mean(axis=0))


def test_each_data_set_is_compared_by_the_others(few):
    told = []
    tables = Tables(few, {"one": panel(0), "two": panel(1, first=60)}, 0, told.append)
    names = tables.controls(METHODS["bridge"])
    of_texts = {*CONTROLS, *BAGS}
    assert set(THROUGH) | {OTHER_DATA} | of_texts == set(names)

    assert OTHER_DATA not in Tables(few, {"one": panel()}, 0, told.append).controls(METHODS["bridge"])
    assert set(tables.controls(METHODS["paper"])) == of_texts
    assert tables.controls(METHODS["pca50-hvg"]) == ()
    split = halves(panel())
    vectors = tables.vectors(OTHER_DATA, "one", split, 7)
    assert not vectors[:60].any()
    assert vectors[60:180].any(axis=1).all()
    assert tables.vectors(OTHER_DATA, "one", split, 8) is vectors
    apart = Split("transfer", "text alone", None, 0, (panel(0), panel(1)), split.cells)
    assert tables.vectors("co-expression in 10 cells", "one", apart, 0) is None
    np.testing.assert_array_equal(tables.vectors("", "one", split, 0), few.vectors(few.rows))


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
