"""Labels of cells, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.projection import Classifier

Z = np.array([[0.6, 0.8], [1, 0], [0, 0], [-0.8, -0.6]], np.float32)


def classifier(**changed) -> Classifier:
    parts = {"classes": ("B", "NK", "T"), "weight": [[3, 0], [0, 4], [-5, -5]], "bias": [0.5, 0, 0]}
    return Classifier(**(parts | changed))


def test_probabilities_are_the_softmax_of_scores_over_the_temperature():
    scores = (Z[[0, 1, 3]] @ np.array([[3, 0], [0, 4], [-5, -5]]).T + [0.5, 0, 0]) / 2
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found = classifier(temperature=2).predict_proba(Z)
    assert (found.dtype, found.shape) == (np.float32, (4, 3))
    np.testing.assert_allclose(found[[0, 1, 3]], expected, atol=1e-6)
    assert not found[2].any()


def test_labels_below_the_threshold_are_unknown_and_a_zero_row_always_is():
    labels, confidence = classifier().predict(Z)
    assert labels.tolist() == ["NK", "B", "unknown", "T"]
    assert confidence[2] == 0
    np.testing.assert_array_equal(confidence, classifier().predict_proba(Z).max(axis=1))
    strict, same = classifier(threshold=0.9).predict(Z)
    assert strict.tolist() == ["unknown", "B", "unknown", "T"]
    np.testing.assert_array_equal(same, confidence)
    assert classifier(threshold=0.9).predict(Z, 0.5)[0].tolist() == ["NK", "B", "unknown", "T"]
    assert classifier().predict(Z, 0)[0][2] == "unknown"


def test_names_are_not_cut_and_large_scores_do_not_overflow():
    long = classifier(classes=("plasmacytoid dendritic cell", "x", "y"), weight=np.eye(3, 2) * 1e30)
    labels, confidence = long.predict(Z[:2])
    assert labels.tolist() == ["x", "plasmacytoid dendritic cell"]
    assert confidence.tolist() == [1, 1]
    one = Classifier(("only",), np.ones((1, 2)), np.zeros(1)).predict(Z[[0, 2]])[0]
    assert one.tolist() == ["only", "unknown"]
    assert classifier().predict(Z[:0])[0].shape == (0,)


def test_vectors_of_another_length_are_refused():
    with pytest.raises(InputError, match=r"\[n, 2\].*\[4, 3\]"):
        classifier().predict(np.ones((4, 3)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"classes": ("B", "B", "T")}, "each with a name of its own"),
        ({"classes": ("B", "", "T")}, "each with a name of its own"),
        ({"classes": ("B", "unknown", "T")}, "can't be called 'unknown'"),
        ({"classes": ("B", "T")}, "weight has length 3 and its list of classes 2"),
        ({"bias": [1, 2]}, "bias has length 2"),
        ({"bias": [1, 2, np.inf]}, "bias is not finite"),
        ({"temperature": 0}, "temperature is finite and larger than 0"),
        ({"threshold": 1.5}, "probability from 0 to 1, not 1.5"),
    ],
)
def test_what_can_not_classify_is_refused(changed, said):
    with pytest.raises(InputError, match=said):
        classifier(**changed)


def test_a_threshold_that_is_no_probability_is_refused():
    with pytest.raises(InputError, match="not nan"):
        classifier().predict(Z, float("nan"))
