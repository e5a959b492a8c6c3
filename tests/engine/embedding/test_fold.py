"""Folding changes where the arithmetic happens, and never its result."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.counts import Values, open_counts
from lexicell.embedding import FoldedTable, Recipe, fold
from lexicell.embedding.candidates import CandidateGenes
from lexicell.errors import InputError
from lexicell.lexicon import align_genes
from lexicell.projection import Projection
from lexicell_kernels import CsrBlock, Weight, cpu, reference


@pytest.fixture
def aligned(bundled, cells):
    return align_genes(bundled, cells.var)


def block_of(adata) -> CsrBlock:
    with open_counts(adata) as source:
        return source.read(0, source.n_cells)


def embed(adata, folded: FoldedTable, k: int | None = 30) -> NDArray[np.float32]:
    return cpu.embed_rows(folded.genes.counts(block_of(adata), Values.COUNTS), folded.table, k=k).vectors


def unfolded(adata, lexicon, aligned, recipe: Recipe, projection: Projection | None) -> NDArray[np.float64]:
    """The design's formula, in float64 and its own order: pool the lexicon's vectors, then project."""
    vectors = lexicon.vectors(lexicon.rows).astype(np.float64)
    dense = adata.X.toarray().astype(np.float64)
    out = []
    for x in dense:
        by_gene = np.zeros(lexicon.n_genes)
        np.add.at(by_gene, aligned.rows[aligned.rows >= 0], x[aligned.rows >= 0])
        genes = np.lexsort((np.arange(lexicon.n_genes), -by_gene))[: recipe.top_k]
        genes = genes[by_gene[genes] > 0]
        w = np.log1p(1e4 * by_gene[genes] / x.sum())
        z = w @ vectors[genes] / w.sum()
        if projection is not None:
            gain = 1 if projection.gene_scale is None else projection.gene_scale[genes].astype(np.float64)
            z = (w * gain) @ vectors[genes] / w.sum()
            z = projection.weight.astype(np.float64) @ z
            z = z if projection.bias is None else z + projection.bias
        out.append(z / np.linalg.norm(z))
    return np.array(out)


@pytest.mark.parametrize("parts", ["none", "weight", "bias", "gene_scale", "all"])
@pytest.mark.parametrize("k", [30, None])
def test_folding_first_is_projecting_last(bundled, cells, aligned, parts, k):
    rng = np.random.default_rng(0)
    projection = Projection(
        rng.standard_normal((24, bundled.dim)).astype(np.float32),
        rng.standard_normal(24).astype(np.float32) if parts in ("bias", "all") else None,
        rng.random(bundled.n_genes).astype(np.float32) + 0.5 if parts in ("gene_scale", "all") else None,
    )
    projection = None if parts == "none" else projection
    recipe = Recipe("test", k, Weight.LOG1P, normalise=True, source="")
    found = embed(cells, fold(bundled, CandidateGenes.of(aligned.rows), projection), k)
    expected = unfolded(cells, bundled, aligned, recipe, projection)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_table_is_half_only_where_that_loses_nothing(bundled, aligned):
    plain = fold(bundled, CandidateGenes.of(aligned.rows))
    assert plain.table.vectors.dtype == np.float16
    np.testing.assert_array_equal(
        plain.table.vectors.astype(np.float32), bundled.vectors(plain.genes.rows.astype(np.int64))
    )
    third = Projection(np.eye(bundled.dim, dtype=np.float32) / 3)
    assert fold(bundled, CandidateGenes.of(aligned.rows), third).table.vectors.dtype == np.float32
    assert (
        fold(
            bundled, CandidateGenes.of(aligned.rows), Projection(np.eye(4, bundled.dim, dtype=np.float32))
        ).table.dim
        == 4
    )


def test_the_table_is_in_lexicon_order_and_ranks_point_into_it(bundled, cells, aligned):
    folded = fold(bundled, CandidateGenes.of(aligned.rows))
    assert (np.diff(folded.genes.rows) > 0).all()
    described = aligned.rows >= 0
    np.testing.assert_array_equal(folded.genes.rows[folded.table.rank[described]], aligned.rows[described])
    assert (folded.table.rank[~described] == -1).all()
    assert folded.genes.shared is None


def test_masked_genes_are_never_picked(bundled, cells, aligned):
    block = block_of(cells)
    whole = fold(bundled, CandidateGenes.of(aligned.rows))
    favourite = np.bincount(
        whole.genes.rows[cpu.select_topk(block, whole.table, k=5).genes.ravel()],
        minlength=bundled.n_genes,
    ).argmax()
    masked = np.zeros(bundled.n_genes, bool)
    masked[favourite] = True
    without = fold(bundled, CandidateGenes.of(aligned.rows, masked))
    assert without.table.n_genes == whole.table.n_genes - 1
    assert favourite not in without.genes.rows
    left_out = cells[:, aligned.rows != favourite].copy()
    picks = cpu.select_topk(block, without.table, k=20)
    alone = fold(
        bundled, CandidateGenes.of(align_genes(bundled, left_out.var, organism="human", column="index").rows)
    )
    expected = cpu.select_topk(block_of(left_out), alone.table, k=20)
    np.testing.assert_array_equal(picks.genes, expected.genes)


def test_rank_factors_choose_and_do_not_weigh(bundled, cells, aligned):
    block = block_of(cells)
    rank_factor = np.random.default_rng(1).random(bundled.n_genes).astype(np.float32) + 0.1
    folded = fold(bundled, CandidateGenes.of(aligned.rows), rank_factor=rank_factor)
    np.testing.assert_array_equal(folded.table.rank_factor, rank_factor[folded.genes.rows])
    plain = fold(bundled, CandidateGenes.of(aligned.rows))
    chosen = cpu.select_topk(block, folded.table, k=10).genes
    assert (chosen != cpu.select_topk(block, plain.table, k=10).genes).any()
    for k in (10, None):
        np.testing.assert_allclose(
            cpu.embed_rows(block, folded.table, k=k).vectors,
            reference.embed_rows(block, folded.table, k=k).vectors,
            atol=1e-5,
        )
    np.testing.assert_array_equal(  # with all genes chosen there is nothing that a rank factor could change
        cpu.embed_rows(block, folded.table, k=None).vectors,
        cpu.embed_rows(block, plain.table, k=None).vectors,
    )


@pytest.mark.parametrize("bad", [0, -1, np.nan, np.inf])
def test_factors_that_would_break_the_order_are_refused(bundled, aligned, bad):
    rank_factor = np.ones(bundled.n_genes, np.float32)
    rank_factor[7] = bad
    with pytest.raises(InputError, match="finite and larger than 0"):
        fold(bundled, CandidateGenes.of(aligned.rows), rank_factor=rank_factor)


def _split(adata, first: str, second: str, share: int):
    """The same cells with some of one gene's counts in another column of that gene."""
    dense = adata.X.toarray()
    at = adata.var_names.get_loc(first)
    extra = dense[:, at] // share
    dense[:, at] -= extra
    var = pd.DataFrame({"gene": [*adata.var_names, second]}, index=[*adata.var_names, "again"])
    return anndata.AnnData(sp.csr_matrix(np.column_stack([dense, extra])), obs=adata.obs.copy(), var=var)


