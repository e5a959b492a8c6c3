"""The tables that pictures are drawn of: in ``.uns`` of an AnnData, or attributes of an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lexicell._say import listed
from lexicell.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Explained", "HasPathways", "HasSimilarity", "chosen", "column_of", "table_of"]


class Explained(Protocol):
    """What says which genes make groups of cells what they are."""

    @property
    def genes(self) -> pd.DataFrame:
        """A line for each group and gene."""

    @property
    def groups(self) -> pd.DataFrame:
        """Score and bias of each group."""


class HasPathways(Protocol):
    """What says which gene sets make groups of cells what they are."""

    @property
    def pathways(self) -> pd.DataFrame:
        """A line for each group and gene set."""


class HasSimilarity(Protocol):
    """What says how alike groups of cells are."""

    @property
    def similarity(self) -> pd.DataFrame:
        """``[G, G]`` cosines."""


def table_of(
    found: Any, key: str, name: str, columns: Sequence[str], *, stored: str | None = None
) -> pd.DataFrame:
    """Return the table `name` of an object, or of ``uns[key]`` of an AnnData, where it is called `stored`.

    Raises
    ------
    InputError
        It is not there, has no line, or lacks one of `columns`; the message lists what there is.
    """
    stored = stored or name
    if isinstance(getattr(found, "uns", None), Mapping):  # an Explanation's is a method
        if key not in found.uns:
            msg = f"uns has no {key!r}; explain the cells first, or give the key (there: {_names(found.uns)})"
            raise InputError(msg)
        content = found.uns[key]
        table = content.get(stored) if hasattr(content, "get") else None
        where, there = f"uns[{key!r}]", _names(content) if hasattr(content, "get") else type(content).__name__
    else:
        table, stored, where = getattr(found, name, None), name, type(found).__name__
        there = listed(of for of in dir(found) if not of.startswith("_"))
    if table is None:
        msg = f"{where} has no table {stored!r} to draw (there: {there})"
        raise InputError(msg)
    missing = [column for column in columns if column not in table]
    if missing or not len(table):
        what = f"has no column {missing[0]!r}" if missing else "has no line"
        msg = f"{where}: the table {stored!r} {what} (there: {_names(table)})"
        raise InputError(msg)
    return table  # type: ignore[no-any-return]


def chosen(groups: str | Sequence[str] | None, there: Sequence[str]) -> list[str]:
    """Return the groups that were asked for, or all of them.

    Raises
    ------
    InputError
        One of them is not there; the message lists those that are.
    """
    if groups is None:
        return list(there)
    asked = [groups] if isinstance(groups, str) else [str(group) for group in groups]
    unknown = [group for group in asked if group not in there]
    if unknown or not asked:
        what = f"there is no group {unknown[0]!r}" if unknown else "groups is empty"
        msg = f"{what}; the groups are {listed(there)}"
        raise InputError(msg)
    return asked


def column_of(adata: Any, name: str) -> pd.Series[Any]:
    """Return a column of obs.

    Raises
    ------
    InputError
        It is not there; the message lists those that are.
    """
    if name not in adata.obs:
        msg = f"obs has no column {name!r} (there: {_names(adata.obs)})"
        raise InputError(msg)
    return adata.obs[name]  # type: ignore[no-any-return]


def _names(of: Any) -> str:
    return listed(map(str, of)) or "nothing"
