"""An h5ad with embedded rows: written first row to last, completely or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lexicell._files import staged_path
from lexicell._trace import stage
from lexicell.atlas.store._anndata import ANNDATA, ARRAY, KEY, PARTS, write_element
from lexicell.atlas.store._layout import chunk_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["H5adOutput", "create_h5ad"]


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
        self._file = h5py.File(path, "r+" if self._copied else "w")
        if not self._copied:
            self._file.attrs.update(ANNDATA)
            for part in PARTS:
                write_element(self._file, part, {})
        obsm = self._file.require_group("obsm")
        if KEY in obsm:
            del obsm[KEY]
        self._vectors = obsm.create_dataset(
            KEY, shape=(n_cells, dim), dtype=self._chunk.dtype, chunks=self._chunk.shape
        )
        self._vectors.attrs.update(ARRAY)

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
            One row per cell, in order.
        uns
            Goes to ``uns["lexicell"]``.

        Raises
        ------
        ValueError
            Not every row has been appended.
        """
        import pandas as pd
        from anndata.io import read_elem

        self._flush()
        if self._written != self._n_cells:
            msg = f"{self._written} of {self._n_cells} rows were appended"
            raise ValueError(msg)
        if self._copied:
            full = read_elem(self._file["obs"])
            for column in obs:
                full[column] = obs[column].array  # a category stays one
            write_element(self._file, "obs", full)
        else:
            write_element(self._file, "obs", obs)
            write_element(self._file, "var", pd.DataFrame(index=pd.Index([], dtype="object")))
        write_element(self._file.require_group("uns"), "lexicell", dict(uns))

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
        An h5ad whose content the output gets too.
    overwrite
        Whether an output of this name is replaced.

    Raises
    ------
    OutputExistsError
        It exists, and is not to be replaced.
    WriteError
        The disk is full, or the folder may not be written to.
    """
    with staged_path(Path(path), replace=overwrite) as staging:
        output = H5adOutput(staging, n_cells, dim, dtype, None if copy_of is None else Path(copy_of))
        try:
            yield output
        finally:
            output.close()
