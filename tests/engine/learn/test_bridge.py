"""A bridge names cells of a panel that shares no gene with the reference, through texts alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from lexicell.embedding.selected import select_counts
from lexicell.errors import InputError
from lexicell.evaluation.splits import disjoint_splits
from lexicell.learn.bridge import _regress, fit_bridge, weight_matrix
from lexicell.learn.likeness import Likeness, likeness_matrix


@pytest.fixture(scope="module")
def halves(pbmc3k, bundled):
    """One draw of disjoint panels: ranked cells of both sides, their labels, and the lexicon's vectors."""
    from lexicell.embedding import Options
    from lexicell.evaluation.panels import panel_of

    panel = panel_of(pbmc3k, Options(), label="cell_type")
    split = disjoint_splits(panel, 1, 0)[0][0]
    vectors = bundled.vectors(bundled.rows).astype(np.float32)
    sides = [
        select_counts(side.counts, side.rows, side.totals, n_lexicon=len(vectors))
        for side in (split.reference, split.query)
    ]
    return sides, split.labels, vectors


def _score(bridge, query, labels, vectors):
    weights, rows = weight_matrix(query)
    table = bridge.projection.apply(vectors[rows], rows)
    pooled = np.asarray(weights @ table) / np.asarray(weights.sum(axis=1))[:, None]
    found = bridge.finish(pooled, query.sizes)
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(bridge.held_out, labels[0])
    return f1_score(labels[1], model.predict(found), average="macro")


def test_cells_are_named_across_panels_by_texts_and_not_by_shuffled_ones(halves):
    (reference, query), labels, vectors = halves
    assert not set(reference.used.tolist()) & set(query.used.tolist())
    found = _score(fit_bridge(reference, vectors, labels[0]), query, labels, vectors)
    shuffled = vectors[np.random.default_rng(0).permutation(len(vectors))]
    lost = _score(fit_bridge(reference, shuffled, labels[0]), query, labels, shuffled)
    assert found > 0.45
    assert lost < 0.3


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
    features = KernelFeatures(vectors.mean(0), np.arange(9, dtype=np.int32), 2.0)
    _, unseen = _regress(features, vectors, targets, 0.5)
    kernel = features.of(vectors, features.directions(vectors)).astype(float)
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
