"""Buffers of one thread that are used again: fresh pages cost more than decoding into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lexicell.counts.array_reader import ArrayReader

__all__ = ["Scratch"]

#: Chunks larger than this are not kept for the next slice; one that straddles two is decoded twice.
_LARGEST_CHUNK_BYTES = 256 << 20


@dataclass(slots=True)
class _Window:
    """The elements ``start:stop`` of an array, decoded."""

    array: ArrayReader
    start: int
    stop: int
    values: NDArray[Any]


class Scratch:
    """Growable buffers by name, of one thread and for one reader at a time."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}
        self._windows: dict[str, _Window] = {}

    def take(self, role: str, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Give a buffer; what it held under this name is lost.

        Parameters
        ----------
        role
            Its name.
        size, dtype
            Of the 1-d array that is returned, whose values are arbitrary.
        """
        need = size * dtype.itemsize
        buffer = self._buffers.get(role)
        if buffer is None or buffer.nbytes < need:
            # Dropped first, so that only one exists; larger than needed, since blocks differ a little.
            self._buffers.pop(role, None)
            buffer = self._buffers[role] = np.empty(need + need // 4, np.uint8)
        return buffer[:need].view(dtype)

    def window(self, role: str, array: ArrayReader, start: int, stop: int) -> NDArray[Any]:
        """Give elements ``start:stop`` of a 1-d array on disk, decoding each chunk once for slices in order.

        Parameters
        ----------
        role
            Name of the buffer.
        array
            What is read.
        start, stop
            Which elements; the view that is returned is good until the next call with this name.
        """
        window = self._windows.get(role)
        if window is not None and window.array is array and window.start <= start and stop <= window.stop:
            return window.values[start - window.start : stop - window.start]
        end = stop
        if array.chunk * array.dtype.itemsize <= _LARGEST_CHUNK_BYTES:
            end = min(-(-stop // array.chunk) * array.chunk, array.shape[0])
        kept = np.empty(0, array.dtype)
        if window is not None and window.array is array and window.start <= start < window.stop:
            # Less than a chunk; a copy, so that the buffer itself can be let go.
            kept = window.values[start - window.start :].copy()
        # Forgotten first: a read that fails leaves the buffer half written.
        self._windows.pop(role, None)
        values = self.take(role, end - start, array.dtype)
        values[: kept.size] = kept
        array.read_into(start + kept.size, end, values[kept.size :])
        self._windows[role] = _Window(array, start, end, values)
        return values[: stop - start]
