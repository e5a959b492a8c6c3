"""Nearest-neighbour accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import needing

__all__ = ["knn_accuracy"]


def knn_accuracy(
    vectors: NDArray[np.floating[Any]], labels: NDArray[Any], *, k: int = 10, folds: int = 5, seed: int = 0
) -> float:
    """Accuracy of the majority vote of the k nearest cells by cosine, cross-validated.

    Parameters
    ----------
    vectors
        ``[N, p]``.
    labels
        ``[N]`` cell types.
    k
        Neighbours.
    folds
        Stratified folds; each is classified by the cells of the others.
    seed
        Of the folds.

    Returns
    -------
    float
        Mean over the folds, 0 to 1.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("demo", "kNN accuracy"):
        from sklearn.model_selection import StratifiedKFold, cross_val_score
        from sklearn.neighbors import KNeighborsClassifier
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    classifier = KNeighborsClassifier(k, metric="cosine")
    return float(cross_val_score(classifier, vectors, np.asarray(labels), cv=splits).mean())
