"""An h5ad with embedded rows: written first row to last, completely or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lexicell._files import staged_path
from lexicell._trace import stage
from lexicell.errors import InputError
from lexicell.store.anndata import ANNDATA, ARRAY, KEY, PARTS, check_own, write_element
from lexicell.store.layout import QUALITY_DTYPES, chunk_rows

if TYPE_CHECKING:
    import h5py
    import pandas as pd

__all__ = ["H5adOutput", "create_h5ad"]

#: Room for a cell beside its vector, name and quality, and for what describes the file.
_CELL_BYTES, _LEAST_BYTES = 128, 1 << 18


class H5adOutput:
    """Rows being written to an h5ad: a copy of the input where that is one, else a new file without X.

    Made by `create_h5ad`; what is written lies beside the target until that ends well.
    """

    def __init__(self, path: Path, n_cells: int, dim: int, dtype: DTypeLike, copy_of: Path | None) -> None:
        import h5py

        rows = max(1, min(chunk_rows(dim, np.dtype(dtype)), n_cells))
        self._chunk = np.empty((rows, dim), dtype)
        self._n_cells = n_cells
        self._filled = 0
        self._written = 0
        self._copied = copy_of is not None
        if copy_of is not None:
            with stage("write"):
                shutil.copyfile(copy_of, path)
        path.touch()
        size = path.stat().st_size + n_cells * (dim * self._chunk.itemsize + _CELL_BYTES) + _LEAST_BYTES
        _reserve(path, size)
        self._file = h5py.File(path, "r+" if self._copied else "w")
        if not self._copied:
            _reserve(path, size)  # again: a new file begins empty
        try:
            self._prepare(dim)
        except BaseException as error:
            self._file.close()
            if isinstance(error, OSError) or not isinstance(error, Exception):
                raise
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            msg = f"{copy_of}: a copy of it can't take vectors ({reason}); write to a .zarr instead"
            raise InputError(msg) from error

    def _prepare(self, dim: int) -> None:
        """Make room for all that is written later, so that a copy that can't take it fails before."""
        if self._copied:
            check_own(self._file, ("obs", "obsm", "uns"))
            self._obs = _room_in_obs(self._file, self._n_cells)
        else:
            self._file.attrs.update(ANNDATA)
            for part in PARTS:
                write_element(self._file, part, {})
        obsm = _group(self._file, "obsm")
        if KEY in obsm:
            del obsm[KEY]
        self._vectors = obsm.create_dataset(
            KEY, shape=(self._n_cells, dim), dtype=self._chunk.dtype, chunks=self._chunk.shape
        )
        self._vectors.attrs.update(ARRAY)
        self._uns = self._file.require_group("uns")

    def append(self, vectors: NDArray[np.float32]) -> None:
        """Add the next rows, ``[n, p]``."""
        done = 0
        while done < len(vectors):
            take = min(len(vectors) - done, len(self._chunk) - self._filled)
            self._chunk[self._filled : self._filled + take] = vectors[done : done + take]
            self._filled += take
            done += take
            if self._filled == len(self._chunk):
                self._flush()

    def finish(self, obs: pd.DataFrame, uns: Mapping[str, Any]) -> None:
        """Write what describes the rows.

        Parameters
        ----------
        obs
            One row per cell, in order. A copy gets those columns that it lacks, `QUALITY_DTYPES`.
        uns
            Goes to ``uns["lexicell"]``.

        Raises
        ------
        ValueError
            Not every row has been appended.
        """
        import pandas as pd

        self._flush()
        if self._written != self._n_cells:
            msg = f"{self._written} of {self._n_cells} rows were appended"
            raise ValueError(msg)
        if self._copied:
            for name, write in self._obs.items():
                write(obs[name].to_numpy())
        else:
            write_element(self._file, "obs", obs)
            write_element(self._file, "var", pd.DataFrame(index=pd.Index([], dtype="object")))
        write_element(self._uns, "lexicell", dict(uns))

    def close(self) -> None:
        """Close the file, before it gets its name."""
        self._file.close()

    def _flush(self) -> None:
        if self._filled:
            self._write(self._written, self._chunk[: self._filled])
            self._written += self._filled
            self._filled = 0

    def _write(self, start: int, rows: NDArray[Any]) -> None:
        self._vectors[start : start + len(rows)] = rows


