"""Tables of cells, read in windows: in memory, or stored as anndata does in HDF5 and Zarr.

Only the requested parts are read, so a table may be far larger than memory. Categories are the exception: a
categorical column has all of its own in every window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lexicell.containers.faults import Where, is_unknown, reading
from lexicell.counts.elements import attribute, nullable_text, read_element
from lexicell.counts.zarr_reader import check_declared, lacks_chunks
from lexicell.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FrameTable",
    "NamesTable",
    "StoredTable",
    "Table",
    "open_table",
    "read_table",
]

#: Rows ``start:stop`` of a column as an array that pandas takes.
Column = Callable[[int, int], Any]

#: Text comes as ``object``, which says that no value is missing, whatever pandas' own default is.
_TEXT = np.dtype(object)
#: Rows of a column that are looked at together.
_LOOK_ROWS = 1 << 20
_MASKED: dict[str, Callable[[Any, Any], Any]] = {
    "nullable-integer": pd.arrays.IntegerArray,
    "nullable-boolean": pd.arrays.BooleanArray,
}


class Table(ABC):
    """The cells of a data set. See `CountSource` for `names` and `read`.

    Parameters
    ----------
    columns
        Their names, in order.
    label
        What messages call the data set.
    """

    def __init__(self, columns: Sequence[str], label: str) -> None:
        self.columns = tuple(columns)
        self.label = label
        self._opened: dict[str, Column] = {}

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def names(self, start: int, stop: int) -> pd.Index[Any]:
        """See `CountSource.names`."""

    @abstractmethod
    def open(self, name: str) -> Column:
        """Open the column `name`, which exists."""

    def whole(self) -> pd.DataFrame:
        """All rows and columns."""
        return self.read(self.columns, 0, len(self))

    def read(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """See `CountSource.read_obs`."""
        index = self.names(start, stop)
        series = {}
        for name in columns:
            with reading(self._where(name).rows(start, stop)):
                values = self._column(name)(start, stop)
                # A plain object array would become what pandas makes of the values it happens to see.
                dtype = _TEXT if values.dtype == _TEXT else None
                series[name] = pd.Series(values, index=index, dtype=dtype, copy=False)
        return pd.DataFrame(series, index=index, columns=list(columns))

    def _where(self, name: str) -> Where:
        return Where(self.label, f"obs column {name!r}")

    def _column(self, name: str) -> Column:
        if name not in self._opened:
            if name not in self.columns:
                have = ", ".join(self.columns) or "none"
                msg = f"{self.label}: obs has no column {name!r}; it has {have}"
                raise InputError(msg)
            self._opened[name] = self.open(name)
        return self._opened[name]


class FrameTable(Table):
    """A table that is in memory.

    Parameters
    ----------
    frame
        One row per cell.
    label
        See `Table`.
    """

    def __init__(self, frame: pd.DataFrame, label: str) -> None:
        super().__init__([str(name) for name in frame.columns], label)
        self._frame = frame

    def __len__(self) -> int:
        return len(self._frame)

    def names(self, start: int, stop: int) -> pd.Index[Any]:
        """See `CountSource.names`."""
        return _as_names(self._frame.index[start:stop])

    def open(self, name: str) -> Column:
        """Column of the frame, where its values can be stored."""
        if self.columns.count(name) > 1:
            msg = f"{self.label}: several columns of obs are called {name!r}; rename all but one"
            raise InputError(msg)
        return _held(self._frame.iloc[:, self.columns.index(name)], self._where(name))

    def whole(self) -> pd.DataFrame:
        """Return the frame itself."""
        return self._frame


class NamesTable(Table):
    """Cells that have names only, stored as one array.

    Parameters
    ----------
    names
        ``[n]``, of h5py or zarr.
    label, columns
        See `Table`.
    """

    def __init__(self, names: Any, label: str, columns: Sequence[str] = ()) -> None:
        super().__init__(columns, label)
        self._names_where = Where(label, "the cell names")
        with reading(self._names_where):
            array = names
            if hasattr(names, "keys"):
                array = names["codes" if "codes" in names else "values"]
            check_declared(array)
            self._n = int(array.shape[0])
            self._names = _stored(names, self._names_where, self._n)
            self._may_lack_names = lacks_chunks(array)

    def __len__(self) -> int:
        return self._n

    def names(self, start: int, stop: int) -> pd.Index[Any]:
        """See `CountSource.names`."""
        part = self._names_where.rows(start, stop)
        with reading(part):
            names = _as_names(self._names(start, stop))
        if self._may_lack_names and "" in names:
            fault = "lie in a chunk that the store lacks"
            raise part.corrupt(fault)
        return names

    def open(self, name: str) -> Column:
        """No column is ever requested."""
        raise KeyError(name)


class StoredTable(NamesTable):
    """A table as anndata stores it: a group with an array or a group for each column.

    Parameters
    ----------
    root
        Group of h5py or zarr whose ``obs`` is in the encoding ``dataframe`` 0.2.0.
    label
        See `Table`.
    """

    def __init__(self, root: Any, label: str) -> None:
        with reading(Where(label, "obs")):
            group = root["obs"]
            # "." is the group itself and "" nothing, so no column can lie there.
            columns = [name for name in map(str, group.attrs["column-order"]) if name not in ("", ".")]
            names = group[attribute(group, "_index")]
        super().__init__(names, label, columns)
        self._root, self._group = root, group

    def open(self, name: str) -> Column:
        """Column of the group."""
        return _stored(self._group[name], self._where(name), len(self))

    def whole(self) -> pd.DataFrame:
        """Read as anndata does."""
        return read_table(self._root, "obs", self.label)


def open_table(root: Any, label: str) -> Table:
    """Open the cells of a stored AnnData; layouts of anndata before 0.8 are read at once."""
    with reading(Where(label, "obs")):
        group = root["obs"]
        streams = hasattr(group, "keys") and str(attribute(group, "encoding-version")) == "0.2.0"
    return StoredTable(root, label) if streams else FrameTable(read_table(root, "obs", label), label)


def read_table(root: Any, name: str, label: str) -> pd.DataFrame:
    """Read the table `name` of a stored AnnData whole, as anndata does.

    Columns of var that are stored in a way that is not known here are left out.
    """
    where = Where(label, name)
    with reading(where):
        element = root[name]
        if not hasattr(element, "keys"):
            return _legacy_table(root, element[()], name)
        try:
            table = read_element(element)
        except Exception as exc:
            if name == "obs" or not is_unknown(exc):
                raise
            table = _known_columns(element)
        if not isinstance(table, pd.DataFrame):
            fault = "is not a table"
            raise where.corrupt(fault)
        return table


def _known_columns(group: Any) -> pd.DataFrame:
    columns = {}
    for name in map(str, group.attrs["column-order"]):
        try:
            columns[name] = read_element(group[name])
        except Exception as exc:
            if not is_unknown(exc):
                raise
    return pd.DataFrame(columns, index=read_element(group[attribute(group, "_index")]))


def _as_names(values: Any) -> pd.Index[Any]:
    names = [name if type(name) is str else str(name) for name in values]
    index: pd.Index[Any] = pd.Index(np.array(names, object), dtype=_TEXT)
    return index


def _held(column: pd.Series[Any], where: Where) -> Column:
    """Column that is in memory. Text becomes what `CountSource.read_obs` promises."""
    if column.dtype == _TEXT:
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind not in ("string", "empty"):
            msg = f"{where} holds objects ({kind}) that cannot be stored; make it text, numbers or a category"
            raise InputError(msg)
        if column.hasnans:
            column = column.astype(pd.StringDtype())
    values: Any = column.to_numpy() if column.dtype == _TEXT else column.array
    return lambda start, stop: values[start:stop]


def _stored(element: Any, where: Where, n: int) -> Column:
    """Column of `n` rows in any encoding of anndata's; one that is not known here is read at once."""
    kind = attribute(element, "encoding-type")
    if not hasattr(element, "keys") and (element.dtype.kind in "biufcTU" or _is_text(element)):
        return _Pieces(element, where, n).read
    if kind == "categorical":
        codes = _Pieces(element["codes"], where, n)
        ordered = bool(attribute(element, "ordered"))
        dtype = pd.Categorical.from_codes([], read_element(element["categories"]), ordered=ordered).dtype
        _check_codes(codes, n, len(dtype.categories), where)
        return lambda start, stop: pd.Categorical.from_codes(codes.read(start, stop), dtype=dtype)
    if kind in _MASKED or kind == "nullable-string-array":
        values, mask = (_Pieces(element[part], where, n) for part in ("values", "mask"))
        make = _MASKED.get(kind) or nullable_text(element)
        return lambda start, stop: make(values.read(start, stop).copy(), mask.read(start, stop).copy())
    column = pd.Series(read_element(element))
    _check_length(len(column), n, where)
    return _held(column, where)


