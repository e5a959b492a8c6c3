"""Cells by their names, and labels, batches and groups in ``obs`` as text: by one rule for all verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding.events import Listener, Note
from lexicell.errors import InputError
from lexicell.projection import UNKNOWN

if TYPE_CHECKING:
    from lexicell.counts import CountSource

__all__ = ["as_text", "find_cell", "read_column", "read_labels"]


def find_cell(names: pd.Index[Any], cell: str) -> int:
    """Row of the one cell of that name.

    Raises
    ------
    InputError
        No cell, or more than one, is called so.
    """
    at = np.flatnonzero(as_text(pd.Series(names)) == str(cell))
    if len(at) != 1:
        what = f"{len(at):,} cells are called {cell!r}" if len(at) else f"no cell is called {cell!r}"
        msg = f"{what}; name one that occurs once"
        raise InputError(msg)
    return int(at[0])


def read_column(source: CountSource, name: str) -> NDArray[np.object_]:
    """Read one column of ``obs``, ``[N]`` str; "" where a cell has no value.

    Raises
    ------
    InputError
        There is no such column.
    """
    if name not in source.obs_columns:
        have = ", ".join(source.obs_columns) or "no columns at all"
        msg = f"{source.label}: obs has no column {name!r}; it has {have}"
        raise InputError(msg)
    return as_text(source.read_obs([name], 0, source.n_cells)[name])


def as_text(column: pd.Series[Any]) -> NDArray[np.object_]:
    """A column of any type as str, ``[N]``; "" where a cell has no value."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = as_text(pd.Series(column.cat.categories))
        return np.append(names, "").astype(object)[column.cat.codes.to_numpy()]
    values = column.to_numpy(object)
    text: NDArray[np.object_] = np.empty(len(values), object)
    # By Python: text of pandas 3 has to be Unicode, which objects need not be.
    text[:] = [_as_text(value) if there else "" for value, there in zip(values, column.notna(), strict=True)]
    return text


def _as_text(value: Any) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def read_labels(
    source: CountSource,
    name: str,
    listener: Listener,
    *,
    unlabelled: str = "left out",
    least: int = 2,
) -> NDArray[np.object_]:
    """Read the class of each cell.

    A cell has none where the column is empty or blank, and where it says "nan" or "unknown" (in any case),
    which is what `lexicell annotate` calls cells of no class.

    Parameters
    ----------
    source
        ``N`` cells.
    name
        Column of ``obs``; only this one is read.
    listener
        Is told how many cells have no class.
    unlabelled
        What becomes of them, for the sentence.
    least
        Classes that there must be.

    Returns
    -------
    numpy.ndarray
        ``[N]`` str, "" for no class.

    Raises
    ------
    InputError
        There is no such column, or it has fewer classes than asked for.
    """
    labels = read_column(source, name)
    codes, texts = pd.factorize(labels)  # few, where cells may be many
    names = np.array([text.strip() for text in texts], object)
    # What astype(str) makes of a missing label is no class either.
    is_unknown = np.array([text.lower() in {UNKNOWN, "nan"} for text in names], bool)
    called = " or ".join(map(repr, sorted({text.lower() for text in names[is_unknown]})))
    names[is_unknown] = ""
    labels, unknown = names[codes], is_unknown[codes]
    classes = sorted(set(labels.tolist()) - {""})
    if len(classes) < least:
        what = f"one class only ({classes[0]})" if classes else "no label at all"
        msg = f"{source.label}: obs[{name!r}] has {what}; name a column that tells classes apart"
        raise InputError(msg)
    if without := int((labels == "").sum()):
        some = f" ({int(unknown.sum()):,} of them are called {called})" if unknown.any() else ""
        listener(Note(f"{without:,} cells have no {name}{some}; they are {unlabelled}"))
    return labels
