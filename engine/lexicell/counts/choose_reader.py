"""The reader that an array on disk needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lexicell.arrays import packages_of
from lexicell.containers.faults import Where, reading
from lexicell.counts.h5chunks import fast_array
from lexicell.counts.zarr_reader import ZarrReader, keys_of
from lexicell.errors import InputError

__all__ = ["choose_reader", "dense_reader"]


def choose_reader(array: Any) -> Any:
    """Choose the `ArrayReader` of an array of h5py or zarr; arrays in memory are passed through."""
    packages = packages_of(array)
    if "h5py" in packages:
        return fast_array(array)
    if "zarr" in packages:
        return ZarrReader(array)
    return array


def dense_reader(obsm: Mapping[str, Any], name: str, where: Where, n: int, hint: str) -> Any:
    """Choose the reader of a dense matrix of ``obsm`` with `n` rows.

    Raises
    ------
    InputError
        There is none of this name; or it is no dense matrix of numbers, and that sentence ends with `hint`.
    CorruptDataError
        It has another number of rows.
    """
    with reading(where):
        have = keys_of(obsm)
        if name not in have:
            msg = f"{where.label}: obsm has no {name!r}; it has {', '.join(have) or 'nothing at all'}"
            raise InputError(msg)
        array = obsm[name]
        shape: tuple[int, ...] = tuple(getattr(array, "shape", ()))
        kind = getattr(getattr(array, "dtype", None), "kind", "") or "O"
        if len(shape) != 2 or kind not in "buif" or hasattr(array, "tocsr"):
            msg = f"{where} is no dense matrix of numbers; {hint}"
            raise InputError(msg)
        if shape[0] != n:
            fault = f"has {shape[0]:,} rows for {n:,} cells"
            raise where.corrupt(fault)
        return choose_reader(array)
