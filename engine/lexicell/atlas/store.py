"""EmbeddingStore: where embedded rows go, in order, completely or not at all."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lexicell._files import staged_path
from lexicell.errors import InputError, OutputExistsError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EmbeddingStore", "check_output", "create_store"]

#: Where the vectors lie in ``obsm``.
KEY = "X_lexicell"
#: Bytes of one chunk of the vectors. The kernel makes about this much at once, and it is small enough that
#: reading a few cells of a store reads little.
_CHUNK_BYTES = 4 << 20
_ARRAY: dict[str, Any] = {"encoding-type": "array", "encoding-version": "0.2.0"}
_PARTS = ("obsm", "varm", "obsp", "varp", "layers", "uns")


class EmbeddingStore(ABC):
    """Rows of an embedding being written, first to last.

    Made by `create_store`; what is written lies beside the target until `create_store` ends well.
    """

    def __init__(self, n_cells: int, dim: int, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._n_cells = n_cells
        self._chunk = np.empty((self.chunk_rows(n_cells, dim, self._dtype), dim), self._dtype)
        self._filled = 0
        self._written = 0

    @staticmethod
    def chunk_rows(n_cells: int, dim: int, dtype: DTypeLike) -> int:
        """Rows of one chunk: a power of two of about 4 MiB, less for fewer cells."""
        rows = _CHUNK_BYTES // (dim * np.dtype(dtype).itemsize)
        return max(1, min(1 << max(0, rows.bit_length() - 1), n_cells))

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
        self._flush()
        if self._written != self._n_cells:
            msg = f"{self._written} of {self._n_cells} rows were appended"
            raise ValueError(msg)
        self._describe(obs, dict(uns))

    def _flush(self) -> None:
        if self._filled:
            self._write(self._written, self._chunk[: self._filled])
            self._written += self._filled
            self._filled = 0

    @abstractmethod
    def _write(self, start: int, rows: NDArray[Any]) -> None: ...

    @abstractmethod
    def _describe(self, obs: pd.DataFrame, uns: dict[str, Any]) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Release the files; called before they get their final name."""


class _ZarrStore(EmbeddingStore):
    """A new AnnData-Zarr v3 without X."""

    def __init__(self, path: Path, n_cells: int, dim: int, dtype: DTypeLike) -> None:
        super().__init__(n_cells, dim, dtype)
        import zarr
        from zarr.codecs import Crc32cCodec

        self._root = zarr.open_group(path, mode="w", zarr_format=3)
        _write_skeleton(self._root)
        # Vectors of floats hardly compress; the checksum is there because nothing else in a chunk would
        # tell a flipped bit.
        self._vectors = self._root.create_array(
            f"obsm/{KEY}",
            shape=(n_cells, dim),
            chunks=self._chunk.shape,
            dtype=self._dtype,
            compressors=[Crc32cCodec()],
            attributes=_ARRAY,
        )

    def _write(self, start: int, rows: NDArray[Any]) -> None:
        self._vectors[start : start + len(rows)] = rows

    def _describe(self, obs: pd.DataFrame, uns: dict[str, Any]) -> None:
        _write_tables(self._root, obs, uns)

    def close(self) -> None:
        self._root.store.close()


class _H5adStore(EmbeddingStore):
    """An h5ad: a copy of the input where that is one, else a new file without X."""

    def __init__(self, path: Path, n_cells: int, dim: int, dtype: DTypeLike, copy_of: Path | None) -> None:
        super().__init__(n_cells, dim, dtype)
        import h5py

        self._copied = copy_of is not None
        if copy_of is not None:
            shutil.copyfile(copy_of, path)
        self._file = h5py.File(path, "r+" if self._copied else "w")
        if not self._copied:
            _write_skeleton(self._file)
        obsm = self._file.require_group("obsm")
        if KEY in obsm:
            del obsm[KEY]
        self._vectors = obsm.create_dataset(
            KEY, shape=(n_cells, dim), dtype=self._dtype, chunks=self._chunk.shape
        )
        self._vectors.attrs.update(_ARRAY)

    def _write(self, start: int, rows: NDArray[Any]) -> None:
        self._vectors[start : start + len(rows)] = rows

    def _describe(self, obs: pd.DataFrame, uns: dict[str, Any]) -> None:
        if not self._copied:
            _write_tables(self._file, obs, uns)
            return
        from anndata.io import read_elem

        full = read_elem(self._file["obs"])
        for column in obs:
            full[column] = obs[column].array  # a category stays one
        _write_elem(self._file, "obs", full)
        self._file.require_group("uns")
        _write_elem(self._file["uns"], "lexicell", uns)

    def close(self) -> None:
        self._file.close()