def _check_codes(codes: _Pieces, n: int, n_categories: int, where: Where) -> None:
    """Find a bad code when a column is opened: a writer comes to the last one after the work."""
    for start in range(0, n, _LOOK_ROWS):
        part = codes.read(start, min(start + _LOOK_ROWS, n))
        bad = np.flatnonzero((part < -1) | (part >= n_categories))
        if len(bad):
            row = start + int(bad[0])
            fault = f"has category {part[bad[0]]} in row {row}, and only {n_categories} categories"
            raise where.corrupt(fault)


class _Pieces:
    """One-dimensional array of h5py or zarr, read in whole chunks; text becomes objects.

    What was read last is kept: reading in order decodes each chunk once, whatever the windows. Several
    threads may read.
    """

    def __init__(self, array: Any, where: Where, n: int) -> None:
        if len(array.shape) != 1:
            fault = f"has {len(array.shape)} dimensions"
            raise where.corrupt(fault)
        _check_length(int(array.shape[0]), n, where)
        self._n, self._chunk = n, int((array.chunks or (1,))[0])
        self._open = _opener(array)
        self._kept: tuple[int, NDArray[Any]] | None = None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        low, cached = self._kept or (start, self._load(start, start))
        end = low + len(cached)
        if stop > end or start < low:
            if low <= start < end:
                low, cached = start, np.concatenate([cached[start - low :], self._load(end, stop)])
            else:
                low = start // self._chunk * self._chunk
                cached = self._load(low, stop)
            self._kept = low, cached
        values = cached[start - low : stop - low]
        if values.dtype.kind in "TU":
            return values.astype(object)
        return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        end = min(-(-stop // self._chunk) * self._chunk, self._n)
        return np.asarray(self._open()[start:end])


def _opener(array: Any) -> Callable[[], Any]:
    """How to get at `array`, slices of text being str.

    HDF5 keeps chunks of an open dataset, which for a table would come to megabytes a column; `_Pieces` keeps
    what is needed, so a dataset is opened for each read.
    """
    import h5py

    if not isinstance(array, h5py.Dataset):
        return lambda: array
    file, name, text = array.file, array.name, _is_text(array)
    return lambda: file[name].asstr() if text else file[name]


def _is_text(array: Any) -> bool:
    """Whether an array is one of HDF5's strings, of fixed or variable length."""
    import h5py

    return h5py.check_string_dtype(array.dtype) is not None


def _check_length(length: int, n: int, where: Where) -> None:
    if length != n:
        fault = f"has {length} entries for {n} cells"
        raise where.corrupt(fault)


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
