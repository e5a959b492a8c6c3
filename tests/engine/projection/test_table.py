"""A projection in the gene table: its formula, to the last part, whichever genes are asked for."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from scipy.special import erf

import lexicell
from lexicell.embedding import fold
from lexicell.embedding.candidates import CandidateGenes
from lexicell.errors import InputError
from lexicell.lexicon import Alignment, Lexicon, align_genes
from lexicell.projection import Projection, Residual


def by_definition(
    adata: anndata.AnnData, lexicon: Lexicon, aligned: Alignment, p: Projection, *, normalise: bool
) -> np.ndarray:
    """The formula in the class's docstring, in float64: ``z = normalise(head(sum w T / sum w + b))``."""
    e = lexicon.vectors(lexicon.rows).astype(np.float64)
    table = e @ p.weight.T.astype(np.float64) + p.offset
    table[p.residual.rows] += p.residual.coefficients.astype(np.float64) @ p.residual.basis
    table *= p.gene_scale[:, None]

    counts = adata.X.toarray().astype(np.float64)
    described = aligned.rows >= 0
    by_gene = np.zeros((len(counts), lexicon.n_genes))
    np.add.at(by_gene.T, aligned.rows[described], counts.T[described])
    by_gene[:, p.masked] = 0
    rows = []
    for x, total in zip(by_gene, counts.sum(axis=1), strict=True):
        score = (x * p.rank_factor).astype(np.float32)
        genes = np.lexsort((np.arange(len(x)), -score))[: p.pooling.top_k]
        genes = genes[score[genes] > 0]
        if not len(genes):
            rows.append(np.zeros(p.dim))
            continue
        w = 1e4 * x[genes] / total if p.pooling.weight == "count" else np.log1p(1e4 * x[genes] / total)
        z = w @ table[genes] / w.sum() + p.bias
        for layer in p.head:
            z = layer.weight.astype(np.float64) @ z + layer.bias
            z = {"none": z, "relu": np.maximum(z, 0), "gelu": z * (1 + erf(z / np.sqrt(2))) / 2}[
                layer.activation
            ]
        rows.append(z / np.linalg.norm(z) if normalise else z)
    return np.array(rows)


@pytest.fixture(scope="module")
def blood(pbmc3k):
    """500 cells, the last of which has no count."""
    some = pbmc3k[:500].copy()
    some.X.data[some.X.indptr[499] :] = 0
    some.X.eliminate_zeros()
    return some


@pytest.mark.parametrize("headless", [False, True])
def test_cells_through_the_kernel_are_the_formula(bundled, blood, full, headless):
    p = full(head=(), classifier=None) if headless else full()
    lexicell.tl.embed(blood, lexicon=bundled, projection=p)
    expected = by_definition(blood, bundled, align_genes(bundled, blood.var), p, normalise=True)
    found = blood.obsm["X_lexicell"]
    assert found.shape == (500, p.dim)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(~found.any(axis=1)), [499])
    assert blood.obs["lexicell_n_genes"].iloc[499] == 0
    assert blood.obs["lexicell_n_genes"].max() == 60


def test_vectors_keep_their_length_where_the_projection_was_learned_so(bundled, blood, full):
    pooling = full().pooling
    p = full(pooling=type(pooling)(None, "log1p", normalise=False))
    lexicell.tl.embed(blood, lexicon=bundled, projection=p)
    expected = by_definition(blood, bundled, align_genes(bundled, blood.var), p, normalise=False)
    np.testing.assert_allclose(blood.obsm["X_lexicell"], expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("linear", [False, True])
def test_a_genes_row_has_the_same_bits_whichever_others_are_asked_for(bundled, full, linear):
    weight = np.random.default_rng(1).standard_normal((96, bundled.dim))
    absent = dict.fromkeys(("bias", "offset", "residual", "classifier"))
    p = full(weight=weight, head=(), **absent) if linear else full()
    everything = p.table_rows(bundled, bundled.rows)
    assert (everything.dtype, everything.shape) == (np.float32, (bundled.n_genes, len(p.weight)))
    shuffled = np.random.default_rng(2).permutation(bundled.n_genes)[:700]
    for some in (bundled.rows[:1], bundled.rows[-1:], np.arange(0, 9_000, 7), shuffled):
        np.testing.assert_array_equal(p.table_rows(bundled, some), everything[some])
    applied = p.apply(bundled.vectors(shuffled), shuffled)
    np.testing.assert_allclose(applied, everything[shuffled], rtol=0, atol=1e-5 * np.abs(everything).max())
    assert p.table_rows(bundled, bundled.rows[:0]).shape == (0, len(p.weight))


def test_mask_and_rank_factors_of_the_projection_are_the_tables(bundled, blood, full):
    p, aligned = full(), align_genes(bundled, blood.var)
    folded = fold(bundled, CandidateGenes.of(aligned.rows), p)
    assert not p.masked[folded.genes.rows].any()
    np.testing.assert_array_equal(folded.table.rank_factor, p.rank_factor[folded.genes.rows])
    assert (folded.dim, folded.table.dim, folded.head) == (12, 24, p.head)
    flagged = np.zeros(bundled.n_genes, bool)
    flagged[folded.genes.rows[:50]] = True
    fewer = fold(bundled, CandidateGenes.of(aligned.rows, flagged), p)
    np.testing.assert_array_equal(fewer.genes.rows, folded.genes.rows[50:])
    np.testing.assert_array_equal(fewer.table.vectors, folded.table.vectors[50:])
    given = np.full(bundled.n_genes, 3, np.float32)
    assert (fold(bundled, CandidateGenes.of(aligned.rows), p, rank_factor=given).table.rank_factor == 3).all()


def test_another_lexicon_is_refused_with_both_names_and_hashes(bundled, full):
    p = full(lexicon="ab" * 32)
    with pytest.raises(
        InputError,
        match=rf"lexicon {bundled.name} \(abababababab\) and {bundled.name} is another "
        rf"\({bundled.identity[:12]}\); use the lexicon it was learned on",
    ):
        p.table_rows(bundled, bundled.rows)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"weight": np.ones((24, 9))}, "expects vectors of 9 dimensions .* has 384"),
        ({"gene_scale": None, "rank_factor": None, "masked": np.zeros(5, bool)}, "has a masked for 5 genes"),
        (
            {"residual": Residual([10**6], np.ones((1, 1)), np.ones((1, 24)))},
            "names the gene of row 1,000,000",
        ),
    ],
)
def test_a_lexicon_of_another_shape_is_refused(bundled, full, changed, said):
    with pytest.raises(InputError, match=said):
        full(lexicon=None, **changed).check_lexicon(bundled)
