"""Accuracy tells signal from noise, and controls are what they claim."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.errors import MissingExtraError
from lexicell.evaluation import CONTROLS, control_vectors, knn_accuracy, pca_of_expression


@pytest.fixture
def separable():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c", "d"], 40)
    centres = np.eye(4, 12)[np.unique(labels, return_inverse=True)[1]]
    return centres + 0.05 * rng.standard_normal((160, 12)), labels


def test_groups_that_lie_apart_are_told_apart(separable):
    vectors, labels = separable
    assert knn_accuracy(vectors, labels) == 1.0
    scaled = vectors * np.random.default_rng(1).uniform(0.1, 10, (160, 1))
    assert knn_accuracy(scaled, labels) == 1.0  # by cosine: length says nothing


def test_labels_without_meaning_are_guessed_at_chance(separable):
    vectors, labels = separable
    shuffled = np.random.default_rng(2).permutation(labels)
    assert knn_accuracy(vectors, shuffled) == pytest.approx(0.25, abs=0.1)


def test_the_seed_decides(separable):
    vectors, labels = separable
    noisy = vectors + np.random.default_rng(3).standard_normal(vectors.shape)
    assert knn_accuracy(noisy, labels, seed=4) == knn_accuracy(noisy, labels, seed=4)
    assert len({knn_accuracy(noisy, labels, seed=seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_keep_each_genes_length_and_lose_its_direction(control):
    own = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float16)
    own[7] = 0
    first, again, other = (control_vectors(own, control, seed=seed) for seed in (1, 1, 2))
    lengths = np.linalg.norm(own.astype(np.float32), axis=1)
    drawn = np.linalg.norm(first, axis=1)
    np.testing.assert_allclose(drawn[drawn > 0], lengths[drawn > 0], rtol=1e-5)
    assert (drawn > 0).sum() >= 498
    assert abs(np.corrcoef(first.ravel(), own.ravel())[0, 1]) < 0.1
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_shuffled_directions_are_those_of_other_genes():
    own = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    likeness = control_vectors(own, "shuffled", seed=0) @ own.T
    assert (likeness > 0.9999).sum(axis=1).tolist() == [1] * 50
    assert sorted(likeness.argmax(axis=1)) == list(range(50))
    assert (likeness.argmax(axis=1) != np.arange(50)).mean() > 0.8


def test_expression_tells_real_cell_types_apart(cells):
    components = pca_of_expression(cells.X, n_components=10)
    assert (components.shape, components.dtype) == ((120, 10), np.float32)
    np.testing.assert_allclose(components.mean(axis=0), 0, atol=1e-4)
    doubled = pca_of_expression(sp.csr_matrix(cells.X * 2), n_components=10)
    np.testing.assert_allclose(doubled, components, atol=1e-3)  # depth is divided out


def test_a_cell_without_counts_does_not_break_the_components():
    counts = sp.csr_matrix(np.array([[0, 0, 0], [1, 2, 0], [0, 1, 5], [3, 1, 1]]))
    assert np.isfinite(pca_of_expression(counts, n_components=2)).all()


def test_a_missing_extra_gives_the_pip_line(monkeypatch, separable):
    for name in [m for m in sys.modules if m.partition(".")[0] == "sklearn"] or ["sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[demo\]"'):
        knn_accuracy(*separable)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[demo\]"'):
        pca_of_expression(sp.csr_matrix(np.eye(3)))
