"""Principal components of vectors, of sums that are exact: the same bits whatever the order of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.projection.whitening import principal_axes

__all__ = ["Components", "Moments", "fit_components"]

#: Rows that are summed at once: with values of 18 bits, any order of 2^13 products is exact in 64 bits.
_ROWS, _BITS = 1 << 13, 18
#: Bits of vectors, and of axes, whose products are exact in any order: rows and axes are at most 1 long.
_EXACT_BITS = 26


class Moments:
    """Sums of rows and of their products.

    Values are rounded to 2^-18 of `largest`, so that all sums are exact, up to 10^8 rows.

    Parameters
    ----------
    width
        Values of a row.
    largest
        What no value exceeds, in size.
    """

    def __init__(self, width: int, largest: float) -> None:
        self._unit = _power_above(largest) / 2.0**_BITS
        self.n = 0
        self._sum = np.zeros(width, np.int64)
        self._products = np.zeros((width, width), np.int64)

    def add(self, rows: NDArray[np.floating]) -> None:
        """Add ``[n, width]`` rows."""
        self.n += len(rows)
        for start in range(0, len(rows), _ROWS):
            whole = np.rint(rows[start : start + _ROWS].astype(np.float64) / self._unit)
            self._sum += whole.sum(axis=0).astype(np.int64)
            self._products += (whole.T @ whole).astype(np.int64)

    @property
    def mean(self) -> NDArray[np.float64]:
        """``[width]``."""
        return self._sum.astype(np.float64) / max(self.n, 1) * self._unit

    @property
    def covariance(self) -> NDArray[np.float64]:
        """``[width, width]``, with ``n - 1``."""
        products = self._products.astype(np.float64) * self._unit**2
        mean = self.mean
        found: NDArray[np.float64] = (products - self.n * np.outer(mean, mean)) / max(self.n - 1, 1)
        return found


@dataclass(frozen=True)
class Components:
    """``e -> (axes e - offset) / factor``.

    Attributes
    ----------
    axes
        ``[q, d]`` float64 of 26 bits; None for the vectors as they are.
    offset, factor
        ``[q]`` float64.
    length
        What no vector exceeds in length, a power of two.
    variance
        ``[q]`` of the cells that it was fitted to.
    """

    axes: NDArray[np.float64] | None
    offset: NDArray[np.float64]
    factor: NDArray[np.float64]
    length: float
    variance: NDArray[np.float64]

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Components ``[n, q]`` of vectors ``[n, d]``; those of a row have the same bits in any block."""
        rows = vectors.astype(np.float64)
        if self.axes is not None:
            unit = self.length / 2.0**_EXACT_BITS
            rows = np.rint(rows / unit) @ self.axes.T * unit
        return ((rows - self.offset) / self.factor).astype(np.float32)


def fit_components(moments: Moments, q: int | None, length: float, *, scale: bool) -> Components:
    """Fit principal components, the largest first, or only centre and scale.

    Parameters
    ----------
    moments
        Of the cells that it may look at.
    q
        How many; None for the vectors as they are, which are centred only if they are scaled.
    length
        Of the longest vector that will be changed.
    scale
        Divide by the standard deviation (with ``n - 1``) and the square root of the number of columns, as
        MixMIL does.

    Raises
    ------
    InputError
        There are fewer cells, or directions in which they differ, than that.
    """
    covariance = moments.covariance
    length = _power_above(length)
    if q is None:
        axes, offset, variance = None, moments.mean, np.diag(covariance)
    else:
        variance, vectors = principal_axes(covariance)
        rank = int((variance > max(variance[0], 0) * 1e-7).sum())
        if moments.n < 2 or q > rank:
            msg = (
                f"the {moments.n:,} cells of training donors differ in {rank if moments.n > 1 else 0} "
                f"directions only; ask for fewer components than {q}"
            )
            raise InputError(msg)
        variance = variance[:q]
        axes = np.rint(vectors[:, :q].T * 2.0**_EXACT_BITS) / 2.0**_EXACT_BITS
        offset = axes @ moments.mean
    factor = np.ones(len(offset))
    if scale:
        deviation = np.sqrt(variance.clip(0))
        factor = np.where(deviation > 0, deviation * np.sqrt(len(offset)), 1.0)
    return Components(axes, offset, factor, length, variance)


def _power_above(value: float) -> float:
    """Least power of two that is not below a value."""
    return float(2.0 ** np.ceil(np.log2(value))) if value > 0 else 1.0
