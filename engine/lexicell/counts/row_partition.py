"""External partition: values that come in column order, or in none, are read back by rows.

One pass sorts bounded chunks of ``(row, column, value)`` records by row bucket and appends each to one
temporary file; a bucket is then the concatenation of one short segment per chunk. The file has no name, so
nothing stays behind however the process ends.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from threading import RLock
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lexicell._trace import stage
from lexicell.containers.faults import Where, reading
from lexicell.counts.array_reader import lost_chunks
from lexicell.counts.blocks import (
    Array,
    Offsets,
    check_columns,
    check_indptr,
    check_indptr_shape,
    check_value_dtype,
    cut_spans,
    kernel_values,
)
from lexicell.counts.choose_reader import choose_reader
from lexicell.counts.dense import SlabRows
from lexicell.errors import CorruptDataError, InputError
from lexicell_kernels.types import CsrBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from lexicell.counts.scratch import Scratch

__all__ = ["Entries", "PartitionedRows", "csc_rows"]

#: Memory that building and reading a partition may take.
PARTITION_BYTES = 256 << 20

#: Rows, columns and values of some entries, ``[k]`` each.
Entries = tuple[Array, Array, Array]

#: Bytes of all temporaries per entry while a chunk is sorted, and while a bucket becomes CSR.
_CHUNK_ENTRY_BYTES, _BUCKET_ENTRY_BYTES = 64, 96


@dataclass
class _Partition:
    """The file and where things are in it."""

    file: IO[bytes]
    indptr: Offsets
    #: ``[slabs + 1]`` rows at which slabs begin; a slab lies within one bucket.
    edges: Array
    #: For each chunk its place in the file and ``[buckets + 1]`` record offsets.
    chunks: list[tuple[int, NDArray[np.int64]]] = field(default_factory=list)


class PartitionedRows(SlabRows):
    """Rows of a matrix whose entries come in any order; they are partitioned when the first row is read.

    Parameters
    ----------
    stream
        Called with a number of entries; yields chunks of at most that many.
    nnz
        Entries that must come.
    value_dtype, shape, where
        See `CsrRows`.
    budget
        Bytes of memory to stay within, indptr and one longest row aside.
    """

    def __init__(
        self,
        stream: Callable[[int], Iterator[Entries]],
        nnz: int,
        value_dtype: Any,
        shape: tuple[int, int],
        where: Where,
        *,
        budget: int | None = None,
    ) -> None:
        super().__init__(np.array([0, shape[0]]), shape, where)
        self._stream, self._nnz = stream, nnz
        self._budget = PARTITION_BYTES if budget is None else budget
        value = kernel_values(np.empty(0, check_value_dtype(value_dtype, where))).dtype
        self._record = np.dtype(
            [
                ("row", np.uint32 if self.n_cells <= 1 << 32 else np.int64),
                ("column", np.uint16 if self.n_columns <= 1 << 16 else np.int32),
                ("value", value),
            ]
        )
        slab = max(self._budget // _BUCKET_ENTRY_BYTES, 1)
        # Buckets are numbered in 16 bits, which NumPy sorts by radix; a bucket that is still too large is
        # read in several slabs.
        buckets = min(max(4 * nnz // slab, 1), self.n_cells, 1 << 16)
        self._slab_nnz = slab
        self._rows_per_bucket = -(-self.n_cells // buckets)
        self._partition: _Partition | None = None
        self._build_lock = RLock()

    def offsets(self, start: int, stop: int) -> Offsets:
        """Offsets of rows ``start:stop``; builds the partition."""
        return self._built().indptr[start : stop + 1]

    def edges(self) -> Array:
        """Row offsets of the slabs; builds the partition."""
        return self._built().edges

    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:
        """See `CountSource.read`."""
        self._built()
        return super().read(start, stop, scratch)

    def load(self, start: int, stop: int) -> CsrBlock:
        """Collect the records of rows ``start:stop`` and order them by row."""
        partition = self._built()
        bucket = start // self._rows_per_bucket
        size = self._record.itemsize
        pieces = []
        for place, offsets in partition.chunks:
            first, last = int(offsets[bucket]), int(offsets[bucket + 1])
            if last == first:
                continue
            with stage("read"):
                raw = os.pread(partition.file.fileno(), (last - first) * size, place + first * size)
            if len(raw) != (last - first) * size:
                msg = f"{self.where.rows(start, stop)} is cut short in its temporary copy; run again"
                raise CorruptDataError(msg)
            records = np.frombuffer(raw, self._record)
            inside = (records["row"] >= start) & (records["row"] < stop)
            pieces.append(records if inside.all() else records[inside])
        records = np.concatenate(pieces) if pieces else np.empty(0, self._record)
        local = records["row"] - records["row"].dtype.type(start)
        # Stable: within a row the order of arrival stays, so columns that came sorted are sorted.
        order = np.argsort(local.astype(np.uint16) if stop - start <= 1 << 16 else local, kind="stable")
        indptr = partition.indptr[start : stop + 1]
        return CsrBlock(
            data=records["value"][order],
            indices=records["column"][order],
            indptr=indptr - indptr[0],
            n_columns=self.n_columns,
        )

    def close(self) -> None:
        """Delete the temporary file."""
        super().close()
        with self._build_lock:
            if self._partition is not None:
                self._partition.file.close()
                self._partition = None

    def _built(self) -> _Partition:
        with self._build_lock:
            if self._partition is None:
                file = tempfile.TemporaryFile(prefix="lexicell-partition-")  # noqa: SIM115 -- lives until close()
                try:
                    self._partition = self._build(file)
                except BaseException:
                    file.close()
                    raise
                self._edges = self._partition.edges
            return self._partition

    def _build(self, file: IO[bytes]) -> _Partition:
        buckets = -(-self.n_cells // self._rows_per_bucket)
        indptr = np.zeros(self.n_cells + 1, np.int64)
        chunks: list[tuple[int, NDArray[np.int64]]] = []
        place = total = 0
        entries = self._stream(max(self._budget // _CHUNK_ENTRY_BYTES, 1))
        while True:
            part = Where(self.where.label, f"{self.where.what} after {total} of {self._nnz} values")
            with reading(part):
                chunk = next(entries, None)
            if chunk is None:
                break
            rows, columns, values = chunk
            check_columns(rows, self.n_cells, part)
            check_columns(columns, self.n_columns, part)
            np.add.at(indptr[1:], rows, 1)
            bucket = (rows // self._rows_per_bucket).astype(np.uint16)
            order = np.argsort(bucket, kind="stable")
            records = np.empty(rows.shape[0], self._record)
            records["row"], records["column"], records["value"] = rows[order], columns[order], values[order]
            self._append(file, records)
            ends = np.cumsum(np.bincount(bucket, minlength=buckets))
            chunks.append((place, np.concatenate([np.zeros(1, np.int64), ends])))
            place += records.nbytes
            total += rows.shape[0]
        if total != self._nnz:
            fault = f"declares {self._nnz} values and holds {total}"
            raise self.where.corrupt(fault)
        np.cumsum(indptr, out=indptr)
        return _Partition(file, indptr, self._slab_edges(indptr), chunks)

    def _slab_edges(self, indptr: Offsets) -> Array:
        starts = np.arange(0, self.n_cells, self._rows_per_bucket)
        stops = np.minimum(starts + self._rows_per_bucket, self.n_cells)
        extra = [
            start + low
            for start, stop in zip(
                starts[indptr[stops] - indptr[starts] > self._slab_nnz],
                stops[indptr[stops] - indptr[starts] > self._slab_nnz],
                strict=True,
            )
            for low, _ in cut_spans(indptr[start : stop + 1], self._slab_nnz)
        ]
        return np.unique(np.concatenate([starts, np.array(extra, np.int64), [self.n_cells]]))

    def _append(self, file: IO[bytes], records: Array) -> None:
        try:
            file.write(records.data)
            file.flush()
        except OSError as exc:
            need = self._nnz * self._record.itemsize / (1 << 30)
            msg = (
                f"{self.where} is not stored by cells and {tempfile.gettempdir()} cannot hold {need:.1f} GiB "
                f"to reorder it ({exc.strerror}); set TMPDIR to a folder with room"
            )
            raise InputError(msg) from exc


def csc_rows(
    data: Any,
    indices: Any,
    indptr: Any,
    shape: tuple[int, int],
    where: Where,
    *,
    budget: int | None = None,
) -> PartitionedRows:
    """Rows of a CSC matrix whose arrays can be sliced.

    Parameters
    ----------
    data, indices
        ``[nnz]``, read once, in slices.
    indptr
        ``[v + 1]``, read here and checked.
    shape, where, budget
        See `PartitionedRows`.
    """
    check_indptr_shape(indptr, shape[1], where)
    with reading(where):
        nnz = int(data.shape[0])
        ends = np.asarray(indptr[:])
        data, indices = choose_reader(data), choose_reader(indices)
    if data.shape != indices.shape:
        fault = f"has {data.shape} values for {indices.shape} indices"
        raise where.corrupt(fault)
    offsets = check_indptr(ends, shape[1], nnz, where)

    def stream(size: int) -> Iterator[Entries]:
        # Cut by entries and not by columns: one gene of a large atlas can exceed any budget.
        for start in range(0, nnz, size):
            stop = min(start + size, nnz)
            first = int(np.searchsorted(offsets, start, side="right")) - 1
            last = int(np.searchsorted(offsets, stop, side="left"))
            lengths = np.diff(np.clip(offsets[first : last + 1], start, stop))
            columns = np.repeat(np.arange(first, last, dtype=np.int32), lengths.astype(np.int64))
            rows, values = np.asarray(indices[start:stop]), np.asarray(data[start:stop])
            starts = np.clip(offsets[first:last], start, stop) - start
            if lost_chunks(data, indices, start, values, rows, starts):
                fault = "lies in a chunk that the store lacks"
                raise where.corrupt(fault)
            yield rows, columns, kernel_values(values)

    return PartitionedRows(stream, nnz, data.dtype, shape, where, budget=budget)
