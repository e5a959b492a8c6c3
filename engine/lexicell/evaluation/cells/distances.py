"""How far two samples of vectors are apart: optimal transport and maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGMAS", "distances", "mmd", "wasserstein"]

#: Widths of the kernels whose sum RBF MMD is of, those of CFGen.
SIGMAS = (0.01, 0.1, 1.0, 10.0, 100.0)


def distances(first: NDArray[Any], second: NDArray[Any]) -> dict[str, float]:
    """``w1``, ``w2``, ``mmd_linear`` and ``mmd_rbf`` of two samples ``[n, p]``, of as many vectors each."""
    w1, w2 = wasserstein(first, second)
    linear, rbf = mmd(first, second)
    return {"w1": w1, "w2": w2, "mmd_linear": linear, "mmd_rbf": rbf}


def wasserstein(first: NDArray[Any], second: NDArray[Any]) -> tuple[float, float]:
    """Wasserstein 1 and 2 of two samples ``[n, p]``, by Euclidean distance.

    Exact: with as many vectors on both sides, the best transport is an assignment. Between samples they are
    never 0, and how far above depends on ``n`` and ``p``: compare only numbers of the same ``n``.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    apart = cdist(np.asarray(first, np.float64), np.asarray(second, np.float64))
    squared = apart**2
    w1 = float(apart[linear_sum_assignment(apart)].mean())
    return w1, float(np.sqrt(squared[linear_sum_assignment(squared)].mean()))


def mmd(first: NDArray[Any], second: NDArray[Any]) -> tuple[float, float]:
    """Squared maximum mean discrepancy of two samples ``[n, p]`` and ``[m, p]``, linear and RBF.

    The unbiased estimator (Gretton et al. 2012, lemma 6), whose mean is 0 where both samples are from one
    distribution, so it may be negative. The RBF kernel is the sum of ``exp(-|x - y|^2 / (2 s^2))`` over
    `SIGMAS`.
    """
    from scipy.spatial.distance import cdist

    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)

    def rbf(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        squared = cdist(a, b, "sqeuclidean")
        kernels: NDArray[np.float64] = sum(
            (np.exp(squared / (-2 * sigma**2)) for sigma in SIGMAS), np.zeros_like(squared)
        )
        return kernels

    def squared_mmd(kernel: Callable[[Any, Any], NDArray[np.float64]]) -> float:
        return _unbiased(kernel(x, x)) + _unbiased(kernel(y, y)) - 2 * float(kernel(x, y).mean())

    return squared_mmd(lambda a, b: a @ b.T), squared_mmd(rbf)


def _unbiased(kernel: NDArray[np.float64]) -> float:
    """Mean of all pairs of different vectors."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
