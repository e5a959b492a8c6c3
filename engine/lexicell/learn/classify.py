"""Classifiers on cells' vectors: logistic regression, calibrated, and nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.arrays import unit_rows
from lexicell.errors import InputError, needing
from lexicell.projection import UNKNOWN, Classifier

__all__ = [
    "KnnClassifier",
    "calibration_error",
    "fit_classifier",
    "fit_knn",
    "fit_logistic",
    "held_out_accuracy",
    "threshold_of",
]

#: Inverse strength of the L2 penalty, where the largest standard deviation of a column is 1.
_C = 1.0
_FOLDS = 5
#: Range in which the temperature is looked for, in logarithms.
_COLDEST, _HOTTEST = np.log(0.02), np.log(50)
#: Cosines that are in memory at once.
_PAIRS = 16_000_000
_BINS = 15


def fit_classifier(
    vectors: NDArray[np.float32],
    labels: NDArray[Any],
    *,
    seed: int = 0,
    batches: NDArray[Any] | None = None,
    lost: float = 0.05,
) -> Classifier:
    """Fit multinomial logistic regression, its temperature and its threshold.

    The regression has an L2 penalty (C = 1) and classes of equal weight; vectors are centred and divided by
    one number, the largest standard deviation of a column, which is folded back into weight and bias. It is
    fitted five more times without a fifth of each class (or of the batches), and what it says of those
    held-out cells chooses temperature and threshold.

    Parameters
    ----------
    vectors
        ``[n, p]`` float32. Zero rows, of cells without any gene, are left out.
    labels
        ``[n]`` names; "unknown" is reserved.
    seed
        Of the folds and the solver.
    batches
        ``[n]``: whole batches are held out, so that the temperature is that of cells from elsewhere.
    lost
        Share of the correctly named held-out cells that the threshold may make "unknown".

    Returns
    -------
    Classifier
        For vectors as they are given here. Its temperature has the least log-loss on the held-out cells
        (Guo et al. 2017, arXiv 1706.04599), and a share of at most `lost` of those that are right lies below
        its threshold. A class of one cell is never held out; where no cell can be, the temperature is 1 and
        the threshold 0.

    Raises
    ------
    InputError
        Shapes do not fit, a vector is not finite, or there are fewer than two classes.
    MissingExtraError
        scikit-learn is not installed.
    """
    _check(vectors, labels, lost)
    full = vectors.any(axis=1)
    codes, classes = _codes(labels[full])
    vectors = vectors[full]
    weight, bias = fit_logistic(vectors, codes, seed)
    folds = _folds(codes, None if batches is None else np.asarray(batches)[full], seed)
    logits = _held_out(vectors, codes, folds, seed)
    # A class that was not trained on can't be told, so it says nothing about the probabilities.
    judged = np.isfinite(logits[np.arange(len(codes)), codes])
    temperature, threshold = _calibrate(logits[judged], codes[judged], lost)
    return Classifier(classes, weight.astype(np.float32), bias.astype(np.float32), temperature, threshold)


def held_out_accuracy(vectors: NDArray[np.float32], labels: NDArray[Any], *, seed: int = 0) -> float:
    """Share of cells of each class that logistic regression names rightly when held out, mean over classes.

    Parameters
    ----------
    vectors, labels
        ``[n, p]`` and ``[n]``; a fifth of each class is held out at a time, and a class of one cell is not
        counted.
    seed
        Of the folds and the solver.

    Raises
    ------
    InputError
        As `fit_classifier`.
    """
    _check(vectors, labels, 0)
    codes, _ = _codes(labels)
    folds = _folds(codes, None, seed)
    right = _held_out(vectors, codes, folds, seed).argmax(axis=1) == codes
    judged = [right[(codes == code) & (folds >= 0)] for code in np.unique(codes)]
    return float(np.mean([cells.mean() for cells in judged if len(cells)])) if len(codes) else 0.0


def threshold_of(
    probability: NDArray[np.floating[Any]], codes: NDArray[np.integer[Any]], *, lost: float = 0.05
) -> float:
    """Largest threshold below which at most a share `lost` of the cells lies that are named rightly.

    Parameters
    ----------
    probability
        ``[n, C]``.
    codes
        ``[n]`` numbers of their classes.
    lost
        That share.
    """
    right = probability.argmax(axis=1) == codes
    return _threshold(probability[right].max(axis=1), lost)


def _held_out(
    vectors: NDArray[np.float32], codes: NDArray[np.int64], folds: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Logits ``[n, C]`` of cells by regressions without their fold; minus infinity where there is none."""
    logits = np.full((len(codes), int(codes.max(initial=0)) + 1), -np.inf)
    for fold in np.unique(folds[folds >= 0]):
        trained, tested = folds != fold, folds == fold
        present = np.unique(codes[trained])
        if len(present) < 2:
            continue
        w, b = fit_logistic(vectors[trained], np.searchsorted(present, codes[trained]), seed)
        logits[np.ix_(tested, present)] = vectors[tested] @ w.T + b
    return logits


