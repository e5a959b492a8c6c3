"""Where the values of marked columns are: what NumPy finds by copying all columns to 64 bits first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell_kernels.jit import kernel

__all__ = ["marked"]


def marked(columns: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Places in `columns` whose column is marked; one outside the mask is not."""
    found: NDArray[np.int64] = _marked(columns, mask)
    return found


@kernel(cache=True)
def _marked(columns, mask):  # type: ignore[no-untyped-def]
    n: Any = 0
    v = np.uint64(mask.size)
    found = np.empty(columns.size, np.int64)  # pages that stay unused are never touched
    for i in range(columns.size):
        column = np.uint64(columns[i])
        found[n] = i  # written over where it is not marked: a branch here costs more
        n += column < v and mask[min(column, v - np.uint64(1))]
    return found[:n].copy()
