"""One-dimensional HDF5 arrays: those in chunks, of which HDF5 gives the stored bytes and no more.

HDF5 lets one thread in at a time, and decodes in it. Here it looks a chunk up and copies it as it lies in the
file; each thread decodes on its own, with a faster inflate. What is not known here for certain is left to
h5py, chunk by chunk or as a whole, so the numbers are its own.

Looking up and copying holds the lock for 7 to 10 us a chunk of the size that h5py chooses, and undoing gzip
takes 45 to 160 us: by these times eight threads are fed, and four where chunks have 8 kB. A descriptor of our
own and an index of all chunks would need no lock; on two cores that saved at most a sixth of the CPU time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._trace import stage
from lexicell.counts.array_reader import ArrayReader, Hdf5Reader
from lexicell.counts.h5contiguous import contiguous_reader
from lexicell.counts.h5filters import Filters, UndecodableError

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

__all__ = ["fast_array"]


def fast_array(dataset: h5py.Dataset) -> ArrayReader:
    """Reader of a dataset: one that decodes outside HDF5's lock, or `Hdf5Reader` where HDF5 has to decode.

    The former takes one-dimensional arrays of plain numbers, in one piece or in chunks with no filters but
    shuffle, gzip or lzf, and Fletcher-32.
    """
    import h5py

    if len(dataset.shape) != 1 or dataset.dtype.kind not in "buif":
        return Hdf5Reader(dataset)
    as_stored = h5py.h5t.py_create(dataset.dtype, logical=True)
    if not as_stored.equal(dataset.id.get_type()):
        return Hdf5Reader(dataset)
    plist = dataset.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.CHUNKED:
        listed = [plist.get_filter(i) for i in range(plist.get_nfilters())]
        filters = Filters.of([(code, values) for code, _, values, _ in listed], dataset.dtype.itemsize)
        if filters is not None:
            return _ChunkedReader(dataset, filters)
    return contiguous_reader(dataset) or Hdf5Reader(dataset)


class _Kept(threading.local):
    """What a thread keeps between reads: the bytes of a chunk as stored, and the last chunk it cut."""

    def __init__(self) -> None:
        self.stored = self.chunk = np.empty(0, np.uint8)
        self.number = -1


class _ChunkedReader(Hdf5Reader):
    """An array in chunks."""

    def __init__(self, dataset: h5py.Dataset, filters: Filters) -> None:
        super().__init__(dataset)
        self._filters, self._kept = filters, _Kept()
        self._bytes = self.chunk * self.dtype.itemsize

    def read_into(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """See `ArrayReader.read_into`."""
        if stop <= start:
            return
        for number in range(start // self.chunk, -(-stop // self.chunk)):
            first = number * self.chunk
            low, high = max(start, first), min(stop, first + self.chunk)
            target = out[low - start : high - start]
            try:
                self._read_chunk(number, low - first, target)
            except UndecodableError:
                # HDF5 has the last word: its error is the one that says what is wrong.
                super().read_into(low, high, target)
        self.check_end()

    def _read_chunk(self, number: int, skip: int, target: NDArray[Any]) -> None:
        """Values of one chunk, the first `skip` left out."""
        kept = self._kept
        if kept.number != number and target.size == self.chunk:
            self._decode(number, target.view(np.uint8))
            return
        if kept.number != number:
            kept.number = -1
            if kept.chunk.size == 0:
                kept.chunk = np.empty(self._bytes, np.uint8)
            self._decode(number, kept.chunk)
            kept.number = number
        target[:] = kept.chunk.view(self.dtype)[skip : skip + target.size]

    def _decode(self, number: int, out: NDArray[np.uint8]) -> None:
        filtered, first = bool(self._filters.codes), number * self.chunk
        if filtered and self._kept.stored.size == 0:
            # No writer keeps a chunk that a filter made longer, but for a checksum.
            self._kept.stored = np.empty(self._bytes + 4, np.uint8)
        try:
            with stage("read"):
                skipped, raw = self._dataset.id.read_direct_chunk(
                    (first,), out=self._kept.stored if filtered else out
                )
        except (OSError, RuntimeError, ValueError) as exc:
            raise UndecodableError(str(exc)) from exc  # it was never written, for example
        if not filtered:
            return
        if len(raw) == self._bytes and first + self.chunk > self.shape[0]:
            msg = "HDF5 can leave filters out where the array ends within a chunk, and does not report it"
            raise UndecodableError(msg)
        self._filters.decode(np.frombuffer(raw, np.uint8), skipped, out)
