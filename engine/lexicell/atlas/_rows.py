"""Readers of a bare matrix by rows; `RowsSource` adds cells and genes to one and makes a CountSource."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lexicell._arrays import Device
from lexicell.atlas._blocks import (
    Array,
    Offsets,
    Where,
    check_columns,
    check_indptr,
    check_value_dtype,
    concat_rows,
    cut_spans,
    gather_rows,
    keep_columns,
    kernel_values,
    reading,
    slim_indices,
)
from lexicell.errors import InputError
from lexicell_kernels.types import CsrBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["CsrRows", "MatrixRows", "PickedRows", "RowsSource"]


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

    def indptr(self) -> Offsets | None:
        """Offsets of all rows where they are known without reading values, else None."""
        return None

    def mean_nnz(self) -> float:
        """Estimate the stored values of a row, measured on a first piece; used where `indptr` is None."""
        rows = min(self.n_cells, 64)
        return int(self.read(0, rows).indptr[-1]) / rows

    def edges(self) -> Array:
        """Row offsets that spans should not straddle needlessly, first 0 and last ``n``."""
        return np.array([0, self.n_cells])

    def spans(self, max_nnz: int) -> Iterator[tuple[int, int]]:
        """See `CountSource.spans`."""
        if max_nnz < 1:
            msg = f"max_nnz must be at least 1, got {max_nnz}"
            raise ValueError(msg)
        offsets = self.indptr()
        if offsets is not None:
            yield from cut_spans(offsets, max_nnz)
            return
        # Rows not yet read have an estimated length; the cap bounds what a denser part can cost.
        most = min(max_nnz / max(self.mean_nnz(), 1e-9), 16 * max_nnz / self.n_columns)
        rows = min(max(int(most), 1), self.n_cells)
        start = last = 0
        for edge in self.edges()[1:]:
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
        if start < self.n_cells:
            yield start, self.n_cells

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
    def read(self, start: int, stop: int) -> CsrBlock:
        """See `CountSource.read`."""

    def take(self, rows: Array) -> CsrBlock:
        """Rows in any order, read as few ascending ranges."""
        wanted, inverse = np.unique(rows, return_inverse=True)
        # Reading over a small gap is cheaper than a second request.
        breaks = np.flatnonzero(np.diff(wanted) > 16) + 1
        pieces = []
        for run in np.split(wanted, breaks):
            first = int(run[0])
            block = self.read(first, int(run[-1]) + 1)
            pieces.append(block if run.size == block.n_rows else gather_rows(block, run - first))
        block = concat_rows(pieces)
        return block if np.array_equal(wanted, rows) else gather_rows(block, inverse)

    def close(self) -> None:  # noqa: B027 -- most readers make nothing of their own
        """Release what this reader itself made."""


class CsrRows(MatrixRows):
    """A CSR matrix whose arrays can be sliced: NumPy, HDF5 or Zarr.

    Parameters
    ----------
    data, indices
        ``[nnz]``, read in slices.
    indptr
        ``[n + 1]``, read here and checked.
    shape, where
        See `MatrixRows`.
    may_lack_chunks
        The store has lost or skipped chunks, which read as zeros: look for those.
    """

    def __init__(
        self,
        data: Any,
        indices: Any,
        indptr: Any,
        shape: tuple[int, int],
        where: Where,
        *,
        may_lack_chunks: bool = False,
    ) -> None:
        super().__init__(shape, where)
        check_value_dtype(data.dtype, where)
        if data.shape != indices.shape or len(data.shape) != 1:
            fault = f"has {data.shape} values for {indices.shape} indices"
            raise where.corrupt(fault)
        with reading(where):
            offsets = np.asarray(indptr[:])
        self._data, self._indices = data, indices
        self._indptr = check_indptr(offsets, self.n_cells, int(data.shape[0]), where)
        self._may_lack_chunks = may_lack_chunks

    def indptr(self) -> Offsets:
        """Offsets of all rows."""
        return self._indptr

    def read(self, start: int, stop: int) -> CsrBlock:
        """See `CountSource.read`."""
        indptr = self._indptr[start : stop + 1]
        first, last = int(indptr[0]), int(indptr[-1])
        part = self.where.rows(start, stop)
        with reading(part):
            data = np.asarray(self._data[first:last])
            indices = np.asarray(self._indices[first:last])
        if data.shape[0] != last - first or indices.shape[0] != last - first:
            fault = "ends early"
            raise part.corrupt(fault)
        indices = slim_indices(indices)
        check_columns(indices, self.n_columns, part)
        block = CsrBlock(kernel_values(data), indices, indptr - first, self.n_columns)
        if self._may_lack_chunks:
            self._check_lost(block, part)
        return block

    def _check_lost(self, block: CsrBlock, part: Where) -> None:
        """Tell a chunk that was never written because it is all zero from one that is lost."""
        zeros = np.concatenate([np.zeros(1, np.int64), np.cumsum(block.indices == 0)])
        repeated = bool((np.diff(zeros[block.indptr]) > 1).any())
        if repeated or bool((block.data == 0).any()):
            fault = "lies in a chunk that the store lacks"
            raise part.corrupt(fault)

    def take(self, rows: Array) -> CsrBlock:
        """Rows in any order; gathered in one step where the matrix is in memory."""
        if not isinstance(self._data, np.ndarray) or not isinstance(self._indices, np.ndarray):
            return super().take(rows)
        block = gather_rows(CsrBlock(self._data, self._indices, self._indptr, self.n_columns), rows)
        indices = slim_indices(block.indices)
        check_columns(indices, self.n_columns, self.where)
        return CsrBlock(kernel_values(block.data), indices, block.indptr, self.n_columns)


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
        self._new_column: NDArray[np.int32] | None = None
        if columns is not None:
            self._new_column = np.full(inner.n_columns, -1, np.int32)
            self._new_column[columns] = np.arange(v, dtype=np.int32)

    def indptr(self) -> Offsets | None:
        """Offsets before columns are dropped: an upper bound that costs nothing."""
        offsets = self._inner.indptr()
        if offsets is None or self._rows is None:
            return offsets
        lengths = offsets[self._rows + 1] - offsets[self._rows]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def edges(self) -> Array:
        """Edges of the inner matrix where its rows are all there."""
        return self._inner.edges() if self._rows is None else super().edges()

    def peek(self, max_cells: int) -> Iterator[tuple[int, int]]:
        """As the inner matrix where its rows are all there."""
        return self._inner.peek(max_cells) if self._rows is None else super().peek(max_cells)

    def read(self, start: int, stop: int) -> CsrBlock:
        """See `CountSource.read`."""
        if self._rows is None or stop <= start:
            block = self._inner.read(start, stop)
        else:
            block = self._inner.take(self._rows[start:stop])
        return block if self._new_column is None else keep_columns(block, self._new_column, self.n_columns)

    def close(self) -> None:
        """Close the inner matrix."""
        self._inner.close()


class RowsSource:
    """A CountSource made of a matrix and its two tables. See `CountSource` for the members.

    Parameters
    ----------
    rows
        The matrix.
    obs, var
        ``n`` and ``v`` rows, or CorruptDataError is raised.
    log1p_hint, layers, has_raw
        See `CountSource`.
    on_close
        Called in turn when the source is closed.
    """

    def __init__(
        self,
        rows: MatrixRows,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        *,
        log1p_hint: bool = False,
        layers: Sequence[str] = (),
        has_raw: bool = False,
        on_close: Sequence[Callable[[], None]] = (),
    ) -> None:
        for name, table, side in (("obs", obs, rows.n_cells), ("var", var, rows.n_columns)):
            if len(table) != side:
                fault = f"has {side} rows or columns where {name} has {len(table)} entries"
                raise rows.where.corrupt(fault)
        self.label, self.layers, self.has_raw = rows.where.label, tuple(layers), has_raw
        self.device = rows.device
        self._rows, self._obs, self._var, self._log1p_hint = rows, obs, var, log1p_hint
        self._closing = ExitStack()
        for call in reversed(on_close):
            self._closing.callback(call)
        self._closing.callback(rows.close)
        self._open = True

    @property
    def obs(self) -> pd.DataFrame:
        """Cells."""
        return self._obs

    @property
    def var(self) -> pd.DataFrame:
        """Genes."""
        return self._var

    @property
    def n_cells(self) -> int:
        """Number of rows."""
        return self._rows.n_cells

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self._rows.n_columns

    @property
    def log1p_hint(self) -> bool:
        """Whether the file says that its values are logarithms."""
        return self._log1p_hint

    def spans(self, max_nnz: int) -> Iterator[tuple[int, int]]:
        """Cut the rows into spans."""
        self._check_open()
        return self._rows.spans(max_nnz)

    def peek(self, max_cells: int) -> Iterator[tuple[int, int]]:
        """Row ranges for a first look."""
        return self._rows.peek(max_cells)

    def read(self, start: int, stop: int) -> CsrBlock:
        """Read rows ``start:stop``."""
        self._check_open()
        if not 0 <= start <= stop <= self.n_cells:
            msg = f"rows {start}:{stop} are not within 0:{self.n_cells}"
            raise IndexError(msg)
        return self._rows.read(start, stop)

    def close(self) -> None:
        """Release files and temporary space; a second call does nothing."""
        self._open = False
        self._closing.close()

    def _check_open(self) -> None:
        if not self._open:
            msg = f"{self.label}: the source is closed"
            raise ValueError(msg)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