@pytest.mark.parametrize("share", [1, 2], ids=["moved", "halved"])
@pytest.mark.parametrize("route", ["symbol", "ensembl_ids", "ncbi_id"])
def test_two_columns_of_one_gene_are_their_sum(bundled, cells, aligned, share, route):
    at = np.where(aligned.rows >= 0, np.asarray(cells.X.sum(axis=0)).ravel(), 0).argmax()
    name = bundled.genes.column(route).to_pylist()[aligned.rows[at]]
    name = f"{name[0]}.9" if route == "ensembl_ids" else str(name)
    split = _split(cells, cells.var_names[at], name, share)
    doubled = align_genes(bundled, split.var, column="gene")
    assert doubled.n_matched == doubled.n_genes + 1
    folded = fold(bundled, CandidateGenes.of(doubled.rows))
    assert folded.genes.shared is not None
    np.testing.assert_array_equal(
        embed(split, folded), embed(cells, fold(bundled, CandidateGenes.of(aligned.rows)))
    )


def test_fractions_in_columns_of_one_gene_sum_to_the_same_bits_in_any_order(bundled, cells):
    rng = np.random.default_rng(3)
    dense = np.repeat(cells.X.toarray()[:, :200], 4, axis=1) * rng.random((cells.n_obs, 800), np.float32)
    var = pd.DataFrame({"gene": np.repeat(cells.var_names[:200], 4)}, index=[f"c{i}" for i in range(800)])
    found = []
    for order in (np.arange(800), rng.permutation(800)):
        adata = anndata.AnnData(sp.csr_matrix(dense[:, order]), obs=cells.obs, var=var.iloc[order])
        folded = fold(bundled, CandidateGenes.of(align_genes(bundled, adata.var, column="gene").rows))
        found.append(embed(adata, folded))
    np.testing.assert_array_equal(*found)


