"""Readers of a bare matrix by rows; `RowsSource` of `dataset.py` adds cells and genes to one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.arrays import Device
from lexicell.containers.faults import Where, reading
from lexicell.counts.array_reader import ArrayReader, lost_chunks
from lexicell.counts.blocks import (
    Array,
    Offsets,
    check_columns,
    check_value_dtype,
    concat_rows,
    cut_spans,
    gather_rows,
    keep_columns,
    kernel_values,
    new_places,
    slim_indices,
)
from lexicell.counts.choose_reader import choose_reader
from lexicell.counts.offsets import WINDOW_ROWS, RowOffsets
from lexicell.errors import InputError
from lexicell_kernels.types import CsrBlock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lexicell.counts.scratch import Scratch

__all__ = ["CsrRows", "MatrixRows", "PickedRows"]


class MatrixRows(ABC):
    """Rows of one matrix, without names.

    Parameters
    ----------
    shape
        ``(n, v)``; a side of 0 raises InputError.
    where
        The file, and the matrix in it, for messages.

    Attributes
    ----------
    device
        See `CountSource`.
    """

    device: Device = "cpu"

    def __init__(self, shape: tuple[int, int], where: Where) -> None:
        self.n_cells, self.n_columns = int(shape[0]), int(shape[1])
        self.where = where
        if self.n_cells < 1 or self.n_columns < 1:
            size = f"{self.n_cells} cells x {self.n_columns} genes"
            msg = f"{where} is empty ({size}); give a matrix with cells and genes"
            raise InputError(msg)

    def offsets(self, start: int, stop: int) -> Offsets | None:
        """Offsets of rows ``start:stop``, int64 ``[stop - start + 1]``, or None where values must be read."""
        del start, stop
        return None

    def mean_nnz(self) -> float:
        """Estimate the stored values of a row, measured on a first piece; used where `offsets` is None."""
        rows = min(self.n_cells, 64)
        return int(self.read(0, rows).indptr[-1]) / rows

    def edges(self) -> Array:
        """Row offsets that spans should not straddle needlessly, first 0 and last ``n``."""
        return np.array([0, self.n_cells])

    def spans(self, max_nnz: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """See `CountSource.spans`; no span has more than 65,536 rows where their lengths are known."""
        if max_nnz < 1:
            msg = f"max_nnz must be at least 1, got {max_nnz}"
            raise ValueError(msg)
        end = self.n_cells if stop is None else stop
        while start < end:
            last = min(start + WINDOW_ROWS, end)
            offsets = self.offsets(start, last)
            if offsets is None:
                yield from self._estimated_spans(max_nnz, start, end)
                return
            spans = list(cut_spans(offsets, max_nnz))
            if last < end and len(spans) > 1:
                del spans[-1]  # it may go on in the next window
            yield from ((start + low, start + high) for low, high in spans)
            start += spans[-1][1]

    def _estimated_spans(self, max_nnz: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        # Rows not yet read have an estimated length; the cap bounds what a denser part can cost.
        limit = min(max_nnz / max(self.mean_nnz(), 1e-9), 16 * max_nnz / self.n_columns)
        rows = max(int(limit), 1)
        last = start
        for edge in np.unique(np.clip(self.edges(), start, end))[1:]:
            stop = int(edge)
            if stop - start > rows and last > start:
                yield start, last
                start = last
            while stop - start >= rows:
                yield start, start + rows
                start += rows
            last = stop
            if stop - start > rows // 2:
                # The rest of a slab goes on its own rather than make the next span straddle the edge.
                yield start, stop
                start = stop
        if start < end:
            yield start, end

    def peek(self, max_cells: int) -> Iterator[tuple[int, int]]:
        """See `CountSource.peek`: a third each from the start, the middle and the end."""
        third = max(max_cells // 3, 1)
        done = 0
        for start in (0, (self.n_cells - third) // 2, self.n_cells - third):
            first, stop = max(start, done), min(max(start, 0) + third, self.n_cells)
            if stop > first:
                yield first, stop
                done = stop

    @abstractmethod
    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:
        """See `CountSource.read`."""

    def take(self, rows: Array) -> CsrBlock:
        """Rows in any order, read as few ascending ranges."""
        ascending, inverse = np.unique(rows, return_inverse=True)
        # Reading over a small gap is cheaper than a second request.
        breaks = np.flatnonzero(np.diff(ascending) > 16) + 1
        pieces = []
        for run in np.split(ascending, breaks):
            first = int(run[0])
            block = self.read(first, int(run[-1]) + 1)
            pieces.append(block if run.size == block.n_rows else gather_rows(block, run - first))
        block = concat_rows(pieces)
        return block if np.array_equal(ascending, rows) else gather_rows(block, inverse)

    def close(self) -> None:  # noqa: B027 -- most readers make nothing of their own
        """Release what this reader itself made."""


class CsrRows(MatrixRows):
    """A CSR matrix, in memory or on disk.

    Parameters
    ----------
    data, indices
        ``[nnz]``: NumPy, HDF5 or Zarr; read in slices.
    indptr
        ``[n + 1]``; see `RowOffsets`.
    shape, where
        See `MatrixRows`.
    """

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, int], where: Where) -> None:
        super().__init__(shape, where)
        check_value_dtype(data.dtype, where)
        if data.shape != indices.shape or len(data.shape) != 1:
            fault = f"has {data.shape} values for {indices.shape} indices"
            raise where.corrupt(fault)
        with reading(where):
            self._data, self._indices = choose_reader(data), choose_reader(indices)
        self._offsets = RowOffsets(indptr, (self.n_cells, self.n_columns), int(data.shape[0]), where)

    def offsets(self, start: int, stop: int) -> Offsets:
        """Offsets of rows ``start:stop``."""
        return self._offsets.of(start, stop)

    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:
        """See `CountSource.read`."""
        offsets = self.offsets(start, stop)
        first, last = int(offsets[0]), int(offsets[-1])
        part = self.where.rows(start, stop)
        with reading(part):
            data = _slice("data", self._data, first, last, scratch)
            indices = _slice("indices", self._indices, first, last, scratch)
        slim = slim_indices(indices)
        check_columns(slim, self.n_columns, part)
        block = CsrBlock(
            data=kernel_values(data), indices=slim, indptr=offsets - first, n_columns=self.n_columns
        )
        with reading(part):
            lost = lost_chunks(self._data, self._indices, first, data, indices, offsets[:-1] - first)
        if lost:
            fault = "lies in a chunk that the store lacks"
            raise part.corrupt(fault)
        return block

    def take(self, rows: Array) -> CsrBlock:
        """Rows in any order; gathered in one step where the matrix is in memory."""
        if not isinstance(self._data, np.ndarray) or not isinstance(self._indices, np.ndarray):
            return super().take(rows)
        matrix = CsrBlock(
            data=self._data,
            indices=self._indices,
            indptr=self.offsets(0, self.n_cells),
            n_columns=self.n_columns,
        )
        block = gather_rows(matrix, rows)
        indices = slim_indices(block.indices)
        check_columns(indices, self.n_columns, self.where)
        return CsrBlock(
            data=kernel_values(block.data), indices=indices, indptr=block.indptr, n_columns=self.n_columns
        )


def _slice(role: str, array: Any, start: int, stop: int, scratch: Scratch | None) -> Array:
    if scratch is None or not isinstance(array, ArrayReader):
        part: Array = array[start:stop]
        return part
    return scratch.window(role, array, start, stop)


class PickedRows(MatrixRows):
    """Some rows and columns of another matrix, in their own order.

    Parameters
    ----------
    inner
        The matrix; closed with this one.
    rows
        ``[n]`` int64 rows of `inner`, or None for all.
    columns
        ``[v]`` int64 distinct columns of `inner`, or None for all.
    """

    def __init__(self, inner: MatrixRows, rows: Array | None, columns: Array | None) -> None:
        n = inner.n_cells if rows is None else rows.shape[0]
        v = inner.n_columns if columns is None else columns.shape[0]
        super().__init__((n, v), inner.where)
        self._inner, self._rows = inner, rows
        self.device = inner.device
        self._new_column = None if columns is None else new_places(columns, inner.n_columns)

    def offsets(self, start: int, stop: int) -> Offsets | None:
        """Offsets before columns are dropped: an upper bound that costs nothing."""
        if self._rows is None:
            return self._inner.offsets(start, stop)
        ascending, inverse = np.unique(self._rows[start:stop], return_inverse=True)
        pieces = []
        for part in np.split(ascending, np.flatnonzero(np.diff(ascending // WINDOW_ROWS)) + 1):
            first = int(part[0])
            offsets = self._inner.offsets(first, int(part[-1]) + 1)
            if offsets is None:
                return None
            pieces.append(offsets[part - first + 1] - offsets[part - first])
        lengths = np.concatenate(pieces)[inverse]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def edges(self) -> Array:
        """Edges of the inner matrix where its rows are all there."""
        return self._inner.edges() if self._rows is None else super().edges()

    def peek(self, max_cells: int) -> Iterator[tuple[int, int]]:
        """As the inner matrix where its rows are all there."""
        return self._inner.peek(max_cells) if self._rows is None else super().peek(max_cells)

    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:
        """See `CountSource.read`."""
        if self._rows is None or stop <= start:
            block = self._inner.read(start, stop, scratch)
        else:
            block = self._inner.take(self._rows[start:stop])
        return block if self._new_column is None else keep_columns(block, self._new_column, self.n_columns)

    def close(self) -> None:
        """Close the inner matrix."""
        self._inner.close()
