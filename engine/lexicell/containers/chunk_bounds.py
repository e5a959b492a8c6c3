"""Chunks are decoded within bounds: no length that they state is believed before it fits their bytes.

Native decoders take lengths from the bytes themselves. c-blosc does not even get the number of bytes: it
read past the end of a chunk that had lost its last ones, and made counts of what it found. Its
shuffle and width of a value can be compared with nothing, so only a checksum sees a bit flipped in these.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lexicell.arrays import Array

__all__ = [
    "BOUNDED",
    "FIXED",
    "TEXT",
    "check_possible",
    "check_text",
    "decode",
    "decode_into",
    "unknown_codec",
]

#: Codecs, by the names of numcodecs, that state how much they decode to; those that make text of bytes; those
#: that keep or bound the size. No other is called: pickle runs what it reads.
BOUNDED = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
TEXT = frozenset({"vlen-bytes", "vlen-utf8"})
FIXED = frozenset({
    "adler32", "astype", "bitround", "crc32", "crc32c", "delta", "fixedscaleoffset", "fletcher32",
    "jenkins_lookup3", "packbits", "quantize", "shuffle",
})  # fmt: skip
#: What a chunk may decode to, whatever its array says: so many bytes, or so many times what is stored.
_BYTES, _RATIO = 1 << 29, 64
#: version, version of the inner format, flags, bytes of a value; bytes, bytes of a block, bytes stored.
_BLOSC = struct.Struct("<4B3I")


def unknown_codec(name: str) -> ValueError:
    """Build the error for a codec that is not called; its text is that of numcodecs."""
    return ValueError(f"codec not available: {name!r}")


def decode(codec: Any, raw: Any, most: int | None, n: int) -> Any:
    """Decode a chunk to no more than it may be.

    Parameters
    ----------
    codec
        Of numcodecs.
    raw
        What is stored.
    most
        Bytes that it may decode to; None where that is not known, of text.
    n
        Values in it, of text.

    Raises
    ------
    Exception
        It is damaged, or would be larger.
    """
    name, body = codec.codec_id, memoryview(raw).cast("B")
    if name in FIXED:
        return codec.decode(raw)
    if name in TEXT:
        check_text(body, n)
        return codec.decode(raw)
    limit = _limit(len(body))
    most = limit if most is None else min(most, limit)
    if name in ("blosc", "lz4"):
        _check(_blosc_size(body) if name == "blosc" else int.from_bytes(body[:4], "little"), most)
        return codec.decode(raw)
    decoded = _stream(codec, name, body, most + 1)
    _check(len(decoded), most)
    return decoded


def check_possible(size: int, stored: int) -> None:
    """Raise ValueError unless so many stored bytes can be a chunk of some size, before it is given room."""
    if size > _limit(stored):
        msg = f"{stored} bytes are no chunk of {size}"
        raise ValueError(msg)


def check_text(raw: memoryview, n: int) -> None:
    """Raise ValueError unless bytes can be those of `n` texts; the codec compares the length of each."""
    stated = int.from_bytes(raw[:4], "little")
    if stated != n or len(raw) < 4 * (n + 1):
        msg = f"a chunk of {n} texts states {stated} in {len(raw)} bytes"
        raise ValueError(msg)


def decode_into(codec: Any, raw: memoryview, out: Array) -> None:
    """Decode a chunk into an array, all of which it fills. Raises as `decode` does."""
    size = out.nbytes
    if codec is None:
        body: Any = raw
    elif codec.codec_id == "blosc":
        _check_exactly(_blosc_size(raw), size)
        _blosc().decompress(raw, out)
        return
    elif codec.codec_id == "zstd":
        import pyarrow as pa

        body = pa.Codec("zstd").decompress(raw, size)  # an error where there are more or fewer
    else:
        body = decode(codec, raw, size, 0)
    decoded = np.frombuffer(body, np.uint8)
    _check_exactly(decoded.size, size)
    out.reshape(-1).view(np.uint8)[:] = decoded


@cache
def _blosc() -> Any:
    """The module: its functions do as the codec does, and look at less."""
    from numcodecs import blosc  # type: ignore[import-untyped]

    return blosc


def _limit(stored: int) -> int:
    return max(_BYTES, _RATIO * stored)


def _blosc_size(raw: memoryview) -> int:
    """Bytes that a chunk of Blosc decodes to; ValueError unless its header fits the chunk.

    What c-blosc reads then lies within the bytes that the header counts, which are there, and what it writes
    is all of the result: no block leaves a rest of a value.
    """
    if len(raw) < _BLOSC.size:
        msg = f"a Blosc chunk has {len(raw)} bytes"
        raise EOFError(msg)
    _, _, _, itemsize, size, block, stored = _BLOSC.unpack_from(raw)
    valid = itemsize > 0 and 0 < block <= size and (block < itemsize or block % itemsize == 0)
    if stored > len(raw) or not valid:
        msg = f"a Blosc chunk of {len(raw)} bytes states {stored}, of {size} in blocks of {block}"
        raise ValueError(msg)
    return int(size)


def _stream(codec: Any, name: str, raw: memoryview, limit: int) -> Any:
    """Decode the first `most` bytes, checksums and end included where there are fewer."""
    if name == "lzma":
        import io
        import lzma

        return lzma.LZMAFile(io.BytesIO(raw), format=codec.format, filters=codec.filters).read(limit)
    if name not in BOUNDED:
        raise unknown_codec(name)
    import pyarrow as pa

    # Arrow's gzip is that of zlib, which recognises either header.
    with pa.CompressedInputStream(pa.BufferReader(raw), "gzip" if name == "zlib" else name) as stream:
        return stream.read(limit)


def _check(size: int, limit: int) -> None:
    if size > limit:
        msg = f"a chunk of at most {limit} bytes decodes to more"
        raise ValueError(msg)


def _check_exactly(size: int, expected: int) -> None:
    if size != expected:
        msg = f"a chunk of {expected} bytes decodes to {size}"
        raise ValueError(msg)
