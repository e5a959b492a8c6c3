"""Dense matrices, read slab by slab; Dask arrays and the row partition build on the same `SlabRows`."""

from __future__ import annotations

from abc import abstractmethod
from threading import Lock, local
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.containers.faults import Where, reading
from lexicell.counts.array_reader import ArrayReader
from lexicell.counts.blocks import Array, check_value_dtype, concat_rows, slice_rows, to_block
from lexicell.counts.choose_reader import choose_reader
from lexicell.counts.rows import MatrixRows
from lexicell.errors import InputError

if TYPE_CHECKING:
    from lexicell.counts.scratch import Scratch
    from lexicell_kernels.types import CsrBlock

__all__ = ["DenseRows", "SlabRows"]

#: Bytes of a dense slab: large enough to amortise a read, small beside any machine's memory.
SLAB_BYTES = 32 << 20


class SlabRows(MatrixRows):
    """A matrix that is made slab by slab; a thread keeps its last one, so reading in order makes each once.

    Parameters
    ----------
    edges
        ``[slabs + 1]`` ascending row offsets, first 0 and last ``n``.
    shape, where
        See `MatrixRows`.
    """

    def __init__(self, edges: Array, shape: tuple[int, int], where: Where) -> None:
        super().__init__(shape, where)
        self._edges = edges
        self._held = local()
        self._lock = Lock()
        self._mean: float | None = None

    @abstractmethod
    def load(self, start: int, stop: int) -> CsrBlock:
        """Make one slab, rows ``start:stop``; several threads may ask at once."""

    def edges(self) -> Array:
        """Row offsets of the slabs."""
        return self._edges

    def slab(self, number: int) -> CsrBlock:
        """One slab, from the cache where it was the last one that this thread used."""
        cached: tuple[int, CsrBlock] | None = getattr(self._held, "slab", None)
        if cached is not None and cached[0] == number:
            return cached[1]
        # Dropped first: two slabs at a time would double the memory.
        self._held.slab = cached = None
        start, stop = int(self._edges[number]), int(self._edges[number + 1])
        block = self.load(start, stop)
        if (block.n_rows, block.n_columns) != (stop - start, self.n_columns):
            fault = f"came as {block.n_rows} x {block.n_columns}"
            raise self.where.rows(start, stop).corrupt(fault)
        self._held.slab = (number, block)
        return block

    def mean_nnz(self) -> float:
        """Measure the stored values of a row in the first slab, once for all threads."""
        with self._lock:
            if self._mean is None:
                first = self.slab(0)
                self._mean = int(first.indptr[-1]) / first.n_rows
            return self._mean

    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:  # noqa: ARG002 -- views
        """See `CountSource.read`."""
        if stop <= start:
            return slice_rows(self.slab(0), 0, 0)
        first = int(np.searchsorted(self._edges, start, side="right")) - 1
        last = int(np.searchsorted(self._edges, stop, side="left"))
        pieces = []
        for number in range(first, last):
            low, high = int(self._edges[number]), int(self._edges[number + 1])
            pieces.append(slice_rows(self.slab(number), max(start, low) - low, min(stop, high) - low))
        return concat_rows(pieces)

    def close(self) -> None:
        """Drop the slabs that are kept."""
        self._held = local()


class DenseRows(SlabRows):
    """A dense matrix that can be sliced by rows: NumPy, HDF5 or Zarr.

    Parameters
    ----------
    array
        ``[n, v]``.
    where
        See `MatrixRows`.
    slab_bytes
        Bytes of a slab, by default `SLAB_BYTES`.
    """

    def __init__(self, array: Any, where: Where, slab_bytes: int | None = None) -> None:
        if len(array.shape) != 2:
            msg = f"{where} has {len(array.shape)} dimensions and not 2; choose another layer or file"
            raise InputError(msg)
        n, v = (int(side) for side in array.shape)
        itemsize = check_value_dtype(array.dtype, where).itemsize
        rows = max((slab_bytes or SLAB_BYTES) // max(v * itemsize, 1), 1)
        stored = choose_reader(array)
        chunk = stored.chunk if isinstance(stored, ArrayReader) else 1
        if chunk > 1 and chunk <= 4 * rows:
            # Whole chunks, or each would be decompressed once for every slab that touches it.
            rows = max(rows // chunk, 1) * chunk
        super().__init__(np.append(np.arange(0, n, rows), n), (n, v), where)
        self._array = stored

    def load(self, start: int, stop: int) -> CsrBlock:
        """Read and compress one slab."""
        part = self.where.rows(start, stop)
        with reading(part):
            dense = self._array[start:stop]
        return to_block(dense, part)