def _reserve(path: Path, size: int) -> None:
    """Take the room that a file will need, which HDF5 gives back when it closes the file.

    A full disk is an error before the first cell, and HDF5 does not meet it: it ends the process then.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def _room_in_obs(file: h5py.File, n: int) -> dict[str, Callable[[NDArray[Any]], None]]:
    """Add the columns of `QUALITY_DTYPES` to obs, and touch no other; returns what fills each of them."""
    import h5py

    obs = file["obs"]
    if not hasattr(obs, "keys"):
        return _room_in_records(file, n)
    order = [name.decode() if isinstance(name, bytes) else str(name) for name in obs.attrs["column-order"]]
    for name, dtype in QUALITY_DTYPES.items():
        if name in obs:
            del obs[name]
        obs.create_dataset(name, shape=(n,), dtype=dtype).attrs.update(ARRAY)
    everything = [*order, *(name for name in QUALITY_DTYPES if name not in order)]
    obs.attrs["column-order"] = np.array(everything, h5py.string_dtype())
    return {name: partial(obs[name].__setitem__, ...) for name in QUALITY_DTYPES}


def _room_in_records(file: h5py.File, n: int) -> dict[str, Callable[[NDArray[Any]], None]]:
    """The same for anndata before 0.7: obs is one dataset of records, a field for each column."""
    old = file["obs"]
    records, attributes = old[()], dict(old.attrs)
    names = [name for name in records.dtype.names if name not in QUALITY_DTYPES]
    kinds = {name: records.dtype[name] for name in names} | QUALITY_DTYPES
    table = np.zeros(n, np.dtype({"names": list(kinds), "formats": list(kinds.values())}))
    for name in names:
        table[name] = records[name]
    del file["obs"]
    new = file.create_dataset("obs", data=table)
    new.attrs.update(attributes)

    def fill(name: str, values: NDArray[Any]) -> None:
        table[name] = values
        new[...] = table

    return {name: partial(fill, name) for name in QUALITY_DTYPES}


def _group(file: h5py.File, name: str) -> h5py.Group:
    """Group of matrices; anndata before 0.7 has one dataset of records instead."""
    if name not in file or hasattr(file[name], "keys"):
        return file.require_group(name)
    records = file[name][()]
    del file[name]
    group = file.create_group(name)
    for field in records.dtype.names or ():
        group[field] = records[field]
    return group


@contextmanager
def create_h5ad(
    path: str | Path,
    *,
    n_cells: int,
    dim: int,
    dtype: DTypeLike = np.float32,
    copy_of: str | Path | None = None,
    overwrite: bool = False,
) -> Iterator[H5adOutput]:
    """Create an h5ad of embedded rows; it gets its name when the block ends well.

    Parameters
    ----------
    path
        Of the ``.h5ad``.
    n_cells, dim
        Shape of the vectors, ``[N, p]``.
    dtype
        float32 or float16.
    copy_of
        An h5ad whose content the output gets too, as it is there.
    overwrite
        Whether an output of this name is replaced.

    Raises
    ------
    OutputExistsError
        It exists, and is not to be replaced.
    InputError
        `copy_of` is laid out in a way that nothing can be added to.
    WriteError
        The disk is full, or the folder may not be written to.
    """
    with staged_path(Path(path), replace=overwrite) as staging:
        output = H5adOutput(staging, n_cells, dim, dtype, None if copy_of is None else Path(copy_of))
        try:
            yield output
        finally:
            output.close()
