"""An AnnData of counts put together of tables of cells, one after another: an h5ad, or a Zarr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.store import ANNDATA, ARRAY, KEY, PARTS, write_element

__all__ = ["write_anndata"]

#: Values of a chunk, and of a file of a Zarr.
_CHUNK, _FILE = 1 << 17, 1 << 22
#: Share of different values up to which text becomes categories.
_CATEGORIES = 0.5


def write_anndata(
    root: Any,
    tables: Iterable[pa.Table],
    var: pd.DataFrame,
    *,
    layers: Sequence[str],
    constant: Mapping[str, str],
) -> None:
    """Write counts, cells and genes to a new file.

    Parameters
    ----------
    root
        Opened h5ad, or group of a Zarr.
    tables
        What `ColumnEncoder` makes, beside ``cell_id`` and columns of ``obs``; read once.
    var
        ``[m]`` genes.
    layers
        Names of layers that are ``X`` once more: a link in an h5ad, a copy in a Zarr.
    constant
        Columns of ``obs`` that have one value.
    """
    import h5py

    linked = isinstance(root, h5py.File)
    root.attrs.update(ANNDATA)
    for part in PARTS:
        write_element(root, part, {})
    places = ["X"] if linked else ["X", *(f"layers/{name}" for name in layers)]
    matrices = [_Matrix(root, place) for place in places]
    vectors: _Growing | None = None
    cells: list[pa.Table] = []
    for table in tables:
        genes, values = (table.column(name).combine_chunks() for name in ("genes", "values"))
        sizes = np.diff(np.asarray(genes.offsets))
        for matrix in matrices:
            matrix.append(genes.values.to_numpy(), values.values.to_numpy(), sizes)
        if "embedding" in table.column_names:
            rows = table.column("embedding").combine_chunks()
            dense = rows.flatten().to_numpy().reshape(len(rows), -1)
            vectors = vectors or _Growing(root["obsm"], KEY, np.dtype(np.float32), dense.shape[1])
            vectors.append(dense)
        lists = ("row", "genes", "values", "embedding", "n_inexact", "n_genes")
        cells.append(table.drop_columns([name for name in lists if name in table.column_names]))
    for matrix in matrices:
        matrix.finish(len(var))
    if vectors is not None:
        vectors.finish()
    if linked:
        for name in layers:
            root[f"layers/{name}"] = root["X"]
    write_element(root, "obs", _obs(pa.concat_tables(cells), constant))
    write_element(root, "var", var)


def _obs(cells: pa.Table, constant: Mapping[str, str]) -> pd.DataFrame:
    columns = {name: _column(cells.column(name)) for name in cells.column_names}
    obs = pd.DataFrame(columns).rename(columns={"n_total": "n_counts"}).set_index("cell_id")
    obs.index.name = None
    for name, column in obs.items():
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            few = column.nunique() <= max(1, _CATEGORIES * len(column))
            obs[name] = column.astype("category") if few or column.isna().any() else column.astype(object)
    for name, value in constant.items():
        obs[name] = pd.Categorical.from_codes(np.zeros(len(obs), np.int8), categories=pd.Index([value]))
    return obs


def _column(column: pa.ChunkedArray) -> pd.Series[Any]:
    """A column as pandas has it; whole numbers of which some are missing stay whole."""
    exact = {
        pa.bool_(): pd.BooleanDtype(),
        **{getattr(pa, f"{kind}{bits}")(): getattr(pd, f"{name}{bits}Dtype")()
           for kind, name in (("int", "Int"), ("uint", "UInt")) for bits in (8, 16, 32, 64)},
    }  # fmt: skip
    made: pd.Series[Any] = column.to_pandas(types_mapper=exact.get if column.null_count else None)
    return made


class _Growing:
    """An array that gets rows, and is written in whole chunks: the same file however they come."""

    def __init__(self, group: Any, name: str, dtype: np.dtype[Any], width: int | None = None) -> None:
        import h5py

        rows, file = (
            (_CHUNK, _FILE) if width is None else (max(1, _CHUNK // width), max(1, _CHUNK // width) * 32)
        )
        tail = () if width is None else (width,)
        self._rows = file
        if isinstance(group, h5py.Group):
            self._array = group.create_dataset(
                name, shape=(0, *tail), maxshape=(None, *tail), chunks=(rows, *tail), dtype=dtype,
                compression="gzip", compression_opts=1, shuffle=True,
            )  # fmt: skip
        else:
            from zarr.codecs import BloscCodec, Crc32cCodec

            blosc = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=dtype.itemsize)
            self._array = group.create_array(
                name, shape=(0, *tail), chunks=(rows, *tail), shards=(file, *tail), dtype=dtype,
                compressors=[blosc, Crc32cCodec()],
            )  # fmt: skip
        self._array.attrs.update(ARRAY)
        self._waiting: list[NDArray[Any]] = []
        self._n = self._written = 0

    def append(self, rows: NDArray[Any]) -> None:
        self._waiting.append(rows)
        self._n += len(rows)
        if self._n - self._written >= self._rows:
            self._write((self._n - self._written) // self._rows * self._rows)

    def finish(self) -> None:
        if self._n > self._written:
            self._write(self._n - self._written)

    def _write(self, n: int) -> None:
        rows = np.concatenate(self._waiting)
        stop = self._written + n
        self._array.resize((stop, *self._array.shape[1:]))
        for start in range(0, n, self._rows):
            part = rows[start : min(start + self._rows, n)]
            self._array[self._written + start : self._written + start + len(part)] = part
        self._written, self._waiting = stop, [rows[n:]]


class _Matrix:
    """A CSR matrix that gets rows."""

    def __init__(self, root: Any, name: str) -> None:
        self._group = root.create_group(name)
        self._data = _Growing(self._group, "data", np.dtype(np.float32))
        self._indices = _Growing(self._group, "indices", np.dtype(np.int32))
        self._sizes: list[NDArray[np.int64]] = []

    def append(self, columns: NDArray[np.int32], values: NDArray[np.float32], sizes: NDArray[Any]) -> None:
        self._data.append(values)
        self._indices.append(columns)
        self._sizes.append(sizes.astype(np.int64))

    def finish(self, n_columns: int) -> None:
        self._data.finish()
        self._indices.finish()
        indptr = np.concatenate([[0], np.cumsum(np.concatenate([*self._sizes, np.zeros(0, np.int64)]))])
        write_element(self._group, "indptr", indptr)
        self._group.attrs.update({
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": [len(indptr) - 1, n_columns],
        })  # fmt: skip