@dataclass(frozen=True, eq=False)
class KnnClassifier:
    """The nearest reference cells by cosine vote, each with the inverse of its cosine distance.

    Attributes
    ----------
    classes
        ``C`` names.
    vectors
        ``[n, p]`` float32 of the reference cells, of length 1.
    codes
        ``[n]`` numbers of their classes.
    k
        Neighbours that vote.
    threshold
        Share of the votes below which a cell is "unknown".
    """

    classes: tuple[str, ...]
    vectors: NDArray[np.float32]
    codes: NDArray[np.int64]
    k: int
    threshold: float = 0.0

    def predict_proba(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Share of the votes for each class, float32 ``[n, C]``; 0 for a zero row.

        Raises
        ------
        InputError
            The vectors have another length than the reference's.
        """
        return self._votes(unit_rows(vectors), None)

    def _votes(self, queries: NDArray[np.float32], itself: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Votes for unit vectors; `own` are the reference cells that they are themselves, who can't vote."""
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            msg = f"the reference cells have vectors of {self.vectors.shape[1]}, not {list(queries.shape)}"
            raise InputError(msg)
        votes = np.zeros((len(queries), len(self.classes)), np.float32)
        k = min(self.k, len(self.codes) - (itself is not None))
        step = max(1, _PAIRS // len(self.codes))
        for start in range(0, len(queries), step):
            part = slice(start, min(start + step, len(queries)))
            cosine = queries[part] @ self.vectors.T
            at = np.arange(len(cosine))[:, None]
            if itself is not None:
                cosine[at[:, 0], itself[part]] = -np.inf
            nearest = np.argpartition(cosine, -k, axis=1)[:, -k:]
            share = 1 / np.maximum(1 - cosine[at, nearest], 1e-6)
            np.add.at(votes[part], (at, self.codes[nearest]), share / share.sum(axis=1, keepdims=True))
        votes[~queries.any(axis=1)] = 0
        return np.minimum(votes, 1)  # of ten shares, rounded


def fit_knn(
    vectors: NDArray[np.float32], labels: NDArray[Any], *, k: int = 10, lost: float = 0.05
) -> KnnClassifier:
    """Keep the reference cells, and choose the threshold by what they say of each other.

    Parameters
    ----------
    vectors, labels, lost
        See `fit_classifier`.
    k
        Neighbours that vote. A class of fewer cells is seldom found.

    Raises
    ------
    InputError
        See `fit_classifier`; or ``k < 1``.
    """
    _check(vectors, labels, lost)
    if k < 1:
        msg = f"k must be at least 1, not {k}"
        raise InputError(msg)
    full = vectors.any(axis=1)
    codes, classes = _codes(labels[full])
    reference = KnnClassifier(classes, unit_rows(vectors[full]), codes, k)
    votes = reference._votes(reference.vectors, np.arange(len(codes)))
    right = votes.argmax(axis=1) == codes
    threshold = _threshold(votes[right].max(axis=1), lost)
    return KnnClassifier(classes, reference.vectors, codes, k, threshold)


def calibration_error(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], *, bins: int = _BINS
) -> float:
    """Expected calibration error: how far confidence and share of correct cells are apart, 0 to 1.

    Cells are put into `bins` of equal width by their confidence; the differences of the bins are averaged
    by their number of cells (Naeini et al. 2015; Guo et al. 2017).

    Parameters
    ----------
    confidence
        ``[n]``, 0 to 1.
    correct
        ``[n]``.
    bins
        How many.
    """
    n = len(confidence)
    bin_of = np.clip((np.asarray(confidence, np.float64) * bins).astype(np.int64), 0, bins - 1)
    gap = np.bincount(bin_of, weights=np.asarray(confidence, np.float64) - correct, minlength=bins)
    return float(np.abs(gap).sum() / n) if n else 0.0


def _check(vectors: NDArray[np.float32], labels: NDArray[Any], lost: float) -> None:
    if vectors.ndim != 2 or len(labels) != len(vectors):
        msg = f"a classifier takes vectors [n, p] and n labels, not {list(vectors.shape)} and {len(labels)}"
        raise InputError(msg)
    if not np.isfinite(vectors).all():
        msg = "a vector is not finite, so cells can't be classified by it"
        raise InputError(msg)
    if not 0 <= lost < 1:
        msg = f"the share of correct cells that may become {UNKNOWN} is from 0 to below 1, not {lost}"
        raise InputError(msg)


def _codes(labels: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the classes in sorted order."""
    codes, names = pd.factorize(np.asarray(labels).astype(str).astype(object), sort=True)
    if len(names) < 2:
        present = f"one class only ({names[0]})" if len(names) else "no cell with a label and a vector"
        msg = f"there is {present}, so there is nothing to tell apart; give labels of two classes or more"
        raise InputError(msg)
    return codes.astype(np.int64), tuple(map(str, names))


def fit_logistic(
    vectors: NDArray[np.float32], codes: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit logistic regression, classes of equal weight: ``[C, p]`` and bias ``[C]`` for vectors as they are.

    Vectors are centred and divided by the largest standard deviation of a column, and the L2 penalty is 1.
    """
    with needing("evaluate", "Classifying cells"):
        from sklearn.linear_model import LogisticRegression
    mean = vectors.mean(axis=0, dtype=np.float64)
    scale = float(vectors.std(axis=0, dtype=np.float64).max()) or 1.0
    model = LogisticRegression(C=_C, class_weight="balanced", max_iter=2000, random_state=seed)
    model.fit((vectors - mean) / scale, codes)
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:  # of two classes scikit-learn keeps the difference
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / scale
    return weight, bias - weight @ mean


def _folds(codes: NDArray[np.int64], batches: NDArray[Any] | None, seed: int) -> NDArray[np.int64]:
    """Fold of each cell, of which each class (or the batches) is spread over all; -1 for a class of one."""
    if batches is not None:
        number, names = pd.factorize(batches)
        if len(names) > 1:
            return np.asarray(number % _FOLDS, np.int64)
    order = np.random.default_rng(seed).permutation(len(codes))
    folds = np.empty(len(codes), np.int64)
    folds[order] = pd.Series(codes[order]).groupby(codes[order]).cumcount().to_numpy() % _FOLDS
    folds[np.bincount(codes)[codes] < 2] = -1
    return folds


def _calibrate(logits: NDArray[np.float64], codes: NDArray[np.int64], lost: float) -> tuple[float, float]:
    """Temperature of the least log-loss, and the threshold at it."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if not len(codes):
        return 1.0, 0.0
    at = np.arange(len(codes))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[at, codes].mean())

    minimum = minimize_scalar(loss, bounds=(_COLDEST, _HOTTEST), method="bounded")
    temperature = float(np.exp(minimum.x))
    best = log_softmax(logits / temperature, axis=1).max(axis=1)
    return temperature, _threshold(np.exp(best[logits.argmax(axis=1) == codes]), lost)


def _threshold(confidence: NDArray[np.floating], lost: float) -> float:
    """Largest threshold below which a share of at most `lost` lies."""
    if not len(confidence):
        return 0.0
    # Rounded down, so that the same cell in float32 is not lost by a rounding error.
    lowest = float(np.quantile(confidence, lost, method="lower"))
    return float(np.floor(lowest * 1e4) / 1e4)
