"""Genes by a list of their names, as people write one: which genes of a lexicon they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexicell._files import read_utf8
from lexicell._say import listed
from lexicell.errors import InputError
from lexicell.lexicon.lexicon import Lexicon

__all__ = ["GeneList", "find_genes", "read_gene_list"]

#: A text file with one name a line, or names.
GeneList = str | Path | Sequence[str]
_SHOWN = 5


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
    given = "The list of genes"
    if isinstance(genes, str | os.PathLike):
        given = str(genes)
        genes = read_utf8(Path(genes)).decode().splitlines()
    elif not isinstance(genes, Iterable):
        msg = f"genes are a text file or names, not {genes!r}"  # type: ignore[unreachable]
        raise InputError(msg)
    names = dict.fromkeys(name for line in genes if (name := str(line).strip()) and not name.startswith("#"))
    if not names:
        msg = f"{given} names no gene; give one name a line"
        raise InputError(msg)
    return tuple(names)


def find_genes(
    lexicon: Lexicon,
    names: Sequence[str],
    *,
    organism: str | None = None,
    also: Mapping[str, set[int]] | None = None,
    notify: Callable[[str], None],
) -> NDArray[np.int32]:
    """Lexicon rows, ascending, of the genes of a list.

    Parameters
    ----------
    lexicon
        What a name may mean.
    names
        Symbols, NCBI ids, Ensembl ids or aliases, in any order and mixture.
    organism
        Whose they are; by default the lexicon's own.
    also
        Other names, those of a data set, and the rows that they mean; these come first.
    notify
        Called with a line each for names that are unknown, aliases, or could mean several genes.

    Raises
    ------
    InputError
        No name is known.
    """
    import pandas as pd

    from lexicell.lexicon.align import Route, align_genes

    table, own = pd.DataFrame(index=list(names)), {} if also is None else also
    alignment = align_genes(lexicon, table, column="index", organism=organism or lexicon.info.organism)
    rows = alignment.rows
    if organism not in {None, lexicon.info.organism}:  # mouse data may be listed by the lexicon's own names
        others = align_genes(lexicon, table, column="index", organism=lexicon.info.organism).rows
        rows = np.where(rows >= 0, rows, others)
    found = [
        own.get(name, {row} if row >= 0 else set()) for name, row in zip(names, rows.tolist(), strict=True)
    ]
    # An alias beside the gene's own name is displaced, which matters for counts and not for a list.
    displaced = set(alignment.displaced)
    unknown = [name for name, those in zip(names, found, strict=True) if not those and name not in displaced]
    if not any(found):
        message = f"None of the {len(names):,} names is a gene of {lexicon.name} ({listed(unknown, _SHOWN)})."
        raise InputError(message)
    if unknown:
        shown = listed(unknown, _SHOWN)
        notify(f"{len(unknown):,} of {len(names):,} names are no genes of {lexicon.name}: {shown}")
    routes = zip(names, alignment.routes, strict=True)
    if aliases := [name for name, route in routes if route == Route.ALIAS and name not in own]:
        notify(f"{len(aliases):,} names were found as aliases: {listed(aliases, _SHOWN)}")
    if ambiguous := [name for name in alignment.ambiguous if name not in own]:
        notify(f"{len(ambiguous):,} of these could mean several genes: {listed(ambiguous, _SHOWN)}")
    return np.array(sorted(set().union(*found)), np.int32)
