"""The two classifiers that read every embedding, the same for all methods."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lexicell.errors import InputError, needing
from lexicell.learn.classify import fit_logistic

__all__ = ["CLASSIFIERS", "ClassifierName", "probabilities"]

ClassifierName = Literal["knn", "logistic"]
CLASSIFIERS: tuple[ClassifierName, ...] = get_args(ClassifierName)


def probabilities(
    reference: NDArray[np.float32],
    labels: NDArray[np.str_],
    query: NDArray[np.float32],
    kind: ClassifierName,
    seed: int = 0,
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Say of the query cells which class they are of.

    ``"knn"``: the k nearest reference cells by cosine, weighted by the inverse of their distance; k is 10,
    or the size of the smallest class. ``"logistic"``: logistic regression with an L2 penalty (C = 1) and
    classes of equal weight, vectors centred by the reference cells and divided by the largest standard
    deviation of a column there.

    One number scales all columns: to standardise each would make as much of the last principal component
    as of the first, and so ruin the controls that a text has to beat.

    Parameters
    ----------
    reference, labels
        ``[n, p]`` and ``[n]``.
    query
        ``[q, p]``.
    kind
        Which classifier.
    seed
        Of the solver.

    Returns
    -------
    tuple
        ``[C]`` classes in sorted order, and ``[q, C]`` their probabilities.

    Raises
    ------
    InputError
        A vector is not finite, or there is no such classifier.
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("evaluate", "Classifying cells"):
        from sklearn.neighbors import KNeighborsClassifier
    if not (np.isfinite(reference).all() and np.isfinite(query).all()):
        msg = "a method gave vectors that are not finite, so its cells can't be classified"
        raise InputError(msg)
    if kind not in CLASSIFIERS:
        msg = f"classifiers are {' and '.join(CLASSIFIERS)}, not {kind!r}"
        raise InputError(msg)
    classes, codes = np.unique(labels, return_inverse=True)
    if kind == "knn":
        k = min(10, int(np.bincount(codes).min()))
        nearest = KNeighborsClassifier(k, metric="cosine", weights="distance", algorithm="brute")
        return classes, np.asarray(nearest.fit(reference, codes).predict_proba(query), np.float64)
    weight, bias = fit_logistic(reference, codes, seed)
    return classes, np.asarray(softmax(query @ weight.T + bias, axis=1), np.float64)
