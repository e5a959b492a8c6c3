"""The gene table on a device: uploaded once, and kept with the table."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from lexicell_kernels._host import candidate_words, to_host
from lexicell_kernels.cuda.device import device_memory, require_cupy
from lexicell_kernels.cuda.source import padded_width
from lexicell_kernels.types import Array, GeneTable

__all__ = ["DeviceTable", "device_table"]

_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class DeviceTable:
    """What the kernels read of a `GeneTable`; CuPy arrays.

    Attributes
    ----------
    vectors
        ``[m, width]`` float16 or float32, rows padded with zeros to a multiple of 16 bytes and aligned to it.
    rank
        ``[v]`` int32, column -> row of `vectors`, or -1.
    candidates
        ``[ceil(v / 32)]`` uint32, bit c % 32 of word c // 32: column c has a row.
    rank_factor
        ``[v]`` float32 by column, 0 where it has no row; None for 1.
    bias
        ``[p]`` float32, or None for 0.
    in_order
        Whether the rows of the candidates ascend with their columns.
    """

    vectors: Array
    rank: Array
    candidates: Array
    rank_factor: Array | None
    bias: Array | None
    in_order: bool

    @property
    def width(self) -> int:
        """Elements of a padded row."""
        return int(self.vectors.shape[1])


def device_table(table: GeneTable) -> DeviceTable:
    """Return the table on the current device.

    The first call for a device uploads it and waits for that, so that any stream may read it later.

    Raises
    ------
    DeviceMemoryError
        The device's memory does not hold the table.
    """
    cupy = require_cupy()
    key = f"cuda:{cupy.cuda.Device().id}"
    with _LOCK:
        if key not in table.derived:
            table.derived[key] = _upload(cupy, table)
            cupy.cuda.get_current_stream().synchronize()
    there: DeviceTable = table.derived[key]
    return there


def _upload(cupy: Any, table: GeneTable) -> DeviceTable:
    rank = np.ascontiguousarray(to_host(table.rank), dtype=np.int32)
    rows = rank[rank >= 0]
    rank_factor = None
    if table.rank_factor is not None:
        rank_factor = np.zeros(len(rank), np.float32)
        rank_factor[rank >= 0] = to_host(table.rank_factor).astype(np.float32)[rows]
    width = padded_width(table.vectors.dtype.name, table.dim)
    what = f"a gene table of {table.n_genes:,} x {table.dim}"
    with device_memory(what, table.n_genes * width * table.vectors.dtype.itemsize):
        return DeviceTable(
            _padded(cupy, table.vectors, width),
            cupy.asarray(rank),
            cupy.asarray(candidate_words(rank)),
            None if rank_factor is None else cupy.asarray(rank_factor),
            None if table.bias is None else cupy.asarray(table.bias, dtype=np.float32, order="C"),
            bool((np.diff(rows) > 0).all()),
        )


def _padded(cupy: Any, vectors: Array, width: int) -> Array:
    """Vectors as the kernel reads them; those that are so already, and on this device, are not copied."""
    m, dim = vectors.shape
    if isinstance(vectors, cupy.ndarray):
        as_they_are = (
            width == dim
            and vectors.flags.c_contiguous
            and vectors.data.ptr % 16 == 0
            and vectors.device.id == cupy.cuda.Device().id
        )
        if as_they_are:
            return vectors
    there = cupy.empty((m, width), vectors.dtype)  # before the upload starts: is there room?
    if isinstance(vectors, np.ndarray):
        rows = np.zeros((m, width), vectors.dtype)
        rows[:, :dim] = vectors
        there.set(rows)
    else:
        there[:, dim:] = 0
        there[:, :dim] = vectors
    return there
