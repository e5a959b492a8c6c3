"""Genes of a data set as tokens of Geneformer's dictionaries, with their medians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.errors import CoverageError, InputError
from lexicell.exports.dictionaries import read_dictionary
from lexicell.exports.ensembl import ensembl_ids

__all__ = ["Matched", "match_tokens"]


@dataclass(frozen=True)
class Matched:
    """The genes of a data set that Geneformer's dictionaries have.

    Attributes
    ----------
    genes
        Columns that have a token; their rows are tokens.
    names
        ``[m]`` Ensembl ids.
    median
        ``[m]`` float64.
    tokens
        The whole dictionary.
    facts
        Plain JSON: where these are from, what was matched and what was not.
    """

    genes: CandidateGenes
    names: tuple[str, ...]
    median: NDArray[np.float64]
    tokens: Mapping[str, int]
    facts: Mapping[str, Any]

    def of(self, tokens: NDArray[np.int32]) -> NDArray[np.float64]:
        """Medians of tokens."""
        return self.median[np.searchsorted(self.genes.rows, tokens)]


def match_tokens(
    cells: AlignedCells, tokens_file: str, medians_file: str, mapping_file: str | None, listener: Listener
) -> Matched:
    """Match a data set's columns with dictionaries; see `lexicell.exports.geneformer.GeneformerOptions`.

    Raises
    ------
    InputError, CorruptDataError
        A dictionary can't be read, or has medians that are none.
    CoverageError
        No column has a token.
    """
    tokens, about_tokens = read_dictionary(tokens_file, "tokens")
    medians, about_medians = read_dictionary(medians_file, "medians")
    _check_numbers(tokens, tokens_file, medians, medians_file)
    facts: dict[str, Any] = {"tokens": about_tokens, "medians": about_medians}
    mapping: dict[str, Any] = {}
    if mapping_file is not None:
        mapping, facts["mapping"] = read_dictionary(mapping_file)
    own = ensembl_ids(cells, mapping or tokens)
    ids = pd.Series(own.ids, dtype=object)
    if mapping:
        ids = ids.str.upper().map(mapping).fillna("")
    token = ids.map(tokens).where(ids.isin(list(medians)), -1).fillna(-1).to_numpy(np.int64)
    if not (token >= 0).any():
        theirs = [name for name in tokens if not name.startswith("<")][:3]
        ours = [name for name in own.ids.tolist() if name][:3] or list(map(str, cells.alignment.names[:3]))
        msg = (
            f"{cells.source.label} has no gene of {tokens_file}: here are {', '.join(ours)}, there "
            f"{', '.join(theirs)}"
        )
        raise CoverageError(msg)
    genes = CandidateGenes.of(token.astype(np.int32))
    by_token = {int(value): str(name) for name, value in tokens.items()}
    names = tuple(by_token[row] for row in genes.rows.tolist())
    median = np.array([float(medians[name]) for name in names])
    if not (np.isfinite(median) & (median > 0)).all():
        msg = f"{medians_file} has a median that is no positive number"
        raise InputError(msg)
    share = genes.share(cells.sample)
    facts |= {
        "ids_from": own.route,
        "genes_with_token": len(names),
        "unmatched": int((token < 0).sum()),
        "collapsed": int((token >= 0).sum() - len(names)),
        "share_of_counts": round(share, 4),
    }
    collapsed = f", {facts['collapsed']:,} are summed with another" if facts["collapsed"] else ""
    listener(
        Note(
            f"{len(names):,} genes have a token (ids from {own.route}), with {share:.0%} of the counts; "
            f"{facts['unmatched']:,} columns have none{collapsed}"
        )
    )
    return Matched(genes, names, median, {str(name): int(one) for name, one in tokens.items()}, facts)


def _check_numbers(
    tokens: Mapping[str, Any], tokens_file: str, medians: Mapping[str, Any], medians_file: str
) -> None:
    """Raise InputError where tokens or medians can't be such."""
    whole = all(type(one) is int and 0 <= one < 2**31 for one in tokens.values())
    if not whole or len(set(tokens.values())) < len(tokens):
        msg = f"{tokens_file}: tokens are whole numbers from 0 to 2^31 - 1, all different; these are not"
        raise InputError(msg)
    if not all(type(one) in (int, float) for one in medians.values()):
        msg = f"{medians_file}: medians are numbers; these are not"
        raise InputError(msg)
