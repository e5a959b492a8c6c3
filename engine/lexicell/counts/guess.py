"""What the values of a sample look like: counts, fractions of counts, or a logarithm or root of these.

A cell that was normalised and transformed holds ``f(s c)`` with whole counts ``c`` and one factor ``s``. So
what undoes ``f`` makes all its values whole multiples of one number, and each wrong guess does not. Where
there is no such number (TPM, imputed values), cells that sum to one constant after ``f`` is undone tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lexicell_kernels.types import CsrBlock

__all__ = ["LOG_BASES", "Guess", "Values", "guess_values"]

#: No natural logarithm of a count comes near this: exp(20) is half a billion.
_LARGEST_LOG = 20.0
#: No root of a count does: its square is a billion.
_LARGEST_ROOT = 3e4
#: Sums over cells that differ by less than this share are one constant.
_CONSTANT = 2e-3
#: Sums that people normalise to; another constant needs more to be believed.
_ROUND_SUMS = np.array([1, 100, 1e3, 1e4, 1e5, 1e6])
#: Cells of the sample whose values are compared with their smallest.
_COMPARED_CELLS = 200
#: Share of a cell's ratios that have to be whole, and of such cells.
_WHOLE_RATIOS, _FITTING_CELLS = 0.9, 0.7
#: Ratios of a cell that are compared, the smallest: large ones of a function that tends to a line fit any.
_COMPARED_RATIOS = 12
#: Ratios that are whole to within this are whole, if nothing is known to be less exact.
_WHOLE = 0.01
#: Share of the values that are whole, or close to it, from which on they are counts that were corrected.
_SOME_WHOLE, _MOST_CLOSE = 0.25, 0.55
#: Values of which a share means something.
_FEW = 30

#: Largest value of a cell over the median: of counts orders of magnitude, of their logarithms hardly one.
_COUNTS_SPREAD = 15.0

#: Distinct positive values of a cell.
Cell = Any


class Values(StrEnum):
    """What a matrix holds.

    ``counts`` are counts, whole or estimated, and ``normalised`` are counts divided by a size factor. The
    others are functions of either: ``lognorm`` is ``log1p(x)`` (natural logarithm), ``log2`` and ``log10``
    are logarithms of ``1 + x`` to these bases, and ``sqrt`` is the square root.
    """

    COUNTS = "counts"
    NORMALISED = "normalised"
    LOGNORM = "lognorm"
    LOG2 = "log2"
    LOG10 = "log10"
    SQRT = "sqrt"

    @property
    def formula(self) -> str:
        """What was done to ``x``, for messages."""
        return _FORMULAS.get(self, str(self))


_FORMULAS = {
    Values.LOGNORM: "log1p(x), the natural logarithm",
    Values.LOG2: "log2(1 + x)",
    Values.LOG10: "log10(1 + x)",
    Values.SQRT: "sqrt(x)",
}

#: Base of the logarithm that each is.
LOG_BASES = {Values.LOGNORM: np.e, Values.LOG2: 2.0, Values.LOG10: 10.0}

Sure = Literal["sure", "likely", "unsure"]


@dataclass(frozen=True, slots=True)
class Guess:
    """What a sample looks like.

    Attributes
    ----------
    values
        What it is, or None where nothing shows it.
    what
        The same in words ("whole numbers", "shares of a cell's sum").
    sure
        Whether it was measured ("sure"), is the better guess ("likely"), or is not known ("unsure").
    evidence
        What was seen.
    ways
        What `values` may be given as, the likelier first; only where it takes the user to say so.
    """

    values: Values | None
    what: str
    sure: Sure
    evidence: str
    ways: tuple[Values, ...] = ()

    @property
    def transformed(self) -> bool:
        """Whether something has to be undone, or may have to."""
        return self.values not in (Values.COUNTS, Values.NORMALISED)


@dataclass(frozen=True, slots=True)
class _Inverse:
    """Undoes a transformation: what it gives, how much that changes with the value, and the largest value."""

    undo: Callable[[Cell], Cell]
    slope: Callable[[Cell], Cell]
    largest: float
    shown: str


def _log(base: float, shown: str) -> _Inverse:
    k = float(np.log(base))
    return _Inverse(lambda x: np.expm1(k * x), lambda x: k * np.exp(k * x), _LARGEST_LOG / k, shown)


#: In the order of preference where several explain a sample equally well.
_INVERSES = {
    Values.NORMALISED: _Inverse(lambda x: x, np.ones_like, np.inf, "the values"),
    Values.LOGNORM: _log(np.e, "after exp(x) - 1 the values"),
    Values.LOG2: _log(2.0, "after 2^x - 1 the values"),
    Values.LOG10: _log(10.0, "after 10^x - 1 the values"),
    Values.SQRT: _Inverse(np.square, lambda x: 2 * x, _LARGEST_ROOT, "the squares of the values"),
}


def guess_values(block: CsrBlock, log_base: float | None = None) -> Guess:
    """Say what the values of a sample look like.

    Parameters
    ----------
    block
        Cells on the host, all values finite and not negative.
    log_base
        Base of the logarithm that the file says was taken, or None where it says nothing.
    """
    data = block.data
    if data.dtype.kind != "f" or not bool((data != np.rint(data)).any()):
        return Guess(Values.COUNTS, "whole numbers", "sure", "all values are whole")
    # What is stored as 0 is no value; each cell is what lies between two ends.
    positive = data > 0
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(positive)])[block.indptr]
    x = data[positive].astype(np.float64)
    shown = _look(x, ends[np.concatenate([[True], np.diff(ends) > 0])], block)
    if log_base is None or float(x.max()) > _LARGEST_LOG / np.log(log_base):
        return shown
    return _with_statement(shown, log_base)


def _look(x: NDArray[np.float64], ends: NDArray[np.int64], block: CsrBlock) -> Guess:
    """Guess from the positive values of all cells that have any."""
    if float(np.ptp(x)) == 0:
        return _unsure(x, ends, "all values are the same")
    largest = float(x.max())
    dense = x.size > 0.99 * (len(ends) - 1) * block.n_columns
    guess = _multiples(x, ends) or _constant_sums(x, ends) or (None if dense else _near_whole(x))
    if guess is not None:
        return guess
    if largest > _LARGEST_ROOT or (largest > _LARGEST_LOG and not dense):
        evidence = f"values reach {largest:,.0f}, which no logarithm of a count does"
        return Guess(Values.NORMALISED, "fractions", "likely", evidence)
    smooth = "almost no value is 0, as after imputing, denoising or smoothing; " if dense else ""
    return _unsure(x, ends, f"{smooth}no unit and no constant sum of cells shows what they are")


def _multiples(x: NDArray[np.float64], ends: NDArray[np.int64]) -> Guess | None:
    """Compare the values of each cell with its smallest, after undoing each transformation."""
    step = _decimals(x)
    half = _is_half_precision(x)
    picked = np.unique(np.linspace(0, len(ends) - 2, min(len(ends) - 1, _COMPARED_CELLS)).astype(np.int64))
    cells = [np.unique(x[ends[i] : ends[i + 1]]) for i in picked]
    cells = [cell for cell in cells if len(cell) > 1]
    error = [np.maximum((5e-4 if half else 1.2e-7) * cell, step / 2) for cell in cells]
    fits: dict[Values, tuple[float, int]] = {}
    for kind, inverse in _INVERSES.items():
        if float(x.max()) > inverse.largest:
            continue
        compared = [_compare(inverse, cell, exact) for cell, exact in zip(cells, error, strict=True)]
        share = np.array([part for part, _ in compared])
        number = np.array([n for _, n in compared])
        enough = number >= (2 if (number >= 2).sum() >= 5 else 1)
        if number.sum() >= 4:
            fits[kind] = float((share[enough] >= _WHOLE_RATIOS).mean()), int(number.sum())
    best = max((share for share, _ in fits.values()), default=0.0)
    for kind, (fitting, ratios) in fits.items():
        if fitting >= max(_FITTING_CELLS, best - 0.02):
            evidence = (
                f"in {fitting:.0%} of {len(cells):,} cells, {_INVERSES[kind].shown} are whole multiples of "
                "one number"
            )
            what = "counts over size factors" if kind is Values.NORMALISED else kind.formula
            return Guess(kind, what, "sure" if ratios >= 20 else "likely", evidence, (kind,))
    return None


def _compare(inverse: _Inverse, cell: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[float, int]:
    """Share of a cell's ratios to its smallest value that are whole, and how many are exact enough to tell.

    The smallest value may be a count of 1, 2 or 3.
    """
    cell, error = cell[: _COMPARED_RATIOS + 1], error[: _COMPARED_RATIOS + 1]
    y = inverse.undo(cell)
    inexact = inverse.slope(cell) * error / y + 1.2e-7
    ratio, off = y[1:] / y[0], inexact[1:] + inexact[0]
    multiple = np.array([[1.0], [2.0], [3.0]]) * ratio
    allowed = np.maximum(multiple * off, _WHOLE)
    exact = allowed < 0.1
    exact &= ratio > 1 + off  # else the same number, calculated otherwise
    integral = exact & (ratio > 1.3) & (np.abs(multiple - np.rint(multiple)) <= allowed)
    return float((integral.sum(1) / exact.sum(1).clip(1)).max()), int(exact[0].sum())


def _constant_sums(x: NDArray[np.float64], ends: NDArray[np.int64]) -> Guess | None:
    """Find what has to be undone for cells to sum to the same."""
    for kind, inverse in _INVERSES.items():
        if float(x.max()) > inverse.largest:
            continue
        sums = np.add.reduceat(inverse.undo(x), ends[:-1])
        median = float(np.median(sums))
        share = float((np.abs(sums - median) <= _CONSTANT * median).mean())
        is_round = float(np.abs(median / _ROUND_SUMS - 1).min()) < _CONSTANT / 10
        if share < 0.95 or (len(sums) < 3 and not is_round):
            continue
        evidence = f"in {share:.0%} of {len(sums):,} cells, {inverse.shown} sum to {median:,.6g}"
        if kind is Values.SQRT and median < 2:  # vectors of length 1, of whatever
            continue
        if kind is Values.NORMALISED and not is_round and _spread(x, ends) < _COUNTS_SPREAD:
            return _unsure(x, ends, f"{evidence}, which also happens to scaled logarithms")
        what = "shares of a cell's sum" if kind is Values.NORMALISED else kind.formula
        return Guess(kind, what, "sure" if len(sums) >= 20 else "likely", evidence, (kind,))
    return None


def _near_whole(x: NDArray[np.float64]) -> Guess | None:
    """Recognise counts of which some were shared out or corrected."""
    share = float((x == np.rint(x)).mean())
    if share >= _SOME_WHOLE and x.size >= _FEW:
        evidence = f"{share:.0%} of the values are whole"
    else:
        larger = x[(x > 1.5) & (x < 10.5)]
        close = float((np.abs(larger - np.rint(larger)) <= 0.15).mean()) if larger.size >= _FEW else 0.0
        if close < _MOST_CLOSE:
            return None
        evidence = f"{close:.0%} of the values from 1.5 to 10.5 are close to a whole number"
    return Guess(Values.NORMALISED, "fractional counts", "likely", evidence, (Values.NORMALISED,))


def _with_statement(shown: Guess, log_base: float) -> Guess:
    """Weigh what a sample shows against the logarithm that its file states."""
    stated = next((kind for kind, base in LOG_BASES.items() if np.isclose(base, log_base)), None)
    says = f'uns["log1p"] says that the logarithm to base {log_base:.6g} was taken'
    if stated is None:
        return Guess(None, f"log(1 + x) to base {log_base:.6g}, which is not undone here", "unsure", says, ())
    if shown.values is None or shown.values is stated:
        evidence = says if shown.values is None else f"{says}, and {shown.evidence}"
        return Guess(stated, stated.formula, shown.sure if shown.values else "likely", evidence, (stated,))
    if shown.transformed:
        joint = f"{shown.evidence}, though {says}"
        return Guess(shown.values, shown.what, shown.sure, joint, (*shown.ways, stated))
    joint = f"{says}, but {shown.evidence}"
    return Guess(None, "other values than its file says", "unsure", joint, (Values.NORMALISED,))


def _unsure(x: NDArray[np.float64], ends: NDArray[np.int64], evidence: str) -> Guess:
    ways: tuple[Values, ...] = (Values.LOGNORM, Values.NORMALISED)
    if _spread(x, ends) >= _COUNTS_SPREAD:
        ways = ways[::-1]
    if float(x.max()) > _LARGEST_LOG:
        ways = (Values.NORMALISED,)
    return Guess(None, "neither counts nor anything that is recognised", "unsure", evidence, ways)


def _spread(x: NDArray[np.float64], ends: NDArray[np.int64]) -> float:
    return float(np.median(np.maximum.reduceat(x, ends[:-1])) / np.median(x))


def _decimals(x: NDArray[np.float64]) -> float:
    """Return 0.1, 0.01 ... if all values are multiples of it, as after rounding to decimals, or else 0."""
    for digits in (1, 2, 3, 4):
        scaled = x[:: max(1, x.size // 20_000)] * 10**digits
        if bool((np.abs(scaled - np.rint(scaled)) <= 1e-3 + 1.2e-7 * scaled).all()):
            return float(10.0**-digits)
    return 0.0


def _is_half_precision(x: NDArray[np.float64]) -> bool:
    with np.errstate(over="ignore"):
        return bool((x.astype(np.float16) == x).all())
