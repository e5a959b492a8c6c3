"""The reader that an array on disk needs."""

from __future__ import annotations

from typing import Any

from lexicell._arrays import packages_of
from lexicell.atlas.counts._h5chunks import fast_array
from lexicell.atlas.counts._zarr import ZarrReader

__all__ = ["choose_reader"]


def choose_reader(array: Any) -> Any:
    """Choose the `ArrayReader` of an array of h5py or zarr; arrays in memory are passed through."""
    packages = packages_of(array)
    if "h5py" in packages:
        return fast_array(array)
    if "zarr" in packages:
        return ZarrReader(array)
    return array
