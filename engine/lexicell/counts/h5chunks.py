"""One-dimensional arrays of HDF5 files, read past HDF5: without its lock, and with a faster inflate.

HDF5 lets one thread in at a time, and decodes in it. Where the bytes of an array lie and how they were
filtered is little to know, so HDF5 gives it once; from then on each thread reads and decodes on its own. What
is not known here for certain is left to h5py, piece by piece or as a whole, so the numbers are its own.

``read_direct_chunk`` in place of descriptors and index would be half of this file and take the same CPU time
(0.93 to 1.16 times), but holds HDF5's lock: two threads read gzip 0.88 and plain arrays 0.6 times as fast.
"""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._trace import stage
from lexicell.counts.array_reader import ArrayReader, Hdf5Reader
from lexicell.counts.h5filters import Filters, UndecodableError

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

__all__ = ["fast_array"]


def fast_array(dataset: h5py.Dataset) -> ArrayReader:
    """Reader of a dataset: one that needs no lock, or `Hdf5Reader` where HDF5 alone can read it.

    The former takes one-dimensional arrays of plain numbers, contiguous or in chunks with no filters but
    shuffle, gzip or lzf, and Fletcher-32, in files on a local path that are open for reading only.

    Raises
    ------
    OSError
        The file says that some of the array lies beyond its end.
    """
    import h5py

    slow = Hdf5Reader(dataset)
    if len(dataset.shape) != 1 or dataset.dtype.kind not in "buif":
        return slow
    plist = dataset.id.get_create_plist()
    as_stored = h5py.h5t.py_create(dataset.dtype, logical=True)
    if plist.get_external_count() or not as_stored.equal(dataset.id.get_type()):
        return slow
    file = _File.of(dataset.file)
    if file is None:
        return slow
    layout, size = plist.get_layout(), dataset.size * dataset.dtype.itemsize
    if layout == h5py.h5d.CONTIGUOUS and size > 0 and dataset.id.get_storage_size() == size:
        return _ContiguousReader(dataset, file)
    if layout == h5py.h5d.CHUNKED and hasattr(dataset.id, "chunk_iter"):
        listed = [plist.get_filter(i) for i in range(plist.get_nfilters())]
        filters = Filters.of([(code, values) for code, _, values, _ in listed], dataset.dtype.itemsize)
        index = None if filters is None else _Index.of(dataset, file)
        if filters is not None and index is not None:
            return _ChunkedReader(dataset, file, filters, index)
    return slow


#: Chunks from which on HDF5 is queried first for how many are stored.
_MANY_CHUNKS = 1 << 20


