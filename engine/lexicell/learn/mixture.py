"""What cells that look alike have in common: a Gaussian mixture in a data set's own components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from lexicell.errors import needing
from lexicell.learn.classify import fit_knn, fit_logistic

__all__ = ["Spread", "mix", "mixing", "own_components", "scaled_to_variance", "spread_labels"]

#: Values are cut where they are so many standard deviations from the mean.
_CLIP = 10.0
#: A gene whose cells differ by less than this part of their mean does not vary: it is rounding.
_LEAST_SPREAD = 1e-6
#: No class is impossible because of one cell.
_LEAST = 1e-4
#: Share of the covariance within classes that is replaced by a part of the variance of all cells.
_SHRINKAGE = 0.2
#: That part, and how much of the pull of its size a class gets: without labelled cells, and with some.
_OF_ALL, _OF_ALL_LABELLED = 0.2, 0.05
_PULL, _PULL_LABELLED = 0.5, 1.0
#: Cells more that a class has at the mean of its labelled ones; without labels, one in the middle of all.
_ANCHOR = 3.0
#: A cell's distance from the middle counts by this power less: cells of two kinds, or with few counts, lie
#: between a class and the middle.
_LENGTH_POWER = 1 / 3
#: Nearest labelled cells that vote, and parts in which labelled cells are held out.
_NEIGHBOURS, _FOLDS = 10, 3


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
    scaled = scaled_to_variance(weights)
    if not scaled.nnz:  # no two cells differ
        return np.zeros((n, 0))
    solver = PCA(d, svd_solver="arpack", random_state=seed)
    return np.asarray(solver.fit_transform(scaled), np.float64)


def scaled_to_variance(weights: sp.csr_array) -> sp.csr_matrix:
    """Columns of variance 1, values cut at 10; sparse stays sparse, so the mean is left in."""
    mean = np.asarray(weights.mean(axis=0, dtype=np.float64)).ravel()
    square = np.asarray(weights.multiply(weights).mean(axis=0, dtype=np.float64)).ravel()
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    varies = spread > _LEAST_SPREAD * np.abs(mean)
    scale = np.where(varies, 1 / np.where(varies, spread, 1), 0)
    scaled = sp.csr_matrix(weights.multiply(scale[None, :]))
    np.minimum(scaled.data, _CLIP, out=scaled.data)
    scaled.eliminate_zeros()
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
    each cell and is held near it. A class gets half of the pull that its share of the cells would give it, or
    all of it where labelled cells hold its mean.

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
    told = np.zeros((0, classes)) if known is None else np.eye(classes)[known[labelled]]
    now[labelled] = told
    if d == 0 or n < 3:
        return now
    centred = components - components.mean(axis=0)
    whole = centred.T @ centred / n
    pull, of_all, anchor = _PULL, _OF_ALL, 1.0
    if known is not None:
        pull, of_all, anchor = _PULL_LABELLED, _OF_ALL_LABELLED, _ANCHOR
    hold = anchor * (told.T @ centred[labelled]) / np.maximum(told.sum(axis=0), 1)[:, None]
    floor = _SHRINKAGE * of_all * np.diag(np.diag(whole)) + 1e-6 * np.eye(d)
    for _ in range(rounds):
        size, sums = now.sum(axis=0) + 1e-9, now.T @ centred
        mean = (sums + hold) / (size[:, None] + anchor)
        cross = sums.T @ mean
        within = whole - (cross + cross.T - (mean.T * size) @ mean) / n
        whitened = np.linalg.cholesky(np.linalg.inv((1 - _SHRINKAGE) * within + floor))
        cells, centres = centred @ whitened, mean @ whitened
        distance = (cells**2).sum(axis=1)[:, None] - 2 * cells @ centres.T + (centres**2).sum(axis=1)
        now = softmax(prior - 0.5 * distance + pull * np.log(size / n), axis=1)
        now[labelled] = told
    return now


@dataclass(frozen=True, eq=False)
class Spread:
    """Classes of all cells, foretold from a few that are labelled.

    Attributes
    ----------
    probability
        float64 ``[n, C]``; a labelled cell has its own class.
    mixed
        Whether classes were mixed, or a classifier of the labelled cells alone decides.
    lost, won
        Labelled cells, held out, that only the classifier named rightly, and that only the mixture did.
    """

    probability: NDArray[np.float64]
    mixed: bool
    lost: int
    won: int


def spread_labels(
    vectors: NDArray[np.floating[Any]], known: NDArray[np.integer[Any]], *, seed: int = 0
) -> Spread:
    """Name cells by a few labelled ones among them, and by what cells that look alike have in common.

    Logistic regression and nearest neighbours of the labelled cells say what each cell is; the mean of the
    two begins a mixture (`mix`) among all cells. Each third of the labelled cells is held out once: where
    the mixture loses more of them than logistic regression, by more than one standard deviation of chance,
    logistic regression decides.

    Parameters
    ----------
    vectors
        ``[n, p]`` components of expression.
    known
        ``[n]`` class of the labelled cells, each number from 0 on occurs; -1 for the others.
    seed
        Of the solver.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    cells = np.asarray(vectors, np.float64)
    codes = np.asarray(known, np.int64)
    labelled = np.flatnonzero(codes >= 0)
    of_class = pd.Series(codes[labelled]).groupby(codes[labelled]).cumcount().to_numpy()
    lost = won = 0
    for fold in range(_FOLDS):
        held = labelled[(of_class % _FOLDS == fold) & (np.bincount(codes[labelled])[codes[labelled]] > 1)]
        if not len(held):
            continue
        others = codes.copy()
        others[held] = -1
        plain, mixed = (found[held].argmax(axis=1) == codes[held] for found in _named(cells, others, seed))
        lost += int((plain & ~mixed).sum())
        won += int((mixed & ~plain).sum())
    plain, mixed = _named(cells, codes, seed)
    helps = lost - won <= np.sqrt(lost + won)
    return Spread(mixed if helps else plain, helps, lost, won)


