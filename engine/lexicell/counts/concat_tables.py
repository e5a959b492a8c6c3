"""Tables of several data sets as one: which columns there are, of which type, and whose value is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["UnitedCells", "UnitedGenes", "gene_keys"]


def gene_keys(names: pd.Index[Any]) -> pd.Index[str]:
    """What tells the columns of a matrix apart: the name, and which of several of that name it is.

    Parameters
    ----------
    names
        ``[v]`` as stored, duplicates allowed.

    Returns
    -------
    ``[v]`` different strings; the first of each name is the name itself.
    """
    keys = np.array([str(name) for name in names], object)
    repeats = pd.Series(keys).groupby(keys).cumcount().to_numpy()
    for at in np.flatnonzero(repeats):
        keys[at] = f"{keys[at]}\0{repeats[at]}"
    index: pd.Index[str] = pd.Index(keys, dtype=object)
    return index


class UnitedGenes:
    """Columns of several matrices, in order of first appearance; a column is known by its `gene_keys`."""

    def __init__(self) -> None:
        self.keys: pd.Index[Any] = pd.Index([], dtype=object)
        self._names: list[NDArray[Any]] = []
        self._values: dict[str, NDArray[Any]] = {}
        self._types: dict[str, list[Any]] = {}

    def add(self, var: pd.DataFrame) -> NDArray[np.int32]:
        """Add the columns of one matrix.

        Parameters
        ----------
        var
            ``[v]`` columns as in AnnData. What is known of a gene from an earlier one stays.

        Returns
        -------
        ``[v]`` int32, where each of its columns is among all.
        """
        keys = gene_keys(var.index)
        place = self.keys.get_indexer(keys)
        new = place < 0
        if new.any():
            place[new] = len(self.keys) + np.arange(int(new.sum()))
            self.keys = self.keys.append(keys[new])
            self._names.append(var.index.to_numpy(object)[new])
        for name in map(str, var.columns):
            column = var[name]
            self._types.setdefault(name, []).append(column.dtype)
            values = self._values.get(name, np.empty(0, object))
            values = np.concatenate([values, np.full(len(self.keys) - len(values), None, object)])
            free = pd.isna(values[place]) & column.notna().to_numpy()
            values[place[free]] = column.to_numpy(object)[free]
            self._values[name] = values
        return place.astype(np.int32)

    def table(self) -> pd.DataFrame:
        """Everything that is known of all columns, index = their names as stored."""
        columns = {}
        for name, values in self._values.items():
            filled = np.concatenate([values, np.full(len(self.keys) - len(values), None, object)])
            gaps = bool(pd.isna(filled).any())
            dtype = united_dtype(self._types[name], gaps=gaps)
            if gaps and _is_text(dtype):
                dtype = pd.CategoricalDtype()  # the text with gaps that every version of anndata writes
            columns[name] = _as_type(pd.Series(filled, dtype=object), dtype)
        names = np.concatenate(self._names) if self._names else np.empty(0, object)
        table = pd.DataFrame(columns)
        table.index = pd.Index(names, dtype=object)
        return table


class UnitedCells:
    """Columns of several tables of cells, in order of first appearance, each of a type that holds all."""

    def __init__(self) -> None:
        self._found: dict[str, list[Any]] = {}
        self._tables = 0
        self.dtypes: dict[str, Any] = {}

    def add(self, empty: pd.DataFrame) -> None:
        """Add a table of which the types are known, categories included; rows are not looked at."""
        self._tables += 1
        for name in map(str, empty.columns):
            self._found.setdefault(name, []).append(empty[name].dtype)

    def settle(self) -> None:
        """Fix the types; nothing is added after this."""
        for name, dtypes in self._found.items():
            self.dtypes[name] = united_dtype(dtypes, gaps=len(dtypes) < self._tables)

    def mixed(self) -> list[str]:
        """Columns that became text because their kind is not the same everywhere."""
        return [
            name
            for name, dtypes in self._found.items()
            if _is_text(self.dtypes[name]) and not all(_is_text(dtype) for dtype in dtypes)
        ]

    def cast(self, table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns of some cells of one table, in the types that hold all."""
        cast = {}
        for name in columns:
            column = (
                table[name]
                if name in table
                else pd.Series(np.full(len(table), None, object), index=table.index, dtype=object)
            )
            cast[name] = _as_type(column, self.dtypes[name])
        return pd.DataFrame(cast, index=table.index)


def united_dtype(dtypes: Sequence[Any], *, gaps: bool) -> Any:
    """The type that holds the values of several columns.

    Parameters
    ----------
    dtypes
        Of the columns, categories included.
    gaps
        Whether some rows have no such column.

    Returns
    -------
    A categorical of all categories in order of appearance, where all are categorical (ordered only where all
    are the same); the common type of numbers or of booleans, one that can tell what is missing where there
    are gaps; else text, ``string`` where there are gaps or the kinds differ.
    """
    first = dtypes[0]
    if all(dtype == first for dtype in dtypes) and not gaps:
        return first
    if all(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes):
        return _united_categories(dtypes)
    if all(_is_text(dtype) for dtype in dtypes):
        return pd.StringDtype() if gaps else np.dtype(object)
    plain = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes]
    if all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in plain):
        common = np.result_type(*plain)
        nullable = gaps or any(not isinstance(dtype, np.dtype) for dtype in dtypes)
        if len({dtype.kind == "b" for dtype in plain}) == 1:
            return _NULLABLE.get(common.name, common) if nullable else common
    return pd.StringDtype()


#: The type of pandas that holds what a type of NumPy does, and gaps.
_NULLABLE: dict[str, Any] = {
    "bool": pd.BooleanDtype(),
    "int8": pd.Int8Dtype(),
    "int16": pd.Int16Dtype(),
    "int32": pd.Int32Dtype(),
    "int64": pd.Int64Dtype(),
    "uint8": pd.UInt8Dtype(),
    "uint16": pd.UInt16Dtype(),
    "uint32": pd.UInt32Dtype(),
    "uint64": pd.UInt64Dtype(),
}


def _united_categories(dtypes: Sequence[Any]) -> Any:
    if all(dtype == dtypes[0] for dtype in dtypes):
        return dtypes[0]
    kinds = {dtype.categories.inferred_type for dtype in dtypes if len(dtype.categories)}
    items = (item for dtype in dtypes for item in dtype.categories)
    categories = list(dict.fromkeys(items if len(kinds) < 2 else map(str, items)))
    return pd.CategoricalDtype(pd.Index(categories, dtype=None if categories else object))


def _is_text(dtype: Any) -> bool:
    return isinstance(dtype, pd.StringDtype) or bool(dtype == np.dtype(object))


def _as_type(column: pd.Series[Any], dtype: Any) -> pd.Series[Any]:
    categorical = isinstance(dtype, pd.CategoricalDtype) and isinstance(column.dtype, pd.CategoricalDtype)
    if categorical and not column.cat.categories.isin(dtype.categories).all():  # categories became text
        column = column.cat.rename_categories(str)
    return column.astype(dtype)