def check_output(path: str | Path, *, overwrite: bool, data: Any = None) -> Path:
    """Check that an output of this name can be written.

    Parameters
    ----------
    path
        Of the output.
    overwrite
        Whether it may exist.
    data
        Where the counts are from, a path or an AnnData: never replaced by something without counts.

    Raises
    ------
    InputError
        It ends neither in ``.zarr`` nor in ``.h5ad``, or it would take the place of the input.
    OutputExistsError
        It exists, and is not to be replaced or nothing that `create_store` writes.
    """
    path = Path(path)
    if path.suffix not in {".zarr", ".h5ad"}:
        msg = f"{path}: the output is a .zarr or an .h5ad; give it one of these endings"
        raise InputError(msg)
    if _would_lose(path, data):
        msg = f"{path} is the input, or holds it, and the output has no counts; choose another name"
        raise InputError(msg)
    if path.exists():
        if not overwrite:
            msg = f"{path} exists; choose another name or overwrite it (--overwrite)"
            raise OutputExistsError(msg)
        ours = path if path.suffix == ".h5ad" else path / "uns" / "lexicell" / "zarr.json"
        if not ours.is_file():
            msg = f"{path} was not written by lexicell, so it is not replaced; choose another name"
            raise OutputExistsError(msg)
    return path


def _would_lose(path: Path, data: Any) -> bool:
    """Whether an output at `path` would replace its own input. A copied h5ad keeps all that is in it."""
    is_path = isinstance(data, (str, Path))
    given = data if is_path else getattr(data, "filename", None)
    if given is None:
        return False
    source, target = Path(given).resolve(), path.resolve()
    if is_path and source == target and source.suffix == path.suffix == ".h5ad":
        return False
    return target in (source, *source.parents) or source in target.parents


@contextmanager
def create_store(
    path: str | Path,
    *,
    n_cells: int,
    dim: int,
    dtype: DTypeLike = np.float32,
    copy_of: str | Path | None = None,
    overwrite: bool = False,
) -> Iterator[EmbeddingStore]:
    """Create the output of a run; it gets its name when the block ends well.

    Parameters
    ----------
    path
        ``.zarr`` (AnnData-Zarr v3) or ``.h5ad``.
    n_cells, dim
        Shape of the vectors, ``[N, p]``.
    dtype
        float32 or float16.
    copy_of
        An h5ad whose content the output gets too, if it is an h5ad itself.
    overwrite
        Whether an output of this name is replaced.

    Raises
    ------
    InputError, OutputExistsError
        See `check_output`.
    WriteError
        The disk is full, or the folder may not be written to.
    """
    target = check_output(path, overwrite=overwrite)
    with staged_path(target, replace=overwrite) as staging:
        store: EmbeddingStore
        if target.suffix == ".zarr":
            store = _ZarrStore(staging, n_cells, dim, dtype)
        else:
            source = None if copy_of is None else Path(copy_of)
            store = _H5adStore(staging, n_cells, dim, dtype, source)
        try:
            yield store
        finally:
            store.close()


def _write_elem(group: Any, name: str, value: Any) -> None:
    """Write as anndata does, in plain chunks: whether to shard is for the vectors to decide, not for obs."""
    import anndata

    with anndata.settings.override(auto_shard_zarr_v3=False):
        anndata.io.write_elem(group, name, value)


def _write_skeleton(root: Any) -> None:
    """Write an AnnData without cells' and genes' tables."""
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for part in _PARTS:
        _write_elem(root, part, {})


def _write_tables(root: Any, obs: pd.DataFrame, uns: dict[str, Any]) -> None:
    import pandas as pd

    _write_elem(root, "obs", obs)
    _write_elem(root, "var", pd.DataFrame(index=pd.Index([], dtype="object")))
    _write_elem(root["uns"], "lexicell", uns)
