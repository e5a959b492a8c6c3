"""Values of cells, one after another, as the lists that Arrow has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["between", "cell_lists"]


def cell_lists(values: NDArray[Any], indptr: NDArray[Any]) -> pa.ListArray:
    """Lists of ``n`` cells, of the values ``indptr[i]:indptr[i + 1]``."""
    return pa.ListArray.from_arrays(pa.array(indptr.astype(np.int32)), pa.array(values))


def between(
    values: NDArray[Any], indptr: NDArray[np.int64], before: Sequence[Any] = (), after: Sequence[Any] = ()
) -> pa.ListArray:
    """Lists of cells, with values before and after each."""
    if not before and not after:
        return cell_lists(values, indptr)
    n, more = len(indptr) - 1, len(before) + len(after)
    offsets = indptr + more * np.arange(n + 1)
    whole = np.empty(len(values) + more * n, values.dtype)
    for at, value in enumerate(before):
        whole[offsets[:-1] + at] = value
    for at, value in enumerate(reversed(after), 1):
        whole[offsets[1:] - at] = value
    whole[np.arange(len(values)) + len(before) + more * np.repeat(np.arange(n), np.diff(indptr))] = values
    return cell_lists(whole, offsets)
