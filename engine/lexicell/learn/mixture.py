"""What cells that look alike have in common: a Gaussian mixture in a data set's own components."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from lexicell.errors import needing

__all__ = ["mix", "own_components", "scaled_to_variance"]

#: Values are cut where they are so many standard deviations from the mean.
_CLIP = 10.0
#: No class is impossible because of one cell.
_LEAST = 1e-4
#: Share of the covariance within classes that is replaced by a part of the variance of all cells.
_SHRINKAGE, _OF_ALL = 0.2, 0.2


def own_components(weights: sp.csr_array, *, n_components: int = 20, seed: int = 0) -> NDArray[np.float64]:
    """Principal components of cells by all of their genes, each scaled to variance 1 and cut at 10.

    Parameters
    ----------
    weights
        ``[n, m]`` log-normalised expression.
    n_components
        How many; fewer where there are fewer cells or genes.
    seed
        Of the solver.

    Returns
    -------
    numpy.ndarray
        float64 ``[n, d]``.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("train", "A mixture of a data set's own cells"):
        from sklearn.decomposition import PCA
    n, m = weights.shape
    d = min(n_components, n - 1, m - 1)
    if d < 1:
        return np.zeros((n, 0))
    solver = PCA(d, svd_solver="arpack", random_state=seed)
    return np.asarray(solver.fit_transform(scaled_to_variance(weights)), np.float64)


def scaled_to_variance(weights: sp.csr_array) -> sp.csr_matrix:
    """Columns of variance 1, values cut at 10; sparse stays sparse, so the mean is left in."""
    mean = np.asarray(weights.mean(axis=0, dtype=np.float64)).ravel()
    square = np.asarray(weights.multiply(weights).mean(axis=0, dtype=np.float64)).ravel()
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    scale = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0)
    scaled = sp.csr_matrix(weights.multiply(scale[None, :]))
    np.minimum(scaled.data, _CLIP, out=scaled.data)
    return scaled


def mix(
    probability: NDArray[np.floating[Any]],
    components: NDArray[np.floating[Any]],
    *,
    trust: float = 2.0,
    rounds: int = 30,
    known: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.float64]:
    """Probabilities of classes, once cells that look alike are held to be of one class.

    A mixture of Gaussians, one for each class, with one covariance for all; it begins with what is known of
    each cell and is held near it. A class gets half of the pull that its share of the cells would give it.

    Parameters
    ----------
    probability
        ``[n, C]`` what is known of each cell; rows of 0 for cells of which nothing is.
    components
        ``[n, d]`` of the same cells, see `own_components`.
    trust
        How much the logarithm of what is known counts.
    rounds
        Of expectation and maximisation.
    known
        ``[n]`` class of cells that are labelled, which keep it; -1 for others. None for no such cell.

    Returns
    -------
    numpy.ndarray
        float64 ``[n, C]``, rows sum to 1.
    """
    first = np.asarray(probability, np.float64)
    n, classes = first.shape
    d = components.shape[1]
    prior = trust * np.log(first + _LEAST)
    now = softmax(prior, axis=1)
    labelled = np.zeros(n, bool) if known is None else known >= 0
    if known is not None:
        now[labelled] = np.eye(classes)[known[labelled]]
    if d == 0 or n < 3:
        return now
    centred = components - components.mean(axis=0)
    whole = centred.T @ centred / n
    floor = _SHRINKAGE * _OF_ALL * np.diag(np.diag(whole)) + 1e-6 * np.eye(d)
    for _ in range(rounds):
        size, sums = now.sum(axis=0) + 1e-9, now.T @ centred
        mean = sums / (size[:, None] + 1)  # one more cell, in the middle
        cross = sums.T @ mean
        within = whole - (cross + cross.T - (mean.T * size) @ mean) / n
        whitened = np.linalg.cholesky(np.linalg.inv((1 - _SHRINKAGE) * within + floor))
        cells, centres = centred @ whitened, mean @ whitened
        distance = (cells**2).sum(axis=1)[:, None] - 2 * cells @ centres.T + (centres**2).sum(axis=1)
        now = softmax(prior - 0.5 * distance + 0.5 * np.log(size / n), axis=1)
        if known is not None:
            now[labelled] = np.eye(classes)[known[labelled]]
    return now
