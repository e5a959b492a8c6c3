"""Sentences on the genes that a data set measures, and the table of genes that speak for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon
from lexicell.words.descriptions import Description
from lexicell.words.naming import CALLED, called_up
from lexicell.words.retrieval import likeness_of

__all__ = ["gene_table", "listed_genes", "on_panel"]

#: Genes of the 200 most alike of a lexicon that a panel must measure for a sentence to be used, and below
#: which it is told.
_LEAST_MEASURED, _FEW_MEASURED = 3, 10
#: Genes that stand for a list of them.
_SHOWN = 5


def on_panel(
    cells: AlignedCells, descriptions: Sequence[Description], listener: Listener
) -> tuple[NDArray[np.float32], NDArray[np.float32], pd.DataFrame]:
    """Likenesses of ``S`` sentences and of the null to the ``m`` candidates of a data set.

    Parameters
    ----------
    cells
        The data set.
    descriptions
        The sentences.
    listener
        Is told of sentences that few measured genes speak for.

    Returns
    -------
    tuple
        ``[S, m]``, ``[B, m]``, and one row a sentence, index = name: ``sentence``, ``measured`` (of the 200
        genes of the lexicon that it is most like).

    Raises
    ------
    InputError
        Fewer than three of the genes that a sentence calls up are measured.
    """
    likeness, null = likeness_of(descriptions, cells.lexicon, listener)
    rows = cells.genes.rows
    measured = (called_up(likeness)[:, rows] > 0).sum(axis=1)
    for kind, n in zip(descriptions, measured.tolist(), strict=True):
        what = f"{cells.source.label} measures {n} of the {CALLED} genes that {kind.name!r} calls up"
        if n < _LEAST_MEASURED:
            msg = f"{what}; describe it otherwise, or leave it out"
            raise InputError(msg)
        if n < _FEW_MEASURED:
            listener(Note(f"{what}: little speaks for or against it", serious=True))
    names = pd.Index([kind.name for kind in descriptions], name="type")
    sentences = [kind.sentence for kind in descriptions]
    types = pd.DataFrame({"sentence": sentences, "measured": measured}, index=names)
    return likeness[:, rows], null[:, rows], types


def gene_table(
    lexicon: Lexicon,
    rows: NDArray[np.integer[Any]],
    names: pd.Index[Any],
    likeness: NDArray[np.float32],
    weights: NDArray[np.float32],
    added: NDArray[np.floating] | None = None,
) -> pd.DataFrame:
    """Genes that have a weight, those that add most (or have the largest weight) first.

    Parameters
    ----------
    lexicon, rows
        The ``m`` genes.
    names
        Of the ``S`` sentences.
    likeness, weights, added
        ``[S, m]``; see `lexicell.words.Described.genes`.
    """
    kind, column = np.nonzero(weights)
    symbols = np.asarray(lexicon.genes.column("symbol").to_pylist(), dtype=object)
    columns = {
        "type": kind,
        "gene": symbols[rows[column]],
        "likeness": likeness[kind, column],
        "weight": weights[kind, column],
    }
    by = "weight"
    if added is not None:
        by, columns["added"] = "added", np.asarray(added)[kind, column]
    table = pd.DataFrame(columns)
    table = table.sort_values(["type", by], ascending=[True, False], kind="stable", ignore_index=True)
    return table.assign(type=names[table["type"].to_numpy()])


def listed_genes(lexicon: Lexicon, rows: NDArray[np.integer[Any]]) -> pd.DataFrame:
    """Genes that are asked for by name, as `gene_table` has those of a sentence: all alike."""
    symbols = np.asarray(lexicon.genes.column("symbol").to_pylist(), object)[rows]
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return pd.DataFrame(
        {"type": ", ".join(symbols[:_SHOWN]) + more, "gene": symbols, "weight": 1 / len(rows)}
    )
