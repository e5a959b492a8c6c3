"""A bridge names cells of a panel that shares no gene with the reference, through texts alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from lexicell.embedding import Options
from lexicell.embedding.selected import select_counts
from lexicell.errors import InputError
from lexicell.evaluation.cells.panels import panel_of
from lexicell.evaluation.cells.splits import disjoint_splits
from lexicell.learn.bridge import _regress, fit_bridge, weight_matrix
from lexicell.learn.gene_atlas import atlas_likenesses, expression_of_genes
from lexicell.learn.likeness import Likeness, likeness_matrix
from lexicell.lexicon import cell_hashes, open_gene_atlas


@pytest.fixture(scope="module")
def halves(pbmc3k, bundled):
    """Three draws of disjoint panels: cells of both sides, labels, and 50 cells that measured both."""
    panel = panel_of(pbmc3k, Options(), label="cell_type")
    atlas = open_gene_atlas(bundled).apart_from(cell_hashes(panel.names, panel.totals))
    assert [cells.name for cells in atlas.data] == ["pancreas (GSE84133, donor 1)"]

    def selected(side):
        return select_counts(side.counts, side.rows, side.totals, n_lexicon=bundled.n_genes)

    draws = []
    for split in disjoint_splits(panel, 3, 0)[0]:
        both = selected(split.sources[1].take(split.cells[1][::27]))
        draws.append((selected(split.reference), selected(split.query), split.labels, both))
    return draws, atlas, bundled.vectors(bundled.rows).astype(np.float32)


def _score(bridge, query, labels, vectors):
    weights, rows = weight_matrix(query)
    table = bridge.projection.apply(vectors[rows], rows)
    pooled = np.asarray(weights @ table) / np.asarray(weights.sum(axis=1))[:, None]
    found = bridge.finish(pooled, query.sizes)
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(bridge.held_out, labels[0])
    return f1_score(labels[1], model.predict(found), average="macro")


def test_cells_are_named_across_panels_by_texts_and_not_by_shuffled_ones(halves):
    draws, _, vectors = halves
    reference, query, labels, _ = draws[0]
    assert not set(reference.used.tolist()) & set(query.used.tolist())
    found = _score(fit_bridge(reference, vectors, labels[0]), query, labels, vectors)
    shuffled = vectors[np.random.default_rng(0).permutation(len(vectors))]
    lost = _score(fit_bridge(reference, shuffled, labels[0]), query, labels, shuffled)
    assert found > 0.45
    assert lost < 0.3


def test_what_other_cells_tell_of_genes_helps_and_cells_that_measured_both_panels_help_most(halves):
    draws, atlas, vectors = halves
    alone, beside, through = [], [], []
    for reference, query, labels, both in draws:
        for scores, options in (
            (alone, {}),
            (beside, {"beside": atlas_likenesses(atlas)}),
            (through, {"beside": atlas_likenesses(atlas), "through": expression_of_genes(both)}),
        ):
            scores.append(
                _score(fit_bridge(reference, vectors, labels[0], **options), query, labels, vectors)
            )
    assert np.mean(beside) > 0.02 + np.mean(alone)
    assert np.mean(through) > 0.05 + np.mean(beside)


def test_kernels_are_added_with_what_each_counts(groups):
    cells, labels, vectors = groups
    rng = np.random.default_rng(3)
    first, second = (Likeness(name, rng.standard_normal((70, 5)).astype(np.float32)) for name in "ab")
    texts = Likeness("texts", vectors, centred=True)
    known = cells.take(np.flatnonzero(labels != ""))
    weights, rows = weight_matrix(known)
    codes = np.unique(labels[labels != ""].astype(str), return_inverse=True)[1]
    dense = weights.toarray().astype(float)
    profiles = np.array([dense[codes == c].mean(axis=0) for c in range(3)]).T
    profiles = (profiles - profiles.mean(axis=1, keepdims=True)) / np.maximum(dense.std(axis=0), 1e-3)[
        :, None
    ]

    def kernel(of, genes):
        sides = [np.asarray(of.vectors[at], float) for at in (genes, rows)]
        if of.centred:
            mean = sides[1].mean(axis=0)
            sides = [side - mean for side in sides]
        one, other = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
        return np.exp(3 * (one @ other.T - 1))

    everything = np.arange(70)
    for options, counted in (
        ({}, [(texts, 1)]),
        ({"beside": (first,)}, [(texts, 0.6), (first, 0.6)]),
        ({"through": second}, [(texts, 0.3), (second, 1)]),
        ({"beside": (first,), "through": second}, [(texts, 0.3), (first, 0.3), (second, 1)]),
    ):
        bridge = fit_bridge(cells, vectors, labels, **options)
        inner = sum(weight * kernel(of, rows) for of, weight in counted)
        coefficients = np.linalg.solve(inner + np.eye(len(rows)), profiles)
        wanted = sum(weight * kernel(of, everything) for of, weight in counted) @ coefficients
        found = bridge.projection.apply(vectors, everything)
        np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max())


def test_a_gene_that_is_like_none_gets_a_row_that_says_no_more_than_others(groups):
    cells, labels, vectors = groups
    silent = vectors.copy()
    silent[60:] = 0  # no text, and in no cell
    nothing = Likeness("nothing", np.zeros((70, 2), np.float32))
    rng = np.random.default_rng(0)
    some = Likeness("some", np.where(np.arange(70)[:, None] < 60, rng.standard_normal((70, 3)), 0))
    for beside in ((nothing,), (some,), (some, nothing)):
        found = fit_bridge(cells, silent, labels, beside=beside).projection.apply(silent, np.arange(70))
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[60:], found[[60] * 10])
        assert np.linalg.norm(found[60]) < np.linalg.norm(found[:60], axis=1).mean()
    plain, added = (
        fit_bridge(cells, vectors, labels, beside=beside).held_out for beside in ((some,), (some, nothing))
    )
    assert np.corrcoef(plain.ravel(), added.ravel())[0, 1] > 0.99


def test_only_the_genes_that_are_asked_for_get_rows(groups):
    cells, labels, vectors = groups
    asked = np.array([3, 8, 40, 69], np.int32)
    whole, some = (fit_bridge(cells, vectors, labels, genes=genes) for genes in (None, asked))
    assert whole.projection.masked is None
    np.testing.assert_array_equal(np.flatnonzero(~some.projection.masked), asked)
    np.testing.assert_allclose(
        some.projection.apply(vectors[asked], asked),
        whole.projection.apply(vectors, np.arange(70))[asked],
        rtol=1e-5,
    )
    np.testing.assert_array_equal(some.held_out, whole.held_out)


def test_evidence_sums_to_one_and_is_for_the_nearest_class(groups):
    cells, labels, vectors = groups
    bridge = fit_bridge(cells, vectors, labels)
    found = bridge.evidence(bridge.held_out)
    assert found.shape == (200, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    distance = ((bridge.held_out[:, None] - bridge.means) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.argmax(axis=1), distance.argmin(axis=1))
    named = np.array(bridge.classes)[found.argmax(axis=1)]
    assert (named == labels[bridge.labelled]).mean() > 0.9
    assert bridge.evidence(np.full((1, 2), 1e6, np.float32)).sum() == pytest.approx(1)


def test_classes_weigh_as_if_their_cells_had_been_given_more_often(groups):
    cells, labels, vectors = groups
    bridge = fit_bridge(cells, vectors, labels)
    same = bridge.recentred(bridge.shares)
    np.testing.assert_allclose(same.held_out, bridge.held_out, atol=1e-5)
    shares = bridge.shares * np.array([1, 1, 3]) / (bridge.shares @ np.array([1, 1, 3]))
    more = np.repeat(np.arange(200), np.where(bridge.codes == 2, 3, 1))
    sums = bridge.sums[more].astype(float)
    wanted = (sums - sums.mean(axis=0)) / sums.std(axis=0) @ bridge.rotation
    np.testing.assert_allclose(bridge.recentred(shares).held_out[more], wanted, atol=1e-4)


def test_columns_may_come_in_any_order(groups):
    cells, labels, vectors = groups
    weights, rows = weight_matrix(cells)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = select_counts(
        sp.csr_array(sp.csc_array(sp.csr_array((cells.counts, weights.indices, cells.indptr)))[:, order]),
        rows[order], cells.totals, n_lexicon=70, weight=cells.weight,
    )  # fmt: skip
    one, other = (fit_bridge(of, vectors, labels) for of in (cells, shuffled))
    np.testing.assert_array_equal(one.held_out, other.held_out)
    assert one.projection.identity == other.projection.identity
    back = np.random.default_rng(1).permutation(240)
    moved = fit_bridge(cells.take(back), vectors, labels[back])
    place = np.argsort(back[moved.labelled])
    np.testing.assert_allclose(moved.held_out[place], one.held_out, atol=1e-3)


def test_the_same_seed_gives_the_same_bridge(groups):
    cells, labels, vectors = groups
    one, again = (fit_bridge(cells, vectors, labels, seed=3) for _ in range(2))
    assert one.projection.identity == again.projection.identity
    np.testing.assert_array_equal(one.held_out, again.held_out)
    assert one.classes == ("x", "y", "z")
    assert one.held_out.shape == (200, 2)
    np.testing.assert_array_equal(one.labelled, np.arange(200))


def test_a_gene_is_predicted_without_itself():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9, 4)).astype(np.float32)
    targets = rng.standard_normal((9, 2))
    beside = Likeness("beside", rng.standard_normal((9, 3)).astype(np.float32))
    both = [(Likeness("texts", vectors, centred=True), 0.6), (beside, 0.6)]
    kernel = likeness_matrix(both, np.arange(9), np.arange(9), 2.0)
    _, unseen = _regress(kernel, targets, 0.5)
    for gene in range(9):
        others = np.delete(np.arange(9), gene)
        inner = kernel[np.ix_(others, others)] + 0.5 * np.eye(8)
        wanted = kernel[gene, others] @ np.linalg.solve(inner, targets[others])
        np.testing.assert_allclose(unseen[gene], wanted, atol=1e-5)


def test_finished_vectors_do_not_care_for_the_scale_of_the_panel(groups):
    cells, labels, vectors = groups
    bridge = fit_bridge(cells, vectors, labels)
    pooled = np.random.default_rng(1).standard_normal((30, 3)).astype(np.float32)
    sizes = np.full(30, 20)
    np.testing.assert_allclose(
        bridge.finish(pooled * 3 + 1, sizes), bridge.finish(pooled, sizes), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [(None, "learned from labels"), (np.full(240, "x", object), "two classes"), (np.full(240, ""), "label")],
)
def test_labels_that_tell_nothing_apart_are_refused(groups, labels, message):
    cells, _, vectors = groups
    with pytest.raises(InputError, match=message):
        fit_bridge(cells, vectors, labels)
