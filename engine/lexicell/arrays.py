"""Arrays and blocks of NumPy and CuPy: where they lie, moving them, and what both libraries have to do.

CuPy is never imported for arrays that are not its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell._trace import stage
from lexicell.errors import InputError
from lexicell_kernels import (
    CsrBlock,
    Device,
    GpuUnavailableError,
    InvalidCountsError,
    block_to_device,
    block_to_host,
    to_host,
)

__all__ = [
    "Array",
    "Device",
    "Growing",
    "compact",
    "device_of",
    "in_order",
    "move",
    "namespace",
    "packages_of",
    "require_gpu",
    "rows_of",
    "to_host",
    "unit_rows",
]

#: Room for parts to come: over what is expected of them, and where nothing is known of them.
_SPARE, _GROWTH = 1.05, 1.5

#: An array of NumPy or CuPy.
Array = NDArray[Any]


def packages_of(value: Any) -> set[str]:
    """Top-level packages of a value's type and of those that it extends, as anndata's views do."""
    return {base.__module__.partition(".")[0] for base in type(value).__mro__}


def device_of(value: Any) -> Device:
    """Where an array or a sparse matrix lies."""
    return "cuda" if packages_of(value) & {"cupy", "cupyx"} else "cpu"


def namespace(value: Any) -> Any:
    """Return the module, NumPy or CuPy, whose functions take an array or the parts of a sparse matrix."""
    return np if device_of(value) == "cpu" else import_module("cupy")


def require_gpu() -> Any:
    """Import CuPy and see that there is a GPU; returns the module ``cupy``.

    Raises
    ------
    InputError
        If there is none that can be used; the message says what to install.
    """
    from lexicell_kernels.cuda import require_cupy

    try:
        return require_cupy()
    except GpuUnavailableError as error:
        raise InputError(str(error)) from error


def move(block: CsrBlock, device: Device) -> CsrBlock:
    """Copy a block to the host or to the current GPU; one that lies there is passed on."""
    if device_of(block.data) == device:
        return block
    with stage("copy"):
        return block_to_device(block) if device == "cuda" else block_to_host(block)


def rows_of(indptr: Array, positions: Array) -> Array:
    """Row of each of some values, by their positions in a block."""
    rows: Array = namespace(indptr).searchsorted(indptr, positions, side="right") - 1
    return rows


def check_counts(block: CsrBlock) -> None:
    """Raise InvalidCountsError for the first value that is negative, NaN or infinite."""
    bad = ~(namespace(block.data).isfinite(block.data) & (block.data >= 0))
    if bool(bad.any()):
        at = bad.argmax()
        row = int(rows_of(block.indptr, at))
        raise InvalidCountsError(row, int(block.indices[at]), float(block.data[at]))


def in_order(block: CsrBlock) -> CsrBlock:
    """Sort the columns of each row and sum those that stand twice, where the block lies.

    Raises
    ------
    InvalidCountsError
        A value is no count, which a sum would hide.
    """
    check_counts(block)
    xp, v = namespace(block.data), block.n_columns
    rows = rows_of(block.indptr, xp.arange(block.data.shape[0]))
    places, owner = xp.unique(rows * v + block.indices, return_inverse=True)
    # Both libraries sum in float64, so the order of the summands, which varies on a GPU, does not show.
    data = xp.bincount(owner, weights=block.data).astype(np.float32)
    indptr = xp.searchsorted(places, xp.arange(block.n_rows + 1) * v)
    return CsrBlock(data=data, indices=(places % v).astype(np.int32), indptr=indptr, n_columns=v)


def unit_rows(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scale vectors ``[..., d]`` to length 1; a zero vector stays one."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """Return the same numbers as uint8 or uint16, where one of these holds them all; else as they are."""
    for dtype in (np.uint8, np.uint16):
        if values.dtype == dtype:
            return values
        if values.size and values.min() < 0:
            return values
        if values.max(initial=0) <= np.iinfo(dtype).max:
            small = values.astype(dtype)
            return small if np.array_equal(small, values) else values
    return values


class Growing:
    """An array that parts are copied into as they come, of the smallest type that holds them.

    A list of parts takes twice their memory when it is concatenated, and the allocator does not give it back.

    Parameters
    ----------
    dtype
        Of an array without parts.
    """

    def __init__(self, dtype: Any = np.uint8) -> None:
        self._held: NDArray[Any] = np.empty(0, dtype)
        self._size = 0

    def append(self, part: NDArray[Any], progress: float = 0.0) -> None:
        """Add a part.

        Parameters
        ----------
        part
            What is added.
        progress
            How much of all parts together is there then, up to 1; 0 where that is not known.
        """
        size = self._size + len(part)
        dtype = np.result_type(self._held, part)
        if size > len(self._held) or dtype != self._held.dtype:
            expected = size * _GROWTH if progress == 0 else size / progress * (_SPARE if progress < 1 else 1)
            grown = np.empty(max(size, int(expected)), dtype)
            grown[: self._size] = self._held[: self._size]
            self._held = grown
        self._held[self._size : size] = part
        self._size = size

    @property
    def array(self) -> NDArray[Any]:
        """All parts; no page of what is not filled was touched."""
        return self._held[: self._size]
