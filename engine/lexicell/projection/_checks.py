"""What the arrays of a projection have to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexicell.errors import InputError

__all__ = ["floats", "put", "rows", "same"]


def floats(name: str, values: ArrayLike, ndim: int) -> NDArray[np.float32]:
    """Return `values` as C-contiguous float32 of `ndim` dimensions; InputError names what is not finite."""
    array = np.asarray(values)
    if array.ndim != ndim or array.dtype.kind not in "fiu":
        raise _shaped(name, array, ndim, "numbers")
    with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite
        result = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(result).all():
        msg = f"the projection's {name} is not finite"
        raise InputError(msg)
    return result


def rows(name: str, values: ArrayLike) -> NDArray[np.int32]:
    """Return rows of a lexicon as int32; InputError for what can't be one."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise _shaped(name, array, 1, "rows of a lexicon")
    if array.size and (array.min() < 0 or array.max() >= 2**31):
        msg = f"the projection's {name} goes from {array.min()} to {array.max()}; a lexicon begins with row 0"
        raise InputError(msg)
    return np.ascontiguousarray(array, np.int32)


def same(what: str, found: int, where: str, expected: int) -> None:
    """Raise InputError where two lengths that have to be the same are not."""
    if found != expected:
        msg = f"the projection's {what} has length {found:,} and its {where} {expected:,}; they must agree"
        raise InputError(msg)


def put(part: Any, **values: Any) -> None:
    """Set fields of a frozen dataclass while it is made."""
    for name, value in values.items():
        object.__setattr__(part, name, value)


def _shaped(name: str, array: NDArray[Any], ndim: int, kind: str) -> InputError:
    form = {1: "a list", 2: "a matrix"}[ndim]
    return InputError(f"the projection's {name} is {form} of {kind}, not {array.dtype} {list(array.shape)}")
