"""Offsets of the rows of a CSR matrix: 800 MB for 100 million cells, so never held whole if on disk."""

from __future__ import annotations

from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.containers.faults import Where, reading
from lexicell.counts.array_reader import ArrayReader
from lexicell.counts.blocks import Offsets, check_indptr, check_indptr_shape
from lexicell.counts.choose_reader import choose_reader

if TYPE_CHECKING:
    from lexicell.arrays import Array

__all__ = ["WINDOW_ROWS", "RowOffsets"]

#: Rows whose offsets are looked at together: half a megabyte, and the largest shard of an embedding.
WINDOW_ROWS = 1 << 16
#: A row may have a column twice, but no row of cells is that long.
_LONGEST_ROW = 1 << 27


class RowOffsets:
    """The ``indptr`` of a CSR matrix, checked as it is read; each thread keeps the window it read last.

    Parameters
    ----------
    indptr
        ``[n + 1]`` integers, in memory or on disk.
    shape
        ``(n, v)`` of the matrix.
    nnz
        Values that are stored.
    where
        The matrix, for messages.

    Raises
    ------
    CorruptDataError
        The offsets do not fit. On disk, only the two ends are looked at here and the rest when it is read.
    """

    def __init__(self, indptr: Any, shape: tuple[int, int], nnz: int, where: Where) -> None:
        (self._n, self._v), self._nnz, self._where = shape, nnz, where
        self._held = local()
        self._whole: Offsets | None = None
        with reading(where):
            self._stored: Any = choose_reader(indptr)
        if isinstance(self._stored, ArrayReader):
            check_indptr_shape(self._stored, self._n, where)
            self._read(max(self._n - WINDOW_ROWS, 0), self._n)
            self.of(0, min(WINDOW_ROWS, self._n))
        else:
            with reading(where):
                offsets = np.asarray(indptr[:])
            self._whole = check_indptr(offsets, self._n, nnz, where)

    def of(self, start: int, stop: int) -> Offsets:
        """Offsets of rows ``start:stop``, int64 ``[stop - start + 1]``, not to be written into."""
        if self._whole is not None:
            return self._whole[start : stop + 1]
        first, window = getattr(self._held, "window", (0, None))
        if window is None or start < first or stop >= first + window.shape[0]:
            first = start
            window = self._read(start, min(max(stop, start + WINDOW_ROWS), self._n))
            self._held.window = (first, window)
        offsets: Offsets = window[start - first : stop - first + 1]
        return offsets

    def _read(self, start: int, stop: int) -> Offsets:
        """Read offsets and check them: neighbouring pieces share one, so all fit if each does."""
        part = self._where.rows(start, stop)
        with reading(part):
            raw: Array = self._stored[start : stop + 1]
            offsets: Offsets = raw.astype(np.int64, copy=False)
            lengths = np.diff(offsets)
            lost = bool(lengths.size) and int(lengths.max()) > self._v and self._stored.lacks(start, raw)
        first, last = int(offsets[0]), int(offsets[-1])
        fault = None
        if start == 0 and first != 0:
            fault = f"have an indptr that begins at {first} and not at 0"
        elif stop == self._n and last != self._nnz:
            fault = f"have an indptr that ends at {last} where {self._nnz} values are stored"
        elif bool((lengths < 0).any()) or first < 0 or last > self._nnz:
            fault = "have an indptr that decreases"
        elif lengths.size and int(lengths.max()) > max(self._v, _LONGEST_ROW):
            fault = f"have a row of {lengths.max()} values in {self._v} columns"
        elif lost:
            fault = "have an indptr of which the store lacks a chunk"
        if fault is not None:
            raise part.corrupt(fault)
        return offsets
