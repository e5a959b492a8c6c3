"""Centring and whitening of gene vectors: a linear map that a learned one takes into itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError

__all__ = ["Whitening", "fit_whitening", "principal_axes"]


@dataclass(frozen=True)
class Whitening:
    """``e -> weight (e - mean)``.

    Attributes
    ----------
    mean
        ``[d]`` float32.
    weight
        ``[q, d]`` float32.
    """

    mean: NDArray[np.float32]
    weight: NDArray[np.float32]

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Whiten ``[m, d]``; returns ``[m, q]``."""
        return np.asarray((vectors - self.mean) @ self.weight.T, np.float32)

    def compose(
        self, weight: NDArray[np.float32], offset: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Turn a map of whitened vectors into one of the vectors themselves.

        Parameters
        ----------
        weight, offset
            ``[p, q]`` and ``[p]``, or None for 0.

        Returns
        -------
        tuple
            ``weight [p, d]`` and ``offset [p]``, with ``W e + c`` as before.
        """
        composed = weight.astype(np.float64) @ self.weight.astype(np.float64)
        moved = -composed @ self.mean.astype(np.float64)
        if offset is not None:
            moved += offset
        return composed.astype(np.float32), moved.astype(np.float32)


def fit_whitening(
    vectors: NDArray[np.float32],
    *,
    kind: Literal["pca", "zca"] = "pca",
    components: int | None = None,
    shrinkage: float = 0.01,
) -> Whitening:
    """Fit to the vectors of genes, for a mean of 0 and, without shrinkage, the same variance everywhere.

    Parameters
    ----------
    vectors
        ``[m, d]``, those of the genes in use.
    kind
        ``"pca"`` gives the principal components, largest first, ``"zca"`` turns them back to where the
        vectors were (Kessy et al. 2018).
    components
        Principal components that are kept; None for all that there are.
    shrinkage
        Share, 0 to 1, of the covariance that is replaced by its mean on the diagonal, so that directions of
        hardly any variance are not blown up.

    Returns
    -------
    Whitening
        Scaled so that the mean squared length of the whitened vectors is 1.

    Raises
    ------
    InputError
        Fewer than two genes, or a setting out of range.
    """
    m, d = vectors.shape
    if m < 2 or not np.isfinite(vectors).all():
        message = f"whitening needs the finite vectors of two genes or more; there are {m}"
        raise InputError(message)
    if not 0 <= shrinkage <= 1 or (components is not None and not 1 <= components <= d):
        message = f"whitening takes 1 to {d} components and a shrinkage from 0 to 1"
        raise InputError(message)
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    covariance = centred.T @ centred / m
    variance, axes = principal_axes(covariance)
    rank = int((variance > variance[0] * 1e-7).sum())
    q = max(1, min(rank, d if components is None else components))
    variance, axes = variance[:q], axes[:, :q]
    shrunk = (1 - shrinkage) * variance + shrinkage * np.trace(covariance) / d
    weight = (axes / np.sqrt(shrunk)).T
    weight /= np.sqrt((variance / shrunk).sum())
    if kind == "zca":
        weight = axes @ weight
    return Whitening(mean.astype(np.float32), weight.astype(np.float32))


def principal_axes(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances ``[d]``, the largest first, and axes ``[d, d]``, one a column.

    The sign of an eigenvector is arbitrary: the largest entry is made positive.
    """
    variance, axes = np.linalg.eigh(covariance)
    variance, axes = variance[::-1], axes[:, ::-1]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(variance))])
    return variance, axes * signs
