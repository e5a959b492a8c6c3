"""Ensembl ids of a data set's columns: those that it has, else those of the genes that its names mean."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells

__all__ = ["ColumnIds", "ensembl_ids"]

_ID = re.compile(r"ENS[A-Z]{0,4}G\d{11}(\.\d+)?")
#: Share of a column's values from which it holds ids.
_MOST = 0.5


@dataclass(frozen=True)
class ColumnIds:
    """Names of the columns of a matrix in another vocabulary.

    Attributes
    ----------
    ids
        ``[v]`` str, "" for none.
    route
        Where they are from.
    """

    ids: NDArray[np.object_]
    route: str


def ensembl_ids(cells: AlignedCells, wanted: Collection[str]) -> ColumnIds:
    """Find the Ensembl ids of the columns, version suffixes taken off.

    A column of ``var``, or its index, most of whose values are such ids, the one that genes were read from
    first. Where there is none, those of the ids that the lexicon has for the genes that the names mean which
    are `wanted`.
    """
    var = cells.source.var
    first = cells.alignment.column
    for name in dict.fromkeys((first, "index", *map(str, var.columns))):
        column = var.index.to_series() if name == "index" else var.get(name)
        if column is None or not (
            column.dtype == object or isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype)
        ):
            continue
        values = column.astype(object).where(column.notna(), "").astype(str)
        matched = values.str.fullmatch(_ID)
        if len(values) and matched.mean() > _MOST:
            ids = values.where(matched, "").str.partition(".")[0]
            return ColumnIds(
                ids.to_numpy(object), f"var[{name!r}]" if name != "index" else "names of columns"
            )
    rows = cells.alignment.rows
    listed = cells.lexicon.genes.column("ensembl_ids").to_pylist()
    known = np.asarray([next((one for one in ids or () if one in wanted), "") for ids in listed], object)
    return ColumnIds(np.where(rows >= 0, known[np.maximum(rows, 0)], ""), f"the lexicon {cells.lexicon.name}")
