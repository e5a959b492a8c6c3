"""AnnData on disk: h5ad and AnnData-Zarr have the same groups, attributes and slicing."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lexicell.atlas._blocks import Where, reading
from lexicell.atlas._rows import CsrRows, MatrixRows, RowsSource
from lexicell.atlas._slabs import DenseRows
from lexicell.atlas._spool import csc_rows
from lexicell.errors import CorruptDataError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["choose_part", "open_stored", "stored_rows"]


def choose_part(label: str, layers: list[str], layer: str | None, *, has_raw: bool, use_raw: bool) -> str:
    """Name the matrix that is asked for ("X", ".raw" or a layer), or raise InputError where there is none."""
    if use_raw and layer is not None:
        msg = f"{label}: a layer and .raw exclude each other; give one of --layer and --use-raw"
        raise InputError(msg)
    if use_raw and not has_raw:
        msg = f"{label}: there is no .raw; {_offer(layers)}"
        raise InputError(msg)
    if layer is not None and layer not in layers:
        msg = f"{label}: there is no layer {layer!r}; {_offer(layers)}"
        raise InputError(msg)
    return ".raw" if use_raw else "X" if layer is None else f"layer {layer!r}"


def open_stored(
    root: Any, label: str, *, layer: str | None, use_raw: bool, on_close: Callable[[], None] | None = None
) -> RowsSource:
    """Open a matrix of a stored AnnData.

    Parameters
    ----------
    root
        ``h5py.File`` or ``zarr.Group``.
    label
        For messages.
    layer, use_raw
        See `lexicell.atlas.open_counts`.
    on_close
        Closes `root`.
    """
    with reading(Where(label, "the table of contents")):
        layers = sorted(root["layers"].keys()) if "layers" in root else []
        raw = next((prefix for prefix in ("raw/", "raw.") if prefix + "X" in root), None)
        has_x = "X" in root and _attribute(root["X"], "encoding-type") != "null"
        hint = "uns" in root and "log1p" in root["uns"]
    what = choose_part(label, layers, layer, has_raw=raw is not None, use_raw=use_raw)
    if layer is not None:
        matrix, columns = f"layers/{layer}", "var"
    elif use_raw:
        matrix, columns = f"{raw}X", f"{raw}var"
    else:
        matrix, columns = "X", "var"
        if not has_x:
            more = " or --use-raw" if raw is not None else ""
            msg = f"{label}: there is no X; {_offer(layers)}{more}"
            raise InputError(msg)
    where = Where(label, what)
    with reading(where):
        element = root[matrix]
    rows = stored_rows(element, where)
    tables = []
    for name in ("obs", columns):
        with reading(Where(label, name)):
            tables.append(_table(root, name, label))
    return RowsSource(
        rows,
        tables[0],
        tables[1],
        log1p_hint=hint and what == "X",
        layers=layers,
        has_raw=raw is not None,
        on_close=[] if on_close is None else [on_close],
    )


def stored_rows(element: Any, where: Where) -> MatrixRows:
    """Reader of one stored matrix.

    Parameters
    ----------
    element
        Group of a sparse matrix or a 2-d array, of h5py or zarr.
    where
        For messages.
    """
    with reading(where):
        if not hasattr(element, "keys"):
            return DenseRows(element, where)
        # anndata before 0.7 used the names of the h5sparse package.
        kind = str(_attribute(element, "encoding-type") or _attribute(element, "h5sparse_format") or "")
        kind = kind.removesuffix("_matrix")
        if kind not in ("csr", "csc"):
            msg = f"{where} is stored as {kind or 'a group'}, not as CSR, CSC or dense; choose another layer"
            raise InputError(msg)
        shape = _attribute(element, "shape")
        shape = _attribute(element, "h5sparse_shape") if shape is None else shape
        n, v = (int(side) for side in shape)
        data, indices, indptr = element["data"], element["indices"], element["indptr"]
        lacking = any(_lacks_chunks(array) for array in (data, indices))
    if kind == "csr":
        return CsrRows(data, indices, indptr, (n, v), where, may_lack_chunks=lacking)
    return csc_rows(data, indices, indptr, (n, v), where)


def _offer(layers: list[str]) -> str:
    if not layers:
        return "it has no layers"
    return f"choose one of its layers with --layer: {', '.join(layers)}"


def _attribute(element: Any, name: str) -> Any:
    value = element.attrs.get(name)
    return value.decode() if isinstance(value, bytes) else value


def _lacks_chunks(array: Any) -> bool:
    """Whether a Zarr array has fewer chunks in the store than it should; they would read as zeros."""
    initialised = getattr(array, "nchunks_initialized", None)
    return initialised is not None and bool(initialised < array.nchunks)


def _table(root: Any, name: str, label: str) -> pd.DataFrame:
    from anndata.io import read_elem

    element = root[name]
    if not hasattr(element, "keys"):
        return _legacy_table(root, element[()], name)
    with warnings.catch_warnings():
        # Reading old files is the purpose; the advice to rewrite them is not the reader's to act on.
        warnings.filterwarnings("ignore", message=".*was written with a very old version of AnnData")
        table = read_elem(element)
    if not isinstance(table, pd.DataFrame):
        msg = f"{label}: {name} is not a table; the file is damaged, write it again with anndata"
        raise CorruptDataError(msg)
    return table


def _legacy_table(root: Any, records: Any, name: str) -> pd.DataFrame:
    """Table of anndata before 0.7: a compound dataset, its categories in ``uns``."""
    fields = list(records.dtype.names)
    table = pd.DataFrame(
        {field: _text(records[field]) for field in fields[1:]}, index=_text(records[fields[0]])
    )
    if name == "obs" and "uns" in root:
        for field in fields[1:]:
            key = f"uns/{field}_categories"
            if key in root and table[field].dtype.kind in "iu":
                categories = _text(np.atleast_1d(root[key][()]))
                table[field] = pd.Categorical.from_codes(table[field].to_numpy(), categories)
    return table


def _text(column: Any) -> Any:
    if column.dtype.kind == "S":
        return np.char.decode(column, "utf-8").astype(object)
    if column.dtype.kind == "O":
        return np.array([item.decode() if isinstance(item, bytes) else item for item in column], object)
    return column