def _named(
    vectors: NDArray[np.float64], known: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What logistic regression says of all cells, and what the mixture makes of it: ``[n, C]`` each."""
    labelled = known >= 0
    codes = known[labelled]
    reference = vectors[labelled].astype(np.float32)
    weight, bias = fit_logistic(reference, codes, seed)
    plain = softmax(vectors @ weight.T + bias, axis=1)
    plain[labelled] = np.eye(plain.shape[1])[codes]
    # Neighbours take a class of fewer cells than vote for a rare one.
    nearest = fit_knn(reference, codes, k=min(_NEIGHBOURS, int(np.bincount(codes).min())))
    votes = np.zeros_like(plain)
    votes[:, np.array(nearest.classes, int)] = nearest.predict_proba(vectors.astype(np.float32))
    centred = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return plain, mix((plain + votes) / 2, centred / np.maximum(length, 1e-9) ** _LENGTH_POWER, known=known)


def mixing(components: NDArray[np.floating[Any]], n_first: int, *, neighbours: int = _NEIGHBOURS) -> float:
    """How often the nearest cells of the first ones are of the others, over how often by chance.

    About 1 where both are cells of one experiment; far less where an experiment's cells lie apart.

    Parameters
    ----------
    components
        ``[n, d]``, of all cells together.
    n_first
        Cells of the first kind; the others follow.
    neighbours
        How many are looked at; fewer than a class has among the first, or cells of the others must come.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("train", "Comparing experiments"):
        from sklearn.neighbors import NearestNeighbors
    n = len(components)
    nearest = NearestNeighbors(n_neighbors=min(neighbours + 1, n)).fit(components)
    found = nearest.kneighbors(components[:n_first], return_distance=False)[:, 1:]
    return float((found >= n_first).mean()) * (n - 1) / max(n - n_first, 1)
