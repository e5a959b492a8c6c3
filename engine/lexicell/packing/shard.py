"""The two long arrays of a packed atlas, counts and columns: how they are cut, and the bytes of one shard.

Measured by ``python -m bench.packing``: 30,000 synthetic cells of 2,800 values, read by two threads in spans
of 4 million values. Speed is cells per second of CPU time and size is bytes, both as ratios to what is used
here (shards of 2**24 values, chunks of 2**17, LZ4 at level 5, shuffled; 113,000 cells a second, 1.84 bytes a
value for count and column together); speeds vary by 5 % from run to run.

=====================  =====  =====
setting                speed  size
=====================  =====  =====
chunks of 2**14         0.72   1.04
chunks of 2**15         0.88   1.03
chunks of 2**16         0.92   1.03
chunks of 2**18         0.97   1.00
chunks of 2**20         0.87   1.00
shards of 2**20         1.02   1.00
shards of 2**22         0.93   1.00
shards of 2**25         0.95   1.00
no shuffle              0.91   1.52
bits shuffled           0.86   0.97
level 1                 1.00   1.05
level 9                 1.02   0.98
not compressed          1.37   2.18
columns as int32        0.76   1.00
=====================  =====  =====

So chunks of 2**16 to 2**18 values are alike, and the middle one is taken. Shards may have any size: at 2**24
an atlas of 100 million cells has 33,000 of them, 10 to 20 MB each, and a run that is killed loses a few
seconds.

A grid of values knows nothing of rows, so a span of rows begins and ends inside a chunk. Of the 65,536 rows
of a shard of an embedding (183 million values) these two chunks of 131,072 values are 0.14 % of what is
decoded; of a span of 4 million values they are 6 %, or 3 % where the reader keeps the chunk that the next
span begins with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.store import chunk_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHUNK", "SHARD", "create_array", "encode_shard"]

#: Values of a chunk, which is decoded as a whole, and of a shard, which is one file and the unit of work:
#: about 47 and 6,000 cells. As uint16 they are 256 KiB, which fit a core's second-level cache, and 32 MiB.
CHUNK, SHARD = 1 << 17, 1 << 24
_LEVEL = 5
_ABSENT = np.uint64(2**64 - 1)


def create_array(store: Any, name: str, size: int, dtype: np.dtype[Any]) -> None:
    """Write the metadata of an array of `size` values, of which `encode_shard` makes the shards."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    from lexicell.store import ARRAY

    zarr.create_array(
        store,
        name=name,
        shape=(size,),
        chunks=(CHUNK,),
        shards=(SHARD,),
        dtype=dtype,
        compressors=[
            BloscCodec(cname="lz4", clevel=_LEVEL, shuffle="shuffle", typesize=dtype.itemsize),
            Crc32cCodec(),
        ],
        attributes=ARRAY,
        zarr_format=3,
    )


def encode_shard(values: NDArray[Any]) -> list[memoryview | bytes]:
    """Encode a shard, in parts, as Zarr's sharding codec does with Blosc and crc32c for chunks.

    That codec runs on the one event loop of zarr, with a thread for each chunk; this takes half the time of a
    core or less, and works on as many shards at once as there are cores.

    Parameters
    ----------
    values
        ``[n]`` up to `SHARD`; chunks beyond the last value are not there.
    """
    from numcodecs import blosc  # type: ignore[import-untyped]

    parts: list[memoryview | bytes] = []
    index = np.full((SHARD // CHUNK, 2), _ABSENT, "<u8")
    place = 0
    for number, start in enumerate(range(0, len(values), CHUNK)):
        chunk = values[start : start + CHUNK]
        if len(chunk) < CHUNK:
            chunk = np.concatenate([chunk, np.zeros(CHUNK - len(chunk), chunk.dtype)])
        packed = blosc.compress(chunk, b"lz4", _LEVEL, blosc.SHUFFLE, 0, chunk.itemsize)
        encoded = chunk_bytes(np.frombuffer(packed, np.uint8), len(packed))
        size = sum(map(len, encoded))
        index[number] = place, size
        parts += encoded
        place += size
    return [*parts, *chunk_bytes(index, len(index))]
