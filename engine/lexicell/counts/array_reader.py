"""Arrays on disk that are read slice by slice along their first axis, by several threads at once."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._trace import stage

if TYPE_CHECKING:
    from lexicell.arrays import Array

__all__ = ["ArrayReader", "Hdf5Reader", "lost_chunks"]


class ArrayReader(ABC):
    """An array on disk. Slicing its first axis gives a new array of NumPy.

    Attributes
    ----------
    shape, dtype
        Of the array.
    chunk
        Elements along the first axis that are decoded together.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: int) -> None:
        self.shape, self.dtype, self.chunk = tuple(int(side) for side in shape), dtype, max(int(chunk), 1)

    @abstractmethod
    def read_into(self, start: int, stop: int, out: Array) -> None:
        """Read elements ``start:stop`` of the first axis into `out`, contiguous and of the array's dtype."""

    def lacks(self, start: int, values: Array) -> bool:
        """Whether some of the elements from `start` on, which read as `values`, may be in no chunk."""
        del start, values
        return False

    def __getitem__(self, rows: slice) -> Array:
        start, stop, _ = rows.indices(self.shape[0])
        out = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        self.read_into(start, max(start, stop), out)
        return out


def lost_chunks(data: Any, indices: Any, first: int, values: Array, columns: Array, starts: Array) -> bool:
    """Whether some entries of a CSR or CSC matrix lie in chunks that are lost.

    A chunk that the store lacks reads as the fill value, and is lacking by right if all of it is that.

    Parameters
    ----------
    data, indices
        The arrays.
    first, values, columns
        Number of the first of the entries, and what was read of both arrays.
    starts
        Which of them begin a row; the number of entries stands for an empty row at the end.
    """
    if isinstance(data, ArrayReader) and data.lacks(first, values):
        return True
    if not isinstance(indices, ArrayReader) or not indices.lacks(first, columns):
        return False
    # No row has a column twice, but a row may begin with the column that the last one ended with.
    begins = np.zeros(columns.shape[0] + 1, np.bool_)
    begins[starts] = True
    return bool(((columns[1:] == columns[:-1]) & ~begins[1:-1]).any())


class Hdf5Reader(ArrayReader):
    """An HDF5 data set."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset.shape, dataset.dtype, (dataset.chunks or (1,))[0])
        self._dataset, file = dataset, dataset.file
        # With a user block before it, releases of HDF5 differ in where they count from.
        steady = file.mode == "r" and not file.swmr_mode and file.userblock_size == 0
        self._file = file.id if steady and file.driver == "sec2" else None

    def read_into(self, start: int, stop: int, out: Array) -> None:
        """See `ArrayReader.read_into`."""
        if stop > start:
            with stage("read"):  # and decode: HDF5 does both
                self._dataset.read_direct(out, np.s_[start:stop])
            self.check_end()

    def check_end(self) -> None:
        """Raise EOFError where the file has lost its end since it was opened: HDF5 reads zeros there."""
        if self._file is not None:
            size, opened = os.fstat(self._file.get_vfd_handle()).st_size, self._file.get_filesize()
            if size < opened:
                msg = f"the file had {opened} bytes when it was opened and now ends after {size}"
                raise EOFError(msg)
