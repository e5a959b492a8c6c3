"""Smoothing over a data set's own neighbours: what cells that look alike have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.errors import needing

__all__ = ["smooth"]

#: Entries beyond this many standard deviations do not decide who is a neighbour.
_CLIP = 10.0


def smooth(
    values: NDArray[np.floating[Any]],
    weights: sp.csr_array,
    *,
    k: int = 15,
    rounds: int = 10,
    share: float = 0.8,
    n_components: int = 30,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Mix what is said of each cell with what is said of the cells that express alike.

    Neighbours are found in the cells' own expression, without labels and without texts: the k nearest by
    cosine among the principal components of scaled expression.

    Parameters
    ----------
    values
        ``[n, q]``: vectors, scores or probabilities.
    weights
        ``[n, m]`` log-normalised expression of the same cells.
    k
        Neighbours of a cell.
    rounds, share
        How often, and how much of a cell's value comes from its neighbours in each round.
    n_components
        Principal components.
    seed
        Of the solver.

    Returns
    -------
    numpy.ndarray
        float32 ``[n, q]``.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("train", "Smoothing over neighbours"):
        from sklearn.decomposition import PCA
        from sklearn.neighbors import kneighbors_graph
        from sklearn.preprocessing import normalize
    n, m = weights.shape
    if n < 3:
        return np.asarray(values, np.float32)
    mean = np.asarray(weights.mean(axis=0, dtype=np.float64))
    spread = np.sqrt(np.maximum(np.asarray(weights.multiply(weights).mean(axis=0)) - mean**2, 0))
    scale = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0).astype(np.float32)
    scaled = sp.csr_matrix(weights.multiply(scale[None, :]))
    np.minimum(scaled.data, _CLIP, out=scaled.data)
    n_components = min(n_components, n - 1, m - 1)
    solver = PCA(n_components, svd_solver="arpack", random_state=seed)
    scores = normalize(solver.fit_transform(scaled))
    graph = kneighbors_graph(scores, min(k, n - 1), include_self=False)
    graph = sp.csr_array(graph) / min(k, n - 1)
    start = np.asarray(values, np.float64)
    now = start
    for _ in range(rounds):
        now = (1 - share) * start + share * (graph @ now)
    return now.astype(np.float32)
