"""How an embedding is cut into shards and chunks, and the bytes of one shard."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["QUALITY_DTYPES", "Layout", "Shard", "chunk_bytes", "chunk_rows", "shard_bytes"]

#: Bytes of one chunk of the vectors. The kernel makes about this much at once, and it is small enough that
#: reading a few cells of a store reads little.
_CHUNK_BYTES = 4 << 20
#: Rows of a shard: enough shards to keep workers busy to the end, and not so many that files get small.
_FEW_SHARDS, _LEAST_ROWS, _MOST_ROWS = 64, 4_096, 65_536
#: Columns of ``obs`` that each shard brings with it, and their types.
QUALITY_DTYPES = {"lexicell_n_genes": "int32", "lexicell_coverage": "float32", "lexicell_n_tied": "int32"}
_ABSENT = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape of an embedding, and how it is cut. A function of the first three, never of who computes it.

    Attributes
    ----------
    n_cells, dim
        Shape of the vectors, ``[N, p]``.
    dtype
        ``"float16"`` or ``"float32"``.
    shard_rows
        Rows of a shard, which is one file and the unit of work; a power of two.
    chunk_rows
        Rows of a chunk in a shard, which is the unit of reading; a power of two.
    """

    n_cells: int
    dim: int
    dtype: str
    shard_rows: int
    chunk_rows: int

    @classmethod
    def of(cls, n_cells: int, dim: int, dtype: str) -> Layout:
        """Cut an embedding: 64 shards or more, of 4,096 to 65,536 rows, and chunks of about 4 MiB."""
        shard = max(_LEAST_ROWS, min(_MOST_ROWS, _power(n_cells // _FEW_SHARDS)))
        enough = 1 << (max(1, n_cells) - 1).bit_length()
        return cls(n_cells, dim, dtype, shard, min(chunk_rows(dim, np.dtype(dtype)), shard, enough))

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return -(-self.n_cells // self.shard_rows)

    def rows(self, shard: int) -> tuple[int, int]:
        """First row of a shard, and the one after its last; ValueError where there is no such shard."""
        if not 0 <= shard < self.n_shards:
            msg = f"there are {self.n_shards} shards, and no shard {shard}"
            raise ValueError(msg)
        start = shard * self.shard_rows
        return start, min(start + self.shard_rows, self.n_cells)


@dataclass(frozen=True, slots=True)
class Shard:
    """Embedded rows of one shard.

    Attributes
    ----------
    vectors
        ``[n, p]``, of the layout's dtype.
    n_genes
        int32 ``[n]``, genes used.
    coverage
        float32 ``[n]``, share of the cell's counts that lies in described genes.
    n_tied
        int32 ``[n]``, size of the tie group at the boundary.
    """

    vectors: NDArray[Any]
    n_genes: NDArray[np.int32]
    coverage: NDArray[np.float32]
    n_tied: NDArray[np.int32]


def chunk_rows(dim: int, dtype: np.dtype[Any]) -> int:
    """Rows of `dim` values that are about 4 MiB: a power of two."""
    return _power(_CHUNK_BYTES // (dim * dtype.itemsize))


def shard_bytes(rows: NDArray[Any], layout: Layout) -> list[memoryview | bytes]:
    """Encode a shard of the vectors as Zarr's sharding codec does, with crc32c for chunks and index.

    That codec would first read the shard that is being replaced, and copies what it writes three times.

    Parameters
    ----------
    rows
        ``[n, p]``; a last shard may have fewer than `layout` says.
    """
    parts: list[memoryview | bytes] = []
    index = np.full((layout.shard_rows // layout.chunk_rows, 2), _ABSENT, "<u8")
    size = layout.chunk_rows * layout.dim * rows.itemsize + 4
    for number, start in enumerate(range(0, len(rows), layout.chunk_rows)):
        index[number] = number * size, size
        parts += chunk_bytes(rows[start : start + layout.chunk_rows], layout.chunk_rows)
    return [*parts, *chunk_bytes(index, len(index))]


def chunk_bytes(rows: NDArray[Any], n: int) -> list[memoryview | bytes]:
    """Encode a chunk of `n` rows, those that are missing at the end filled with zeros, and its crc32c."""
    if len(rows) < n:
        rows = np.concatenate([rows, np.zeros((n - len(rows), *rows.shape[1:]), rows.dtype)])
    little = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
    data = little.reshape(-1).view(np.uint8)
    return [data.data, struct.pack("<I", _crc32c()(data))]


def _power(rows: int) -> int:
    """The largest power of two that is not more than `rows`, at least 1."""
    return 1 << max(0, rows.bit_length() - 1)


@cache
def _crc32c() -> Callable[[NDArray[np.uint8]], int]:
    """The checksum that Zarr itself uses."""
    from google_crc32c import value

    return value  # type: ignore[no-any-return]
