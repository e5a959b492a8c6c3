"""The cells of a new AnnData-Zarr, written in windows in anndata's own encodings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from lexicell.errors import InputError

if TYPE_CHECKING:
    import zarr

__all__ = ["Cells", "check_columns", "write_obs"]

#: Rows of one chunk, whatever the column: a window of a table fills whole chunks of all its columns.
_CHUNK_ROWS = 1 << 16
_INDEX = "_index"
#: Bytes that file systems allow.
_LONGEST_NAME = 255

#: Writes the values of a column from a row on.
_Write = Callable[[int, Any], None]


class Cells(Protocol):
    """Cells with names and columns, as every `CountSource` has them."""

    @property
    def label(self) -> str:
        """What messages call them."""
        ...

    @property
    def n_cells(self) -> int:
        """How many there are."""
        ...

    def read_obs(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """See `CountSource.read_obs`."""
        ...


def check_columns(source: Cells, columns: Sequence[str], *, present: Sequence[str] = ()) -> None:
    """Check that `write_obs` will be able to write these columns, at the price of a few rows.

    Parameters
    ----------
    source, columns, present
        See `write_obs`.

    Raises
    ------
    InputError
        obs has no such column, or a column cannot be stored: for its name or for what it holds.
    CorruptDataError
        A column, or the names, cannot be read at their first or last row.
    """
    for number, name in enumerate(columns):
        if name in present or name in columns[:number]:
            why = "is written anyway" if name in present else "is requested twice"
            msg = f"{source.label}: obs column {name!r} {why}; leave it out"
            raise InputError(msg)
        if not _can_be_named(name):
            msg = f"{source.label}: obs column {name!r} has a name that cannot be stored; leave it out"
            raise InputError(msg)
    first = source.read_obs(columns, 0, min(source.n_cells, 1))
    source.read_obs(columns, source.n_cells - 1, source.n_cells)
    for name in columns:
        fault = _fault(first[name].dtype)
        if fault is not None:
            msg = f"{source.label}: obs column {name!r} holds {fault}, which cannot be stored; leave it out"
            raise InputError(msg)


def write_obs(
    root: zarr.Group,
    source: Cells,
    columns: Sequence[str],
    *,
    present: Sequence[str] = (),
    window: int = _CHUNK_ROWS,
) -> None:
    """Write names and columns of all cells into ``root["obs"]``, in bounded memory.

    Text that lacks nothing is a ``string-array``, whichever pandas is installed; every chunk ends with its
    crc32c, and the same input gives the same bytes. Nothing is compressed.

    Parameters
    ----------
    root
        Group of an AnnData-Zarr v3.
    source
        ``N`` cells.
    columns
        Columns of its obs to write. `check_columns` checks beforehand whether that will do.
    present
        Columns that ``root["obs"]`` has already, listed after `columns`.
    window
        Rows to read at once, rounded up to whole chunks.
    """
    check_columns(source, columns, present=present)
    obs, n = root.require_group("obs"), source.n_cells
    empty = source.read_obs(columns, 0, 0)
    writers = {name: _create(obs, name, empty[name].dtype, n) for name in columns}
    write_names = _create(obs, _INDEX, np.dtype(object), n)
    rows = -(-window // _CHUNK_ROWS) * _CHUNK_ROWS
    for start in range(0, n, rows):
        frame = source.read_obs(columns, start, min(start + rows, n))
        write_names(start, frame.index.to_numpy())
        for name, write in writers.items():
            write(start, frame[name].array)
    obs.attrs.update(
        {
            "encoding-type": "dataframe",
            "encoding-version": "0.2.0",
            "column-order": [*columns, *present],
            "_index": _INDEX,
        }
    )


def _can_be_named(name: str) -> bool:
    """Whether a name can be that of a folder, which a column becomes; to zarr a backslash is a slash."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    reserved = name in (".", "..", _INDEX, "zarr.json") or any(sign in name for sign in "/\\\0")
    return 0 < size <= _LONGEST_NAME and not reserved


def _fault(dtype: Any) -> str | None:
    """What is wrong with values of this type, if anything is."""
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        if categories.dtype == object and pd.api.types.infer_dtype(categories) not in ("string", "empty"):
            return "categories of mixed types"
        fault = _fault(categories.dtype)
        return None if fault is None else f"categories that are {fault}"
    plain = isinstance(dtype, np.dtype) and dtype.kind in "biufcO"
    storable = plain or isinstance(dtype, pd.StringDtype) or _is_masked(dtype)
    return None if storable else f"values of type {dtype}"


def _is_masked(dtype: Any) -> bool:
    return isinstance(dtype, pd.BooleanDtype) or (
        pd.api.types.is_extension_array_dtype(dtype)
        and pd.api.types.is_integer_dtype(dtype)
        and hasattr(dtype, "numpy_dtype")
    )


def _create(group: zarr.Group, name: str, dtype: Any, n: int) -> _Write:
    """Create a column of `n` values of a pandas type; returns what writes it."""
    if isinstance(dtype, pd.CategoricalDtype):
        part = _group(group, name, "categorical", "0.2.0", {"ordered": bool(dtype.ordered)})
        categories = dtype.categories
        # None of them is missing, so text is plain text.
        usual = isinstance(categories.dtype, pd.StringDtype) and categories.dtype.na_value is not pd.NA
        kind: Any = np.dtype(object) if usual else categories.dtype
        _create(part, "categories", kind, len(categories))(0, categories.array)
        codes = _array(part, "codes", pd.Categorical.from_codes([], dtype=dtype).codes.dtype, n)
        return lambda start, values: codes(start, values.codes)
    if isinstance(dtype, pd.StringDtype):
        missing = "NA" if dtype.na_value is pd.NA else "NaN"
        part = _group(group, name, "nullable-string-array", "0.1.0", {"na-value": missing})
        return _masked(part, np.dtype(object), n, lambda values: values.to_numpy(object, na_value=""))
    if _is_masked(dtype):
        encoding = "nullable-boolean" if isinstance(dtype, pd.BooleanDtype) else "nullable-integer"
        part = _group(group, name, encoding, "0.1.0", {})
        plain = dtype.numpy_dtype
        return _masked(part, plain, n, lambda values: values.to_numpy(plain, na_value=plain.type(0)))
    return _array(group, name, dtype, n)


def _masked(group: zarr.Group, dtype: np.dtype[Any], n: int, plain: Callable[[Any], Any]) -> _Write:
    values, mask = _array(group, "values", dtype, n), _array(group, "mask", np.dtype(bool), n)

    def write(start: int, column: Any) -> None:
        values(start, plain(column))
        mask(start, column.isna())

    return write


def _group(
    group: zarr.Group, name: str, kind: str, version: str, attributes: Mapping[str, Any]
) -> zarr.Group:
    encoding = {"encoding-type": kind, "encoding-version": version}
    return group.create_group(name, overwrite=True, attributes={**encoding, **attributes})


def _array(group: zarr.Group, name: str, dtype: np.dtype[Any], n: int) -> _Write:
    from zarr.codecs import Crc32cCodec

    text = dtype.kind == "O"
    array = group.create_array(
        name,
        shape=(n,),
        chunks=(max(1, min(n, _CHUNK_ROWS)),),
        dtype="string" if text else dtype,
        compressors=[Crc32cCodec()],
        attributes={"encoding-type": "string-array" if text else "array", "encoding-version": "0.2.0"},
        overwrite=True,
        # A chunk that is not there is lost, and never one of zeros.
        config={"write_empty_chunks": True},
    )

    def write(start: int, values: Any) -> None:
        array[start : start + len(values)] = np.asarray(values)

    return write
