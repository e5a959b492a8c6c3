"""Genes that two data sets have both measured: components in which their cells are compared."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding.selected import SelectedCells
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.mixture import scaled_to_variance

__all__ = ["common_components"]


def common_components(
    first: SelectedCells, second: SelectedCells, *, n_components: int = 30
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Principal components of both together by the genes that occur in both, each scaled in each of the two.

    What makes the two differ in a gene's mean and spread is removed: panels of other genes have other totals.

    Parameters
    ----------
    first, second
        Cells with all of their genes.
    n_components
        How many; fewer where fewer genes are common.

    Returns
    -------
    tuple
        float32 ``[n, d]`` of the first and ``[m, d]`` of the second; one column of zeros without any common
        gene.
    """
    found = [weight_matrix(cells) for cells in (first, second)]
    genes = np.intersect1d(found[0][1], found[1][1])
    if not len(genes):
        return np.zeros((len(first), 1), np.float32), np.zeros((len(second), 1), np.float32)
    sides = [
        scaled_to_variance(sp.csr_array(sp.csc_array(weights)[:, np.searchsorted(rows, genes)]))
        for weights, rows in found
    ]
    means = [np.asarray(side.mean(axis=0), np.float64).ravel() for side in sides]
    scatter = np.zeros((len(genes), len(genes)))
    for side, mean in zip(sides, means, strict=True):
        scatter += (side.T @ side).toarray() - side.shape[0] * np.outer(mean, mean)
    _, axes = np.linalg.eigh(scatter)
    axes = axes[:, ::-1][:, :n_components]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])  # the sign is arbitrary
    of_first, of_second = (
        np.asarray(side @ axes - mean @ axes, np.float32) for side, mean in zip(sides, means, strict=True)
    )
    return of_first, of_second