def test_summing_leaves_the_given_block_and_the_order_of_its_columns_alone(bundled, cells, aligned):
    first = cells.var_names[(aligned.rows >= 0).argmax()]
    split = _split(cells, first, first, 2)
    split.X.data = split.X.data.astype(np.uint16)
    folded = fold(bundled, CandidateGenes.of(align_genes(bundled, split.var, column="gene").rows))
    assert np.flatnonzero(folded.genes.shared).tolist() == [split.var_names.get_loc(first), 765]
    given, before = block_of(split), block_of(split.copy())
    ready = folded.genes.counts(given, Values.COUNTS)
    assert ready.indices is given.indices
    assert ready.indptr is given.indptr
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(given, name), getattr(before, name))
    assert ready.data.sum() == given.data.sum()
    assert fold(bundled, CandidateGenes.of(aligned.rows)).genes.counts(given, Values.COUNTS) is given


def test_a_negative_count_does_not_hide_in_the_sum_of_two_columns(bundled, cells, aligned):
    first = cells.var_names[(aligned.rows >= 0).argmax()]
    split = _split(cells, first, first, 1)
    dense = split.X.toarray()
    at = split.var_names.get_loc(first)
    dense[7, at], dense[7, -1] = 5, -1
    split.X = sp.csr_matrix(dense)
    folded = fold(bundled, CandidateGenes.of(align_genes(bundled, split.var, column="gene").rows))
    with pytest.raises(ValueError, match=r"row 7, .* holds -1"):
        embed(split, folded)


def test_a_projection_for_another_lexicon_is_refused(bundled, aligned):
    with pytest.raises(InputError, match=r"9 dimensions.* 384"):
        fold(bundled, CandidateGenes.of(aligned.rows), Projection(np.ones((3, 9), np.float32)))


def test_a_table_is_made_once_for_the_same_genes_and_projection(bundled, aligned):
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((24, bundled.dim)).astype(np.float32)
    genes = CandidateGenes.of(aligned.rows)
    first, again = (fold(bundled, genes, Projection(weight.copy())).table for _ in range(2))
    assert again.vectors is first.vectors
    assert not first.vectors.flags.writeable
    assert again.derived is not first.derived
    other = fold(bundled, genes, Projection(2 * weight)).table.vectors
    np.testing.assert_array_equal(other, 2 * first.vectors)
    few = fold(bundled, CandidateGenes.of(aligned.rows[:300]), Projection(weight)).table
    assert few.n_genes < first.n_genes
    assert fold(bundled, genes).table.dim == bundled.dim


def test_a_projection_that_is_changed_in_place_is_folded_anew(bundled, aligned):
    projection = Projection(np.eye(8, bundled.dim, dtype=np.float32), np.zeros(8, np.float32))
    genes = CandidateGenes.of(aligned.rows)
    before = fold(bundled, genes, projection).table
    projection.weight[:] *= 2
    projection.bias[:] = 1
    after = fold(bundled, genes, projection).table
    np.testing.assert_array_equal(after.vectors, 2 * before.vectors.astype(np.float32))
    assert (after.bias == 1).all()


def test_kept_tables_give_the_vectors_of_new_ones(bundled, cells, aligned):
    projection = Projection(np.random.default_rng(4).standard_normal((24, bundled.dim)).astype(np.float32))
    genes = CandidateGenes.of(aligned.rows)
    fold(bundled, genes, projection)
    kept = embed(cells, fold(bundled, genes, projection))
    bundled.recent.clear()
    np.testing.assert_array_equal(kept, embed(cells, fold(bundled, genes, projection)))
