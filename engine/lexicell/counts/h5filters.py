"""HDF5's filters, undone without any lock: gzip, lzf, shuffle and Fletcher-32.

gzip is left to ISA-L, which takes less than half of zlib's time and checks the same Adler-32. The others are
short loops, compiled here, since nothing that is installed anyway offers them without holding the GIL.
"""

from __future__ import annotations

import sys
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell_kernels.jit import kernel

inflater: Any = zlib
with suppress(ImportError):  # there is not a wheel for every platform
    from isal import isal_zlib

    inflater = isal_zlib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Filters", "UndecodableError"]

_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000
#: In this order writers apply them; each may be left out.
_STEPS = {_SHUFFLE: 0, _DEFLATE: 1, _LZF: 1, _FLETCHER32: 2}
#: Bytes from which gzip can't make more than 270 MB; without a limit it is a little faster.
_SMALL = 1 << 18
_WORDS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


class UndecodableError(Exception):
    """A chunk is damaged, or written in a way that only HDF5 itself knows."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What was done to the chunks of one array.

    Attributes
    ----------
    codes
        HDF5's numbers of the filters, in the order in which they were applied.
    itemsize
        Bytes of one value.
    """

    codes: tuple[int, ...]
    itemsize: int

    @classmethod
    def of(cls, listed: Sequence[tuple[int, Sequence[int]]], itemsize: int) -> Filters | None:
        """Filters by number and parameters, or None where one is unknown here or in an unusual place."""
        codes = tuple(code for code, _ in listed)
        steps = [_STEPS.get(code, -1) for code in codes]
        shuffled = [values for code, values in listed if code == _SHUFFLE]
        if -1 in steps or steps != sorted(set(steps)) or any(tuple(v) != (itemsize,) for v in shuffled):
            return None
        return cls(codes, itemsize)

    def decode(self, raw: NDArray[np.uint8], skipped: int, out: NDArray[np.uint8]) -> None:
        """Decode one chunk.

        Parameters
        ----------
        raw
            ``[stored]`` bytes as they lie in the file.
        skipped
            Bit i is set where filter i was not applied to this chunk.
        out
            ``[chunk]`` bytes, written here; undefined when this raises.

        Raises
        ------
        UndecodableError
            The bytes do not decode, or their checksum says that they are not what was written.
        OSError
            They decode to another length than a chunk has.
        """
        codes = {code for i, code in enumerate(self.codes) if not skipped >> i & 1}
        if _FLETCHER32 in codes:
            raw = _checked(raw)
        shuffled = _SHUFFLE in codes and self.itemsize > 1
        if _LZF in codes:
            body = np.empty(out.size, np.uint8) if shuffled else out
            n_bytes = _unpacked(raw, body)
        else:
            body = np.frombuffer(_inflated(raw, out.size), np.uint8) if _DEFLATE in codes else raw
            n_bytes = body.size
        if n_bytes != out.size:
            msg = f"a chunk of {out.size} bytes decodes to {n_bytes}"
            raise OSError(msg)
        if shuffled:
            _unshuffled(body, self.itemsize, out)
        elif body is not out:
            out[:] = body


def _inflated(raw: NDArray[np.uint8], size: int) -> bytes:
    """Inflate, of a large chunk `size` bytes and one more, which shows that there are more."""
    try:
        if raw.size <= _SMALL:
            return bytes(inflater.decompress(raw.data, 15, size))
        stream = inflater.decompressobj(15)
        body = bytes(stream.decompress(raw.data, size + 1))
    except inflater.error as exc:
        raise UndecodableError(str(exc)) from exc
    if not stream.eof and len(body) <= size:
        msg = "incomplete or truncated stream"
        raise UndecodableError(msg)
    return body


def _unpacked(raw: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    n_bytes = int(lzf(raw, out))
    if n_bytes < 0:
        msg = "malformed LZF"
        raise UndecodableError(msg)
    return n_bytes


def _checked(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    body, sum_ = raw[:-4], raw[-4:]
    if sum_.size < 4 or int(fletcher32(body)) != int.from_bytes(sum_.tobytes(), "little"):
        msg = "the Fletcher-32 checksum differs"
        raise UndecodableError(msg)
    return body


def _unshuffled(body: NDArray[np.uint8], itemsize: int, out: NDArray[np.uint8]) -> None:
    word = _WORDS.get(itemsize)
    if word is not None and sys.byteorder == "little":
        unshuffle(body, out.view(word))
    else:
        out.reshape(-1, itemsize)[:] = body.reshape(itemsize, -1).T


@kernel(cache=True)
def unshuffle(body: NDArray[np.uint8], out: NDArray[Any]) -> None:
    """Put together values from their first bytes, their second bytes, and so on; little-endian words."""
    word, n = out.dtype.type, out.size
    out[:] = body[:n]
    for j in range(1, out.itemsize):
        # One loop for each byte: a loop over the bytes of a value does not vectorise.
        part, shift = body[j * n : (j + 1) * n], word(8 * j)
        for i in range(n):
            out[i] |= word(part[i]) << shift


@kernel(cache=True)
def lzf(raw: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Decompress LZF; return the number of bytes written, or -1 where `raw` is malformed or too long."""
    i = o = 0
    while i < raw.size:
        control = int(raw[i])
        i += 1
        if control < 32:  # so many literal bytes and one more
            n = control + 1
            if i + n > raw.size or o + n > out.size:
                return -1
            for _ in range(n):
                out[o] = raw[i]
                i += 1
                o += 1
            continue
        n = control >> 5
        if n == 7:
            if i >= raw.size:
                return -1
            n += int(raw[i])
            i += 1
        n += 2
        if i >= raw.size:
            return -1
        back = o - ((control & 31) << 8) - int(raw[i]) - 1
        i += 1
        if back < 0 or o + n > out.size:
            return -1
        for _ in range(n):  # byte by byte: the source may overlap what is being written
            out[o] = out[back]
            o += 1
            back += 1
    return o


@kernel(cache=True)
def fletcher32(raw: NDArray[np.uint8]) -> np.uint64:
    """HDF5's checksum: sums of big-endian 16-bit words, modulo 65,535."""
    low = high = np.uint64(0)
    words = raw.size // 2
    for start in range(0, words, 1 << 12):  # 64 bits hold the sums of so many without a carry
        for i in range(start, min(start + (1 << 12), words)):
            low += np.uint64(raw[2 * i]) << np.uint64(8) | np.uint64(raw[2 * i + 1])
            high += low
        low = (low & np.uint64(0xFFFF)) + (low >> np.uint64(16))
        high = (high & np.uint64(0xFFFF)) + (high >> np.uint64(16))
    if raw.size % 2:
        low += np.uint64(raw[raw.size - 1]) << np.uint64(8)
        high += low
    for _ in range(3):
        low = (low & np.uint64(0xFFFF)) + (low >> np.uint64(16))
        high = (high & np.uint64(0xFFFF)) + (high >> np.uint64(16))
    return high << np.uint64(16) | low
