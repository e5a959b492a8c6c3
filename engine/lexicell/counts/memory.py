"""AnnData objects: in memory or on a GPU, backed by a file, views of either, and Dask arrays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lexicell.arrays import device_of, move, packages_of
from lexicell.containers.faults import Where, reading
from lexicell.counts.anndata import choose_part, other_parts, stated_base, stored_rows
from lexicell.counts.blocks import Array, check_value_dtype, keep_columns, new_places, to_block
from lexicell.counts.dataset import RowsSource
from lexicell.counts.dense import DenseRows, SlabRows
from lexicell.counts.device import device_rows
from lexicell.counts.modality import types_of_shared_names
from lexicell.counts.rows import CsrRows, MatrixRows, PickedRows
from lexicell.counts.tables import FrameTable
from lexicell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from lexicell_kernels.types import CsrBlock

__all__ = ["DaskRows", "check_writable", "chunk_block", "dask_counts", "open_anndata"]


def open_anndata(adata: AnnData, *, layer: str | None, use_raw: bool) -> RowsSource:
    """Open a matrix of an AnnData object; nothing is copied but CSC, which becomes CSR once."""
    # A view computes its matrix anew, and whole, at each access: read its parent's and pick.
    parent: Any = adata._adata_ref if adata.is_view else adata
    label = f"AnnData ({parent.filename})" if parent.isbacked else "AnnData"
    layers = sorted(name for name in parent.layers if name is not None)  # newer anndata: None is X
    part = choose_part(label, layers, layer, has_raw=parent.raw is not None, use_raw=use_raw)
    columns: Any = adata._vidx if adata.is_view and not use_raw else None
    var = types_of_shared_names(parent.raw.var, lambda: parent.var) if use_raw else adata.var
    matrix = _matrix(parent, layer, use_raw=use_raw)
    if matrix is None:
        msg = f"{label}: there is no X; choose a layer" + (f" ({', '.join(layers)})" if layers else "")
        raise InputError(msg)
    if adata.n_obs == 0 or len(var) == 0:
        size = f"{adata.n_obs} cells x {len(var)} genes"
        msg = f"{label}: {part} is empty ({size}); give a matrix with cells and genes"
        raise InputError(msg)
    rows = matrix_rows(matrix, Where(label, part))
    if adata.is_view:
        picked = _positions(adata._oidx, rows.n_cells), _positions(columns, rows.n_columns)
        if any(part is not None for part in picked):
            rows = PickedRows(rows, *picked)
    return RowsSource(
        rows,
        FrameTable(_table(adata.obs), label),
        _table(var),
        obsm=adata.obsm,
        log_base=stated_base(adata.uns) if part == "X" else None,
        layers=layers,
        has_raw=parent.raw is not None,
        others=other_parts(
            partial(open_anndata, adata),
            layers,
            has_x=parent.X is not None,
            has_raw=parent.raw is not None,
            layer=layer,
            use_raw=use_raw,
        ),
    )


def matrix_rows(matrix: Any, where: Where) -> MatrixRows:
    """Reader of any matrix that an AnnData can hold."""
    packages = packages_of(matrix)
    if "dask" in packages:
        return DaskRows(matrix, where)
    if device_of(matrix) == "cuda":
        return device_rows(matrix, where)
    if "anndata" in packages and hasattr(matrix, "group"):
        return stored_rows(matrix.group, where)
    if packages & {"h5py", "zarr"}:
        return stored_rows(matrix, where)
    if hasattr(matrix, "tocsr"):
        csr = matrix.tocsr()
        return CsrRows(csr.data, csr.indices, csr.indptr, csr.shape, where)
    if isinstance(matrix, np.ndarray):
        return DenseRows(np.asarray(matrix), where)
    msg = f"{where} is a {type(matrix).__name__}; give a NumPy, scipy sparse, CuPy, Dask or backed matrix"
    raise InputError(msg)


class DaskRows(SlabRows):
    """A Dask array, computed one row chunk at a time.

    Parameters
    ----------
    array
        ``[n, v]`` Dask array whose chunks are arrays of NumPy or CuPy, or sparse matrices of scipy or CuPy.
    where
        See `MatrixRows`.
    """

    def __init__(self, array: Any, where: Where) -> None:
        if any(np.isnan(size) for axis in array.chunks for size in axis):
            msg = f"{where} has chunks of unknown sizes; call its compute_chunk_sizes() first"
            raise InputError(msg)
        check_value_dtype(array.dtype, where)
        # An empty chunk holds no row to ask for.
        super().__init__(np.unique(np.cumsum([0, *array.chunks[0]])), array.shape, where)
        self._array = array.rechunk({1: -1})
        self._chunk_of = np.flatnonzero(np.array(array.chunks[0]))
        self.device = device_of(array._meta)

    def peek(self, max_cells: int) -> Iterator[tuple[int, int]]:
        """Look at the first chunk only: each further one may cost a whole computation."""
        yield 0, min(max_cells, int(self._edges[1]))

    def load(self, start: int, stop: int) -> CsrBlock:
        """Compute one row chunk."""
        row = int(self._chunk_of[np.searchsorted(self._edges, start, side="right") - 1])
        part = self.where.rows(start, stop)
        with reading(part):
            return move(to_block(self._array.blocks[row, 0].compute(), part), self.device)


def dask_counts(adata: AnnData, *, layer: str | None, use_raw: bool) -> Any | None:
    """Return the matrix that `open_anndata` reads if it is a Dask array, views of one included."""
    parent: Any = adata._adata_ref if adata.is_view else adata
    if "dask" not in packages_of(_matrix(parent, layer, use_raw=use_raw)):
        return None
    return _matrix(adata, layer, use_raw=use_raw)


def _matrix(adata: AnnData, layer: str | None, *, use_raw: bool) -> Any:
    if layer is not None:
        return adata.layers[layer]
    return adata.raw.X if use_raw else adata.X


def chunk_block(chunk: Any, label: str, start: int, stop: int, columns: Array | None = None) -> CsrBlock:
    """CSR block of a chunk of a Dask array, where it lies.

    Parameters
    ----------
    chunk
        ``[stop - start, v]``, dense or sparse, of NumPy and scipy or of CuPy.
    label, start, stop
        The data set and which of its rows these are, for messages.
    columns
        ``[kept]`` int64 columns that are read, in this order; None for all.

    Raises
    ------
    InputError, CorruptDataError
        The chunk is no CSR matrix of numbers.
    """
    block = to_block(chunk, Where(label, f"rows {start}:{stop}"))
    if columns is None:
        return block
    return keep_columns(block, new_places(columns, block.n_columns), len(columns))


def check_writable(adata: AnnData) -> None:
    """Raise InputError for a view of a backed AnnData, which anndata cannot write to."""
    if getattr(adata, "is_view", False) and adata.isbacked:
        label = f"AnnData ({adata._adata_ref.filename})"
        msg = (
            f"{label}: this is a view of a backed AnnData, which takes no results; call its to_memory() first"
        )
        raise InputError(msg)


def _positions(index: Any, n: int) -> Array | None:
    """Turn what a view keeps of an axis into positions, or None for all of it in order."""
    if index is None:
        return None
    if isinstance(index, slice):
        first, last, step = index.indices(n)
        return None if (first, last, step) == (0, n, 1) else np.arange(first, last, step)
    picked = np.asarray(index).reshape(-1)
    return np.flatnonzero(picked) if picked.dtype == bool else picked.astype(np.int64)


def _table(table: Any) -> pd.DataFrame:
    # Tables that were read lazily are xarray data sets; those of a view are a subclass that writes back.
    return pd.DataFrame(table if isinstance(table, pd.DataFrame) else table.to_memory())
