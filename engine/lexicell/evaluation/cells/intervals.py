"""What the spread over draws says about a mean, and about the difference of two methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Comparison", "Interval", "compare", "mean_interval"]

_LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Mean over draws and its 95 % interval by Student's t; both ends are NaN for fewer than two draws."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """The difference of two methods on the same draws.

    Attributes
    ----------
    difference
        Mean of first minus second, with its interval over draws.
    corrected
        The same with the variance of Nadeau and Bengio (2003), ``(1 / J + n_test / n_train) s^2`` for J
        draws. It allows for draws that share cells, and is far too wide where few cells are drawn from many:
        these hardly share any, but n_test / n_train is large. So it is for scenarios that train on half or
        more of the cells; for few-shot draws it is given for completeness. Both ends are NaN where no cell is
        trained on.
    p_t, p_wilcoxon
        Two-sided, of the paired t-test and of Wilcoxon's signed-rank test; NaN for fewer than two draws.
    """

    difference: Interval
    corrected: Interval
    p_t: float
    p_wilcoxon: float


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """Mean and 95 % interval of ``[J]`` scores."""
    return _interval(values, 1 / max(len(values), 1))


def compare(first: NDArray[np.float64], second: NDArray[np.float64], *, test_over_train: float) -> Comparison:
    """Compare two methods by their scores on the same draws.

    Parameters
    ----------
    first, second
        ``[J]``, one for each draw, in the same order.
    test_over_train
        Query cells over reference cells.

    Returns
    -------
    Comparison
        About new draws of cells from this data set; never about other data sets.
    """
    from scipy import stats

    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    n = len(difference)
    plain = _interval(difference, 1 / max(n, 1))
    corrected = _interval(difference, 1 / max(n, 1) + test_over_train)
    if n < 2:
        return Comparison(plain, corrected, float("nan"), float("nan"))
    if np.ptp(difference) == 0:  # neither test is defined where nothing varies
        p = 1.0 if difference[0] == 0 else 0.0
        return Comparison(plain, corrected, p, float(stats.wilcoxon(difference).pvalue) if p == 0 else 1.0)
    p_t = float(stats.ttest_1samp(difference, 0).pvalue)
    return Comparison(plain, corrected, p_t, float(stats.wilcoxon(difference).pvalue))


def _interval(values: NDArray[np.float64], share: float) -> Interval:
    """Interval of the mean whose variance is `share` of the values' variance."""
    from scipy import stats

    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), n)
    reach = float(stats.t.ppf((1 + _LEVEL) / 2, n - 1) * np.std(values, ddof=1) * np.sqrt(share))
    return Interval(mean, mean - reach, mean + reach, n)
