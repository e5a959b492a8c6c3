"""Ids and symbols of a data set's columns: those that it has, else those of the genes that its names mean."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells
from lexicell.embedding.labels import as_text

__all__ = ["ColumnIds", "ensembl_ids", "symbols_of"]

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


def ensembl_ids(cells: AlignedCells, wanted: Collection[str] | None = None) -> ColumnIds:
    """Find the Ensembl ids of the columns, version suffixes taken off.

    A column of ``var``, or its index, most of whose values are such ids, the one that genes were read from
    first. Where there is none, those of the ids that the lexicon has for the genes that the names mean which
    are `wanted`, by default the first.
    """
    for name in dict.fromkeys((cells.alignment.column, "index", *map(str, cells.source.var.columns))):
        values = _texts(cells, name)
        if _are_ids(values):
            ids = values.where(values.str.fullmatch(_ID), "").str.partition(".")[0]
            return ColumnIds(ids.to_numpy(object), _where(name))
    rows = cells.alignment.rows
    listed = cells.lexicon.genes.column("ensembl_ids").to_pylist()
    of_gene = [next((one for one in ids or () if wanted is None or one in wanted), "") for ids in listed]
    known = np.asarray(of_gene, object)
    return ColumnIds(np.where(rows >= 0, known[np.maximum(rows, 0)], ""), f"the lexicon {cells.lexicon.name}")


def symbols_of(cells: AlignedCells) -> ColumnIds:
    """Find the symbols of the columns, as the data set writes them.

    Of the columns of ``var`` that hold no Ensembl ids, the one that names most genes; where a column of the
    matrix has none there, that of the lexicon, and else its name.
    """
    rows, var = cells.alignment.rows, cells.source.var
    of_lexicon = np.asarray(cells.lexicon.genes.column("symbol").to_pylist(), object)
    fallback = np.where(rows >= 0, of_lexicon[np.maximum(rows, 0)], var.index.astype(str).to_numpy(object))
    found = {use.column: use.genes for use in cells.alignment.columns if use.genes}
    found.setdefault("index", 0)
    for name in sorted(found, key=lambda one: (-found[one], one != "index")):
        values = _texts(cells, name)
        if found[name] and len(values) and not _are_ids(values):
            own = values.to_numpy(object)
            return ColumnIds(np.where(own == "", fallback, own), _where(name))
    return ColumnIds(fallback, f"the lexicon {cells.lexicon.name}")


def _texts(cells: AlignedCells, name: str) -> pd.Series[Any]:
    """Values of a column of var, or of its index, as text; of one that has none, nothing."""
    var = cells.source.var
    column = var.index.to_series() if name == "index" else var.get(name)
    texts = pd.CategoricalDtype | pd.StringDtype
    if column is None or not (column.dtype == object or isinstance(column.dtype, texts)):
        return pd.Series([], dtype=object)
    values = pd.Series(as_text(column), column.index)
    assemblies = "|".join(map(re.escape, cells.alignment.genomes))
    return values.str.replace(rf"(?i)^(?:{assemblies})[_-]+", "", regex=True) if assemblies else values


def _are_ids(values: pd.Series[Any]) -> bool:
    return bool(len(values) and values.str.fullmatch(_ID).mean() > _MOST)


def _where(name: str) -> str:
    return "names of columns" if name == "index" else f"var[{name!r}]"