class _File:
    """A descriptor of our own for an HDF5 file, open as long as this object lives.

    HDF5's descriptor would do until HDF5 closes it and its number names the next file. A duplicate of it
    would keep HDF5's lock on the file.
    """

    def __init__(self, descriptor: int) -> None:
        weakref.finalize(self, os.close, descriptor)
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    @classmethod
    def of(cls, file: h5py.File) -> _File | None:
        """Open the file anew, or return None where its bytes may not lie, or stay, where HDF5 says."""
        handle = file.id.get_vfd_handle()
        known = _OPEN.get(handle)
        if known is not None and known.is_of(handle):
            return known
        # With a user block before it, releases of HDF5 differ in where they count from.
        unchanging = file.mode == "r" and not file.swmr_mode and file.userblock_size == 0
        if not unchanging or file.driver != "sec2" or not hasattr(os, "preadv"):
            return None
        try:
            opened = cls(os.open(file.filename, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None
        # The path may name another file by now.
        if not opened.is_of(handle):
            return None
        _OPEN[handle] = opened
        return opened

    def is_of(self, handle: int) -> bool:
        """Whether it is the file that HDF5 has open under this descriptor, as it is now."""
        theirs = os.fstat(handle)
        return theirs.st_size == self.size and os.path.samestat(os.fstat(self._descriptor), theirs)

    def read_into(self, out: NDArray[np.uint8], place: int) -> None:
        """Read as many bytes at `place` as `out` has."""
        remaining = out.data
        with stage("read"):
            while remaining:
                count = os.preadv(self._descriptor, [remaining], place)
                if count == 0:
                    msg = f"the file ends before byte {place + len(remaining)}"
                    raise EOFError(msg)
                remaining, place = remaining[count:], place + count


#: One for all arrays of a file, by the descriptor that HDF5 has of it.
_OPEN: weakref.WeakValueDictionary[int, _File] = weakref.WeakValueDictionary()


class _ContiguousReader(ArrayReader):
    """An array whose values lie in one piece."""

    def __init__(self, dataset: h5py.Dataset, file: _File) -> None:
        super().__init__(dataset.shape, dataset.dtype, 1)
        self._file, self._place = file, int(dataset.id.get_offset())

    def read_into(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """See `ArrayReader.read_into`."""
        if stop > start:
            self._file.read_into(out.view(np.uint8), self._place + start * self.dtype.itemsize)


@dataclass(frozen=True, slots=True)
class _Index:
    """Where the chunks of an array lie, ``[chunks]`` each.

    Attributes
    ----------
    place, stored
        First byte and number of bytes; 0 bytes where HDF5 has to be queried.
    skipped
        Bit i is set where filter i was not applied.
    """

    place: NDArray[np.int64]
    stored: NDArray[np.int64]
    skipped: NDArray[np.uint32]

    @classmethod
    def of(cls, dataset: h5py.Dataset, file: _File) -> _Index | None:
        """Ask HDF5, about a microsecond a chunk; None where its answer makes no sense."""
        length = dataset.chunks[0]
        n = -(-dataset.shape[0] // length)
        if n > _MANY_CHUNKS and n > 2 * dataset.id.get_num_chunks():
            return None  # a table of places would be mostly of places that there are not
        index = cls(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.uint32))

        def note(info: Any) -> bool | None:
            number, offset = divmod(info.chunk_offset[0], length)
            if offset or number >= n:  # some releases count in chunks and not in values
                return True
            if info.byte_offset is not None:
                if info.byte_offset + info.size > file.size:
                    msg = f"a chunk ends at byte {info.byte_offset + info.size} of {file.size}"
                    raise OSError(msg)
                index.place[number], index.stored[number] = info.byte_offset, info.size
                index.skipped[number] = info.filter_mask
            return None

        return None if dataset.id.chunk_iter(note) else index


class _Buffers(threading.local):
    """What a thread keeps between reads: the bytes of a chunk as stored, and the last chunk it cut."""

    def __init__(self) -> None:
        self.stored = np.empty(0, np.uint8)
        self.chunk = np.empty(0, np.uint8)
        self.number = -1


class _ChunkedReader(ArrayReader):
    """An array in chunks. A thread keeps the last one that it did not need whole."""

    def __init__(self, dataset: h5py.Dataset, file: _File, filters: Filters, index: _Index) -> None:
        super().__init__(dataset.shape, dataset.dtype, dataset.chunks[0])
        self._slow, self._file, self._filters, self._index = Hdf5Reader(dataset), file, filters, index
        self._buffers = _Buffers()
        self._bytes = self.chunk * self.dtype.itemsize
        ends_within = self.shape[0] % self.chunk != 0
        if ends_within and filters.codes and index.stored[-1] == self._bytes:
            # HDF5 can leave filters out where the array ends within a chunk, and does not report it.
            index.stored[-1] = 0

    def read_into(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """See `ArrayReader.read_into`."""
        if stop <= start:
            return
        for number in range(start // self.chunk, -(-stop // self.chunk)):
            first = number * self.chunk
            low, high = max(start, first), min(stop, first + self.chunk)
            target = out[low - start : high - start]
            try:
                decoded = self._read_chunk(number, low - first, target)
            except UndecodableError:
                # HDF5 has the last word: its error is the one that says what is wrong.
                decoded = False
            if not decoded:
                self._slow.read_into(low, high, target)

    def _read_chunk(self, number: int, skip: int, target: NDArray[Any]) -> bool:
        """Values of one chunk, the first `skip` left out; False where HDF5 has to be queried."""
        buffers, stored = self._buffers, int(self._index.stored[number])
        if stored == 0:
            return False
        if not self._filters.codes:
            if stored != self._bytes:
                msg = f"a chunk of {self._bytes} bytes is stored in {stored}"
                raise OSError(msg)
            place = int(self._index.place[number]) + skip * self.dtype.itemsize
            self._file.read_into(target.view(np.uint8), place)
        elif buffers.number != number and target.size == self.chunk:
            self._decode(number, target.view(np.uint8))
        else:
            if buffers.number != number:
                buffers.number = -1
                if buffers.chunk.size == 0:
                    buffers.chunk = np.empty(self._bytes, np.uint8)
                self._decode(number, buffers.chunk)
                buffers.number = number
            target[:] = buffers.chunk.view(self.dtype)[skip : skip + target.size]
        return True

    def _decode(self, number: int, out: NDArray[np.uint8]) -> None:
        stored, buffers = int(self._index.stored[number]), self._buffers
        if buffers.stored.size < stored:
            buffers.stored = np.empty(stored, np.uint8)
        raw = buffers.stored[:stored]
        self._file.read_into(raw, int(self._index.place[number]))
        self._filters.decode(raw, int(self._index.skipped[number]), out)
