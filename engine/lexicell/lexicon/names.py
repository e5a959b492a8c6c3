"""Name -> row, for all names of a data set at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["AMBIGUOUS", "NO_ROW", "NameIndex", "pairs", "text"]

NO_ROW, AMBIGUOUS = -1, -2


class NameIndex:
    """Rows by name; a name that several rows share leads to `AMBIGUOUS`.

    Parameters
    ----------
    names, rows
        ``[n]`` pairs; a name or a pair may be there more than once. Empty names are left out.
    """

    def __init__(self, names: pa.Array, rows: NDArray[np.int64]) -> None:
        filled = pc.fill_null(pc.not_equal(names, ""), False).to_numpy(zero_copy_only=False)  # noqa: FBT003
        coded = pc.dictionary_encode(names.filter(pa.array(filled)))
        codes, rows = coded.indices.to_numpy(), rows[filled]
        low = np.full(len(coded.dictionary), np.iinfo(np.int64).max)
        high = np.full(len(coded.dictionary), -1)
        np.minimum.at(low, codes, rows)
        np.maximum.at(high, codes, rows)
        self._names: pa.Array = coded.dictionary
        self._rows = np.where(low == high, low, AMBIGUOUS)

    def find(self, names: pa.Array) -> NDArray[np.int64]:
        """Return the row of each name, `NO_ROW` where there is none; ``[n]``."""
        at = pc.fill_null(pc.index_in(names, value_set=self._names), NO_ROW).to_numpy(zero_copy_only=False)
        rows: NDArray[np.int64] = np.append(self._rows, NO_ROW)[at]
        return rows

    def settle(self, names: pa.Array, rows: NDArray[np.int64]) -> None:
        """Let ambiguous ones of these names mean these rows."""
        at = pc.index_in(names, value_set=self._names).to_numpy(zero_copy_only=False)
        unsettled = self._rows[at] == AMBIGUOUS
        self._rows[at[unsettled]] = rows[unsettled]


def pairs(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """Values of a column, or of its lists, and the row of each."""
    values = column.combine_chunks()
    if not pa.types.is_list(values.type) and not pa.types.is_large_list(values.type):
        return values, np.arange(len(values))
    return pc.list_flatten(values), pc.list_parent_indices(values).to_numpy().astype(np.int64)


def text(values: Sequence[Any]) -> pa.Array:
    """Names as Arrow holds them; what is not Unicode becomes a question mark."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([value.encode(errors="replace").decode() for value in values], pa.string())
