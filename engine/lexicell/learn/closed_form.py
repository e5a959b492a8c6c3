"""Maps that are solved for, not trained: contrastive components, and a ridge from text to expression."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, svds

from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.embed_selected import pool_cells
from lexicell.projection import Pooling, Projection

__all__ = ["fit_contrastive_pca", "fit_ridge"]

#: Penalties that are tried, relative to the largest variance of the vectors.
_PENALTIES = np.logspace(-4, 1, 21)


def fit_contrastive_pca(
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    background: SelectedCells,
    *,
    alpha: float = 1.0,
    n_components: int = 50,
) -> Projection:
    """Find directions in which cells vary, and those of a background do not (Abid et al. 2018).

    Cells are pooled with the genes' vectors; the map is the leading eigenvectors of ``C - alpha B``, their
    covariance and that of the background.

    Parameters
    ----------
    cells
        The foreground; cells without genes don't count.
    vectors
        ``[G, d]`` float32 by lexicon row.
    background
        Cells of the same lexicon whose variation is not of interest: controls, or another batch.
    alpha
        How much the background counts; 0 is ordinary PCA.
    n_components
        ``p``; fewer where there are fewer dimensions.

    Returns
    -------
    Projection
        Orthogonal, centred on the foreground.

    Raises
    ------
    InputError
        A setting is out of range, or one side has fewer than two cells with genes.
    """
    if not (np.isfinite(alpha) and alpha >= 0) or n_components < 1:
        message = f"alpha is finite and at least 0, and there is a component or more; not {alpha}"
        raise InputError(message)
    mean, foreground = _covariance(cells, vectors, "foreground")
    _, contrast = _covariance(background, vectors, "background")
    _, axes = np.linalg.eigh(foreground - alpha * contrast)
    weight = _signed(axes[:, ::-1][:, :n_components].T)
    return _projection(cells, weight, -weight @ mean, None)


def fit_ridge(
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    *,
    n_components: int = 20,
    penalty: float | None = None,
    seed: int = 0,
) -> Projection:
    """Predict from a gene's text how it loads on the principal components of the cells' expression.

    Components are those of ``log1p(1e4 x / N)``. Since the loadings are predicted, a gene that these cells
    do not have gets some too.

    Parameters
    ----------
    cells
        The cells; those without genes don't count.
    vectors
        ``[G, d]`` float32 by lexicon row.
    n_components
        ``p``; fewer where there are not as many cells or genes.
    penalty
        Of the ridge, relative to the largest variance of the vectors; None for the best of 21 from 0.0001 to
        10 by the error for each gene without that gene.
    seed
        Where the solver starts.

    Returns
    -------
    Projection
        Centred on these cells.

    Raises
    ------
    InputError
        A setting is out of range, or there are fewer than three cells or genes.
    """
    if n_components < 1 or not (penalty is None or (np.isfinite(penalty) and penalty > 0)):
        message = "the ridge has a component or more, and a penalty that is finite and larger than 0"
        raise InputError(message)
    genes = cells.used
    full = cells.take(np.flatnonzero(cells.sizes > 0))
    if min(len(full), len(genes)) < 3:
        message = f"components need three cells and genes or more; there are {len(full)} and {len(genes)}"
        raise InputError(message)
    n = min(n_components, len(full) - 1, len(genes) - 1)
    variance, loadings = _components(weight_matrix(full)[0], n, seed)
    x = vectors[genes].astype(np.float64)
    mean, centre = x.mean(axis=0), loadings.mean(axis=0)
    weight = _solve(x - mean, loadings - centre, variance, penalty)
    offset = centre - weight @ mean
    table = (x @ weight.T + offset).astype(np.float32)
    return _projection(cells, weight, offset, -pool_cells(full, genes, table).mean(axis=0, dtype=np.float64))


def _projection(
    cells: SelectedCells,
    weight: NDArray[np.float64],
    offset: NDArray[np.float64],
    bias: NDArray[np.float64] | None,
) -> Projection:
    return Projection(
        weight.astype(np.float32),
        None if bias is None else bias.astype(np.float32),
        offset=offset.astype(np.float32),
        pooling=Pooling(cells.top_k, cells.weight),
    )


def _covariance(
    cells: SelectedCells, vectors: NDArray[np.float32], side: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean ``[d]`` and covariance ``[d, d]`` of pooled cells."""
    full = cells.take(np.flatnonzero(cells.sizes > 0))
    if len(full) < 2:
        message = f"the {side} needs two cells or more with described genes; it has {len(full)}"
        raise InputError(message)
    genes = full.used
    pooled = pool_cells(full, genes, vectors[genes])
    mean = pooled.mean(axis=0, dtype=np.float64)
    centred = pooled - mean
    return mean, centred.T @ centred / (len(full) - 1)


def _components(weights: sp.csr_array, n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances ``[n]`` and loadings ``[m, n]`` of the principal components, largest first.

    Centring would fill the matrix, so it is subtracted from each product.
    """
    x = weights.astype(np.float64)
    mean = np.asarray(x.mean(axis=0))
    transposed = x.T.tocsr()
    centred = LinearOperator(
        x.shape,
        matvec=lambda v: x @ v.ravel() - mean @ v.ravel(),
        rmatvec=lambda v: transposed @ v.ravel() - mean * v.sum(),  # given as [n] or [n, 1]
        dtype=np.float64,
    )
    start = np.random.default_rng(seed).standard_normal(min(x.shape))
    _, singular, axes = svds(centred, k=n, v0=start)
    return singular[::-1] ** 2 / (x.shape[0] - 1), _signed(axes[::-1]).T


def _signed(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make the largest entry of each row positive: the sign of a component is arbitrary."""
    largest = np.abs(axes).argmax(axis=1)
    return np.asarray(axes * np.sign(axes[np.arange(len(axes)), largest])[:, None])


def _solve(
    x: NDArray[np.float64], y: NDArray[np.float64], importance: NDArray[np.float64], penalty: float | None
) -> NDArray[np.float64]:
    """Weights ``[p, d]`` of the ridge from centred ``x [m, d]`` to ``y [m, p]``.

    The error of each gene without it follows from the diagonal of the hat matrix (Golub et al. 1979);
    `importance` weighs the columns of y.
    """
    u, s, v = np.linalg.svd(x, full_matrices=False)
    target = u.T @ y

    def error(share: NDArray[np.float64]) -> float:
        beside = (y - u @ (share[:, None] * target)) / (1 - 1 / len(x) - u**2 @ share)[:, None]
        return float((beside**2).sum(axis=0) @ importance)

    penalties = _PENALTIES if penalty is None else [penalty]
    shares = [s**2 / (s**2 + p * s[0] ** 2) for p in penalties]
    best = min(shares, key=error) if len(shares) > 1 else shares[0]
    inverse = np.where(s > s[0] * 1e-10, best / np.where(s > 0, s, 1), 0)
    return np.asarray(((inverse[:, None] * target).T) @ v)
