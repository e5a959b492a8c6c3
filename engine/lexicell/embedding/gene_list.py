"""The genes that a user wants to be used, by their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._files import read_utf8
from lexicell.embedding.events import Listener, Note
from lexicell.errors import InputError
from lexicell.lexicon import Alignment, Lexicon, align_genes

__all__ = ["GeneList", "find_genes", "read_gene_list"]

#: A text file with one name a line, or names.
GeneList = str | Path | Sequence[str]
_SHOWN = 10


def read_gene_list(genes: GeneList) -> tuple[str, ...]:
    """Names of genes, each once, in their order.

    Parameters
    ----------
    genes
        A text file, gzipped or not, with one name a line; empty lines and lines that begin with ``#`` are
        skipped. Or the names.

    Raises
    ------
    InputNotFoundError, InputError, CorruptDataError
        There is no such file, it is no text, or no name is given.
    """
    given = "the list of genes"
    if isinstance(genes, str | os.PathLike):
        given = str(genes)
        genes = read_utf8(Path(genes)).decode().splitlines()
    names = dict.fromkeys(name for line in genes if (name := str(line).strip()) and not name.startswith("#"))
    if not names:
        msg = f"{given} names no gene; give one name a line"
        raise InputError(msg)
    return tuple(names)


def find_genes(
    names: Sequence[str],
    lexicon: Lexicon,
    alignment: Alignment,
    columns: pd.Index[str],
    listener: Listener,
) -> NDArray[np.int32]:
    """Lexicon rows, ascending, of genes that are named as in the data set, or as the lexicon knows them.

    Parameters
    ----------
    names
        Ids, symbols or aliases.
    lexicon, alignment
        What a name may mean, and which genes the data set's columns are.
    columns
        ``[v]`` names of the columns as they are stored.
    listener
        Is told which names are unknown.

    Raises
    ------
    InputError
        No name is known.
    """
    wanted = pd.Index(names)
    rows = align_genes(lexicon, pd.DataFrame(index=wanted), organism=alignment.organism).rows.copy()
    for own in (pd.Index(alignment.names), columns):
        place = pd.Series(alignment.rows, own)
        place = place[~place.index.duplicated() & (place.to_numpy() >= 0)]
        here = wanted.isin(place.index)
        rows[here] = place.loc[wanted[here]].to_numpy()
    unknown = [name for name, row in zip(names, rows, strict=True) if row < 0]
    if unknown:
        more = "" if len(unknown) <= _SHOWN else f" and {len(unknown) - _SHOWN:,} more"
        named = ", ".join(unknown[:_SHOWN])
        text = f"{len(unknown):,} of {len(names):,} listed genes are unknown: {named}{more}"
        if len(unknown) == len(names):
            text += f"; names are those of the data set, or of the lexicon {lexicon.name}"
            raise InputError(text)
        listener(Note(text, serious=True))
    return np.unique(rows[rows >= 0])
