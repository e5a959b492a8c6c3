"""Classifiers of cells' vectors: on three clouds of known overlap, so that the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.learn.classify import calibration_error, fit_classifier, fit_knn, held_out_accuracy
from lexicell.projection import UNKNOWN

pytest.importorskip("sklearn")


def clouds(n, spread, seed=0, classes="abc"):
    """`n` points in 4 dimensions around each of the corners, with a shift that centring has to remove."""
    rng = np.random.default_rng(seed)
    code = np.arange(n * len(classes)) % len(classes)
    points = 3 + np.eye(4)[code] + spread * rng.standard_normal((len(code), 4))
    return points.astype(np.float32), np.array(list(classes))[code]


def told(classifier, vectors):
    probability = classifier.predict_proba(vectors)
    return np.array(classifier.classes)[probability.argmax(axis=1)], probability.max(axis=1)


def test_classes_are_told_apart_by_vectors_as_they_are():
    vectors, labels = clouds(60, 0.15)
    for classifier in (fit_classifier(vectors, labels), fit_knn(vectors, labels)):
        found, _ = told(classifier, clouds(40, 0.15, seed=1)[0])
        assert (found == clouds(40, 0.15, seed=1)[1]).mean() > 0.97


def test_two_classes_get_the_probabilities_that_scikit_learn_gives():
    from sklearn.linear_model import LogisticRegression

    vectors, labels = clouds(50, 0.6, classes="ab")
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0).max()
    theirs = LogisticRegression(class_weight="balanced").fit((vectors - mean) / scale, labels)
    ours = fit_classifier(vectors, labels)
    logits = vectors @ ours.weight.T + ours.bias
    expected = theirs.decision_function((vectors - mean) / scale)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], expected, atol=1e-4)


def test_probabilities_of_new_cells_mean_what_they_say():
    vectors, labels = clouds(200, 0.5)
    classifier = fit_classifier(vectors, labels)
    new, true = clouds(1_000, 0.5, seed=1)
    found, confidence = told(classifier, new)
    right = found == true
    assert 0.6 < right.mean() < 0.9
    assert calibration_error(confidence, right) < 0.05


def test_few_cells_in_many_dimensions_lose_confidence_to_the_temperature():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 40)).astype(np.float32)
    labels = np.array(["a", "b"])[np.arange(60) % 2]  # nothing to learn
    classifier = fit_classifier(vectors, labels)
    assert classifier.temperature > 3
    new = rng.standard_normal((500, 40)).astype(np.float32)
    assert told(classifier, new)[1].mean() < 0.7


@pytest.mark.parametrize("fit", [fit_classifier, fit_knn])
def test_the_threshold_loses_the_share_of_right_cells_that_was_asked_for(fit):
    vectors, labels = clouds(300, 0.4)
    new, true = clouds(1_000, 0.4, seed=1)
    for lost in (0.02, 0.2):
        classifier = fit(vectors, labels, lost=lost)
        found, confidence = told(classifier, new)
        gone = (confidence < classifier.threshold)[found == true].mean()
        assert lost / 2 < gone < 1.5 * lost + 0.01


def test_held_out_batches_decide_how_confident_one_may_be_elsewhere():
    vectors, labels = clouds(100, 0.2)
    batches = np.arange(300) // 60
    vectors += 0.8 * np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)[batches]
    alone = fit_classifier(vectors, labels)
    across = fit_classifier(vectors, labels, batches=batches)
    np.testing.assert_array_equal(alone.weight, across.weight)
    assert across.temperature > 1.5 * alone.temperature


def test_a_class_of_one_cell_and_cells_without_genes_do_no_harm():
    vectors, labels = clouds(20, 0.15)
    labels = labels.astype(object)
    labels[labels == "c"] = "a"
    labels[0] = "alone"
    vectors[5] = 0
    classifier = fit_classifier(vectors, labels)
    assert classifier.classes == ("a", "alone", "b")
    assert (fit_classifier(vectors[[0, 1]], labels[[0, 1]]).temperature, classifier.threshold > 0) == (
        1,
        True,
    )
    assert classifier.predict(vectors[5:6])[0][0] == UNKNOWN
    assert fit_knn(vectors, labels).predict_proba(vectors[5:6]).sum() == 0


def test_neighbours_vote_by_nearness_and_not_for_themselves_when_the_threshold_is_chosen():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    classifier = fit_knn(vectors, np.array(["x", "x", "y", "y"]), k=3)
    votes = classifier.predict_proba(np.array([[0.95, 0.05], [0, 0]], np.float32))
    assert votes[0, 0] > 0.99
    np.testing.assert_allclose(votes.sum(axis=1), [1, 0], atol=1e-6)
    # Each cell's own vote would be all that counts.
    assert fit_knn(vectors, np.array(["x", "y", "x", "y"]), k=1).threshold == 0


def test_the_same_seed_gives_the_same_numbers():
    vectors, labels = clouds(40, 0.5)
    one, two = (fit_classifier(vectors, labels, seed=3) for _ in range(2))
    assert (one.temperature, one.threshold) == (two.temperature, two.threshold)


def test_calibration_error_is_the_gap_of_confidence_and_truth():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.3, 0.3])
    correct = np.array([True, True, True, False, False, False])
    assert calibration_error(confidence, correct) == pytest.approx((4 * 0.15 + 2 * 0.3) / 6)
    assert calibration_error(np.array([1.0]), np.array([True])) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": np.array(["a"] * 9)}, "one class only (a)"),
        ({"labels": np.array(["a", "b"])}, "vectors [n, p] and n labels"),
        ({"vectors": np.full((9, 4), np.nan, np.float32)}, "not finite"),
        ({"vectors": np.zeros((9, 4), np.float32)}, "no cell with a label and a vector"),
        ({"lost": 1.0}, "not 1.0"),
        ({"labels": np.array(["unknown", "b", "c"] * 3)}, "can't be called 'unknown'"),
    ],
)
def test_what_cannot_be_fitted_is_one_sentence(change, says):
    vectors, labels = clouds(3, 0.1)
    with pytest.raises(InputError) as error:
        fit_classifier(**({"vectors": vectors, "labels": labels} | change))
    assert says in str(error.value)


def test_held_out_accuracy_counts_classes_alike_and_no_cell_that_was_learned_from():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], [200, 20, 1])
    apart = np.eye(3, 30, dtype=np.float32)[np.unique(labels, return_inverse=True)[1]] * 9
    noise = rng.standard_normal((221, 30)).astype(np.float32)
    assert held_out_accuracy(apart + noise, labels) > 0.95
    assert held_out_accuracy(noise, labels) < 0.75
    half = apart.copy()
    half[200:220] = apart[:20]  # all of class b look like a
    assert 0.3 < held_out_accuracy(half + noise, labels) < 0.75
    assert held_out_accuracy(apart + noise, labels) == held_out_accuracy(apart + noise, labels)
    with pytest.raises(InputError, match="one class only"):
        held_out_accuracy(noise, np.full(221, "a"))
