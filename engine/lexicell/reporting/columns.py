"""Columns that cells can be coloured by: names or numbers, of any type that a column of ``obs`` can have."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._files import read_cells
from lexicell._say import printable
from lexicell.embedding import Listener, Note
from lexicell.embedding.labels import as_text
from lexicell.errors import LexicellError
from lexicell.pl.style import colours
from lexicell.reporting.content import Categories, Numbers, Origin
from lexicell.reporting.opened import OpenedRun, match_names

__all__ = [
    "MOST_CATEGORIES",
    "OTHER",
    "categories_of",
    "column_of",
    "read_annotation",
    "read_obs_columns",
]

#: Categories of a column that are told apart.
MOST_CATEGORIES = 200
OTHER = "other"
#: A column of more names than half as many as there are cells holds ids, which no colour can tell apart.
_IDS = 0.5
#: Whole numbers up to which single precision has all.
_EXACT = 1 << 24
_DIGITS = re.compile(r"([0-9]+)")
#: Columns that `lexicell.embed` writes.
_QUALITY = "lexicell_"


def categories_of(
    name: str, column: pd.Series[Any], shown: NDArray[np.integer[Any]], origin: Origin, listener: Listener
) -> Categories:
    """Make a column of names.

    Parameters
    ----------
    name
        What it is called.
    column
        ``[N]`` of any type; what is missing or blank is none.
    shown
        ``[n]`` numbers of the cells that are shown, in their order.
    origin
        See `Categories`.
    listener
        Is told where there are more than 200 names.
    """
    codes, found = pd.factorize(as_text(column))  # few, where cells may be many
    names = np.array([printable(label).strip() for label in found], object)
    order = _order(column, names)
    renamed = {label: place for place, label in enumerate(order)}
    number = np.array([renamed.get(label, -1) for label in names], np.int64)
    codes = number[codes]
    totals = np.bincount(codes[codes >= 0], minlength=len(order))
    note = ""
    if len(order) > MOST_CATEGORIES:
        kept = np.sort(np.argsort(-totals, kind="stable")[:MOST_CATEGORIES])
        place = np.full(len(order), MOST_CATEGORIES)
        place[kept] = np.arange(MOST_CATEGORIES)
        codes = np.where(codes >= 0, place[codes], -1)
        other = OTHER if OTHER not in {order[i] for i in kept} else f"{OTHER} (rest)"
        note = (
            f"{name} has {len(order):,} categories: the {MOST_CATEGORIES} with most cells are told apart, "
            f'the rest is "{other}"'
        )
        listener(Note(note, serious=True))
        rest = int(totals.sum() - totals[kept].sum())
        order, totals = [*(order[i] for i in kept), other], np.append(totals[kept], rest)
    palette = colours(len(order))
    return Categories(
        printable(name),
        origin,
        tuple(order),
        codes[shown].astype(np.int16),
        tuple(totals.tolist()),
        tuple(palette),
        note,
    )


def column_of(
    name: str, column: pd.Series[Any], shown: NDArray[np.integer[Any]], origin: Origin, listener: Listener
) -> Categories | Numbers | None:
    """Make a column of names or of numbers; None for one of ids, which is told."""
    kind = column.dtype
    name = printable(name)
    if pd.api.types.is_bool_dtype(kind) or not pd.api.types.is_numeric_dtype(kind):
        n = len(pd.unique(as_text(column)))
        if n > MOST_CATEGORIES and n > _IDS * len(column):
            listener(Note(f"{name} has {n:,} values in {len(column):,} cells, so it is left out as a colour"))
            return None
        return categories_of(name, column, shown, origin, listener)
    if pd.api.types.is_complex_dtype(kind):
        listener(Note(f"{name} holds complex numbers, so it is left out as a colour"))
        return None
    values = column.iloc[np.asarray(shown)].to_numpy(np.float64, na_value=np.nan)
    infinite = int(np.isinf(values).sum())
    note = f"{infinite:,} values are infinite, and are shown as missing" if infinite else ""
    values = np.where(np.isinf(values), np.nan, values)
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)
    # What single precision would change in a digit that is shown: counts, times, ids.
    wide = np.isinf(small).any() or ((np.abs(values) > _EXACT) & (small != values)).any()
    return Numbers(name, origin, values if wide else small, note)


def read_obs_columns(
    run: OpenedRun,
    shown: NDArray[np.integer[Any]],
    asked: tuple[str, ...],
    listener: Listener,
    *,
    present: set[str],
    group: str | None,
) -> list[Categories | Numbers]:
    """Read columns of ``obs``, by default all and quality; what can't be read of these is told."""
    columns: list[Categories | Numbers] = []
    quality = tuple(name for name in run.columns if name.startswith(_QUALITY))
    for name in dict.fromkeys((*asked, *quality)) if asked else run.columns:
        if name == group:  # it is there already
            continue
        try:
            column = run.column(name)
        except LexicellError as error:
            if name in asked:
                raise
            listener(Note(f"{error}; it is left out as a colour", serious=True))
            continue
        origin: Origin = "quality" if name.startswith(_QUALITY) else "obs"
        made = column_of(name, column, shown, origin, listener)
        if made is not None and made.name in present:
            made = replace(made, name=f"{made.name} (obs)")
        if made is not None:
            columns.append(made)
    return columns


def read_annotation(path: Path, names: pd.Index[Any], label: str) -> pd.DataFrame:
    """Read what `lexicell annotate` wrote, in the order of the cells of a store.

    Parameters
    ----------
    path
        ``.csv`` or ``.parquet``.
    names
        ``[N]`` names of the cells.
    label
        What messages call the store.

    Returns
    -------
    pandas.DataFrame
        ``N`` rows: ``label``, ``confidence`` and ``second``, or whatever columns the table has.

    Raises
    ------
    InputError
        It is no such table, or one of other cells.
    """
    table = read_cells(path)
    others = f"{path} names other cells than {label} has"
    place = match_names(names, table.index, others, "annotate the cells of this run")
    return (table if place is None else table.iloc[place]).reset_index(drop=True)


def _order(column: pd.Series[Any], names: NDArray[np.object_]) -> list[str]:
    """Categories in the order that the column gives them, else sorted; blank ones are none."""
    there = set(names.tolist()) - {""}
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = [printable(str(name)).strip() for name in column.cat.categories]
        return list(dict.fromkeys(name for name in known if name in there))
    return sorted(there, key=_natural)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Digits as numbers, so that m2 comes before m10."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in _DIGITS.split(name)
    ]
