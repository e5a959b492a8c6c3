"""Vectors of cells that lie in ``obsm`` of a stored AnnData, with or without counts beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.containers.faults import Where, reading
from lexicell.counts.array_reader import ArrayReader
from lexicell.counts.choose_reader import dense_reader
from lexicell.counts.opening import hdf5_root, zarr_root
from lexicell.counts.tables import open_table
from lexicell.counts.zarr_reader import keys_of
from lexicell.errors import InputError

__all__ = ["StoredObsm", "open_obsm"]

#: Bytes read at once.
_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class StoredObsm:
    """Vectors that stay on disk. Made by `open_obsm`.

    Attributes
    ----------
    key
        In ``obsm``.
    names
        ``[n]`` names of the cells, str.
    shape
        ``(n, d)``.
    """

    key: str
    names: NDArray[np.object_]
    shape: tuple[int, int]
    _array: Any
    _where: Where

    def blocks(self) -> Iterator[NDArray[Any]]:
        """All rows in order."""
        n, d = self.shape
        rows = max(_BLOCK_BYTES // max(d * self._array.dtype.itemsize, 1), 1)
        chunk = self._array.chunk if isinstance(self._array, ArrayReader) else 1
        rows = max(rows // chunk, 1) * chunk if chunk <= 4 * rows else rows
        for start in range(0, n, rows):
            with reading(self._where.rows(start, min(start + rows, n))):
                block = np.asarray(self._array[start : start + rows])
            yield block


def open_obsm(path: Path, key: str | None, opened: ExitStack) -> StoredObsm:
    """Open vectors in an ``.h5ad`` or an AnnData-Zarr folder.

    Parameters
    ----------
    path
        Of the file or folder, which is there.
    key
        Of ``obsm``; None for the only one that there is.
    opened
        Closes what is opened.

    Raises
    ------
    InputError
        It is no AnnData, has no such key, or what is there is no dense matrix of numbers.
    CorruptDataError
        It is damaged.
    """
    label = str(path)
    root, looks = (
        zarr_root(path, label) if path.is_dir() else hdf5_root(path, label, opened, follow_links=False)
    )
    if looks not in (True, "anndata") or "mod" in root:
        msg = f"{label} is no AnnData, so it has no obsm; give an .h5ad or an AnnData-Zarr folder"
        raise InputError(msg)
    with reading(Where(label, "the table of contents")):
        keys = keys_of(root["obsm"]) if "obsm" in root else []
    if key is None and len(keys) == 1:
        key = keys[0]
    if key is None or key not in keys:
        lacks = "say which key of obsm to read" if key is None else f"obsm has no key {key!r}"
        msg = f"{label}: {lacks} (--key); it has {', '.join(keys) or 'none'}"
        raise InputError(msg)
    where = Where(label, f"obsm[{key!r}]")
    table = open_table(root, label)
    names = np.asarray(table.names(0, len(table)).astype(str), object)
    array = dense_reader(root["obsm"], key, where, len(names), "choose another key (--key)")
    n, d = (int(side) for side in array.shape)
    return StoredObsm(key, names, (n, d), array, where)
