"""Classifiers find what is there, and scores are scikit-learn's."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.metrics import f1_score

from lexicell.errors import InputError, MissingExtraError
from lexicell.evaluation.cells.classifiers import CLASSIFIERS, probabilities
from lexicell.evaluation.cells.metrics import cluster_scores, clusters_missing, scib_scores, score


def predict(reference, labels, query, kind):
    classes, found = probabilities(reference, labels, query, kind)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    return classes[found.argmax(axis=1)]


@pytest.fixture
def separable():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], [40, 30, 20])
    centres = np.eye(3, 12)[np.unique(labels, return_inverse=True)[1]]
    return (centres + 0.05 * rng.standard_normal((90, 12))).astype(np.float32), labels


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_groups_that_lie_apart_are_told_apart_from_three_cells_each(separable, kind):
    vectors, labels = separable
    known = np.concatenate([np.flatnonzero(labels == name)[:3] for name in "abc"])
    np.testing.assert_array_equal(predict(vectors[known], labels[known], vectors, kind), labels)


def test_neighbours_are_by_cosine_and_regression_is_blind_to_place_and_scale(separable):
    vectors, labels = separable
    lengths = np.random.default_rng(1).uniform(0.1, 10, (90, 1)).astype(np.float32)
    np.testing.assert_array_equal(predict(vectors[::2] * lengths[::2], labels[::2], vectors, "knn"), labels)
    known = vectors[::9], labels[::9]
    first = predict(*known, vectors, "logistic")
    moved = predict(1e4 * known[0] + 7, known[1], 1e4 * vectors + 7, "logistic")
    np.testing.assert_array_equal(first, moved)


def test_small_columns_stay_small(separable):
    vectors, labels = separable
    known = np.concatenate([np.flatnonzero(labels == name)[:3] for name in "abc"])
    noise = 0.02 * np.random.default_rng(2).standard_normal((90, 200)).astype(np.float32)
    wide = np.hstack([vectors, noise])
    np.testing.assert_array_equal(predict(wide[known], labels[known], wide, "logistic"), labels)


def test_vectors_that_are_not_finite_are_refused(separable):
    vectors, labels = separable
    vectors[3, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        predict(vectors, labels, vectors, "knn")


def test_scores_are_scikit_learns_over_the_classes_that_are_there():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "rare"], [60, 38, 2])
    predicted = rng.permutation(np.append(labels[:-1], "never seen"))
    found = score(labels, predicted)
    assert found.accuracy == pytest.approx((labels == predicted).mean())
    wanted = f1_score(labels, predicted, labels=["a", "b", "rare"], average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(wanted)
    rare = f1_score(labels, predicted, labels=["rare"], average="macro", zero_division=0)
    assert found.rare_f1 == pytest.approx(rare)
    assert np.isnan(score(labels[:98], predicted[:98]).rare_f1)


def test_clusters_that_are_the_classes_score_high(separable):
    vectors, labels = separable
    found, noise = (cluster_scores(v, labels) for v in (vectors, vectors[::-1][np.argsort(labels[::-1])]))
    assert found["silhouette"] > 0.7
    shuffled = cluster_scores(vectors, np.random.default_rng(0).permutation(labels))
    assert shuffled["silhouette"] < 0.1
    assert noise.keys() == found.keys()
    if clusters_missing() is None:
        assert found["ari"] > 0.9
        assert shuffled["ari"] < 0.2
    else:
        assert np.isnan([found["ari"], found["nmi"]]).all()
        assert "pip install igraph" in clusters_missing()


def test_missing_packages_give_the_pip_line(separable, monkeypatch):
    vectors, labels = separable
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    with pytest.raises(MissingExtraError, match="pip install scib-metrics"):
        scib_scores(vectors, labels, None)
    for module, kind in (("linear_model", "logistic"), ("neighbors", "knn")):
        monkeypatch.setitem(sys.modules, f"sklearn.{module}", None)
        with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[evaluate\]"'):
            predict(vectors, labels, vectors, kind)
