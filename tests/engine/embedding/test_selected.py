"""The store holds what the kernel selects, and gives its vectors again."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lexicell.counts import open_counts
from lexicell.embedding import AlignOptions, Options, align_cells, make_plan
from lexicell.embedding.fold import fold
from lexicell.embedding.selected import SelectedCells, select_counts
from lexicell.errors import CountsError
from lexicell_kernels import Order, Weight, embed_rows


def pooled(cells: SelectedCells, vectors):
    weights = sp.csr_array(
        (cells.weights().astype(np.float64), cells.genes.astype(np.int64), cells.indptr),
        shape=(len(cells), cells.n_lexicon),
    )
    z = weights @ vectors.astype(np.float64)
    return z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-30)


def kernel(plan):
    block = plan.cells.genes.counts(plan.cells.source.read(0, plan.cells.source.n_cells), plan.cells.values)
    return embed_rows(block, plan.folded.table, k=plan.recipe.top_k, weight=plan.recipe.weight).vectors


def selected(adata, rank_factor=None, **options):
    with open_counts(adata) as source:
        plan = make_plan(source, Options(**{"recipe": "paper", **options}))
        cells, lexicon = plan.cells, plan.cells.lexicon
        factors = None if rank_factor is None else rank_factor(lexicon)
        plan = replace(plan, folded=fold(lexicon, cells.genes, rank_factor=factors))
        kept = cells.select(plan.recipe.top_k, weight=plan.recipe.weight, rank_factor=factors)
        return kept, kernel(plan), lexicon.vectors(lexicon.rows)


@pytest.mark.parametrize("weight", list(Weight))
def test_its_vectors_are_the_kernels_for_every_weight(pbmc3k, weight):
    cells, expected, vectors = selected(pbmc3k[:900], top_k=128, weight=weight)
    assert np.abs(pooled(cells, vectors) - expected).max() < 1e-5


@pytest.mark.parametrize("weight", ["log1p", "rank"])
def test_its_vectors_are_the_kernels_with_rank_factors(cells, weight):
    def rank_factor(lexicon):
        return np.random.default_rng(0).uniform(0.1, 3, lexicon.n_genes).astype(np.float32)

    found, expected, vectors = selected(cells, rank_factor, top_k=20, weight=weight)
    assert np.abs(pooled(found, vectors) - expected).max() < 1e-5
    assert found.sizes.max() == 20


def test_all_described_genes_are_kept_without_top_k(cells):
    found, expected, vectors = selected(cells, recipe="genept-w")
    assert found.top_k is None
    assert np.abs(pooled(found, vectors) - expected).max() < 1e-5


def test_genes_of_two_columns_are_summed(cells):
    names = [*cells.var_names, *cells.var_names[:40]]
    var = pd.DataFrame({"symbol": names}, index=[f"column{i}" for i in range(len(names))])
    doubled = anndata.AnnData(sp.csr_matrix(sp.hstack([cells.X, cells.X[:, :40]])), cells.obs, var)
    found, expected, vectors = selected(doubled, gene_column="symbol", top_k=30)
    assert np.abs(pooled(found, vectors) - expected).max() < 1e-5


def test_blocks_do_not_show(cells, monkeypatch):
    whole, _, _ = selected(cells, top_k=30)
    monkeypatch.setattr("lexicell.embedding.blocks.MAX_NNZ", 700)
    parts, _, _ = selected(cells, top_k=30)
    for name in ("genes", "counts", "indptr", "totals"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_a_cell_takes_half_a_kilobyte(blood):
    cells, _, _ = blood
    assert cells.genes.dtype == np.uint16
    assert cells.counts.dtype in (np.uint8, np.uint16)
    arrays = (cells.genes, cells.counts, cells.indptr, cells.totals)
    assert sum(array.nbytes for array in arrays) / len(cells) < 540


def test_fractions_are_kept_as_they_are(cells):
    cells.X = cells.X.astype(np.float32) * np.float32(0.37)
    found, expected, vectors = selected(cells, top_k=25, values="normalised")
    assert found.counts.dtype == np.float32
    assert np.abs(pooled(found, vectors) - expected).max() < 1e-5


def test_a_bad_count_is_named_with_its_cell(cells):
    cells.X.data[cells.X.indptr[7]] = -2
    gene = cells.var_names[cells.X.indices[cells.X.indptr[7]]]
    with pytest.raises(CountsError, match=rf"'{cells.obs_names[7]}'.*'{gene}'"):
        selected(cells, values="counts")


def test_cells_are_taken_in_the_order_asked_for(groups):
    cells, _, _ = groups
    few = cells.take(np.array([5, 2, 5]))
    for at, cell in enumerate([5, 2, 5]):
        a, b = cells.indptr[cell : cell + 2]
        c, d = few.indptr[at : at + 2]
        np.testing.assert_array_equal(few.genes[c:d], cells.genes[a:b])
        np.testing.assert_array_equal(few.counts[c:d], cells.counts[a:b])
    np.testing.assert_array_equal(few.totals, cells.totals[[5, 2, 5]])


@pytest.mark.parametrize("weight", list(Weight))
def test_weights_of_some_cells_are_a_part_of_all_weights(groups, weight):
    cells = replace(groups[0], weight=weight)
    a, b = cells.indptr[[30, 50]]
    np.testing.assert_array_equal(cells.weights(30, 50), cells.weights()[a:b])


def test_a_matrix_in_memory_gives_the_same(cells):
    streamed, _, _ = selected(cells, top_k=30)
    with open_counts(cells) as source:
        plan = make_plan(source, Options(recipe="paper", top_k=30))
    described = np.flatnonzero(plan.cells.alignment.rows >= 0)
    counts = sp.csr_array(cells.X)
    held: SelectedCells = select_counts(
        counts[:, described], plan.cells.alignment.rows[described], np.asarray(counts.sum(1)).ravel(),
        n_lexicon=plan.cells.lexicon.n_genes, lexicon=plan.cells.lexicon.identity, top_k=30,
    )  # fmt: skip
    for name in ("genes", "counts", "indptr", "totals", "lexicon", "weight"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(held, name))


@pytest.mark.parametrize("k", [9, None])
def test_a_block_is_selected_in_both_orders_alike(cells, k):
    with open_counts(cells) as source:
        aligned = align_cells(source, AlignOptions())
        (rows,) = aligned.selections(k, weight=Weight.RANK)
        (scores,) = aligned.selections(k, weight=Weight.RANK, order=Order.SCORE)
    np.testing.assert_array_equal(rows.indptr, scores.indptr)
    np.testing.assert_array_equal(rows.totals, np.asarray(cells.X.sum(axis=1)).ravel())
    for cell in range(len(rows)):
        here = slice(*rows.indptr[cell : cell + 2])
        assert (np.diff(rows.genes[here]) > 0).all()
        assert (np.diff(scores.scores[here]) <= 0).all()
        order = np.argsort(scores.genes[here])
        for name in ("genes", "counts", "weights"):
            np.testing.assert_array_equal(getattr(scores, name)[here][order], getattr(rows, name)[here])
