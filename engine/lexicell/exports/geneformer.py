"""Inputs of Geneformer, as its own tokenizer makes them, but for what that leaves to chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.errors import CoverageError, InputError
from lexicell.exports.dictionaries import read_dictionary
from lexicell.exports.ensembl import ensembl_ids
from lexicell.exports.prepared import Prepared
from lexicell.exports.ranking import rank_genes
from lexicell_kernels import CsrBlock

__all__ = ["GeneformerEncoder", "GeneformerOptions", "prepare"]

#: Longest list, tokens before and after it included.
_LONGEST = {"v1": 2_048, "v2": 4_096}
_BEFORE, _AFTER = "<cls>", "<eos>"


@dataclass(frozen=True)
class GeneformerOptions:
    """What Geneformer's inputs depend on.

    Attributes
    ----------
    tokens, medians
        Dictionaries of Ensembl ids, see `lexicell.exports.dictionaries.read_dictionary`; one JSON may hold
        both, as ``{"tokens": ..., "medians": ...}``.
    mapping
        Of old Ensembl ids to those of `tokens`; for v2.
    version
        "v1": up to 2,048 genes; "v2": ``<cls>``, up to 4,094 genes, ``<eos>``.
    keep_counts
        Also write ``x / N * 10_000``.
    """

    tokens: str
    medians: str
    mapping: str | None = None
    version: Literal["v1", "v2"] = "v1"
    keep_counts: bool = False


@dataclass(frozen=True)
class GeneformerEncoder:
    """Makes ``input_ids``; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    genes
        Columns that have a token; their rows are tokens.
    median
        ``[m]`` float64.
    longest
        Genes of a cell.
    around
        Tokens before and after them; none, or two.
    keep_counts
        Whether to write normalised counts.
    totals
        Column of ``obs`` that has the total of each cell, None for the sum of all its counts.
    filtered
        Whether cells whose ``filter_pass`` is not 1 are left out.
    """

    genes: CandidateGenes
    median: NDArray[np.float64]
    longest: int
    around: tuple[int, ...]
    keep_counts: bool
    totals: str | None
    filtered: bool

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return [
            name
            for name, used in ((self.totals, self.totals), ("filter_pass", self.filtered))
            if used and name
        ]

    def encode(
        self,
        counts: CsrBlock,
        start: int,  # noqa: ARG002
        obs: pd.DataFrame,
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        ranked = rank_genes(counts, self.genes, self.longest, self.median)
        indptr, tokens = ranked.indptr, ranked.genes
        lists = _around(tokens, indptr, self.around)
        columns = {
            "input_ids": lists,
            "length": pa.array(np.diff(indptr) + len(self.around)),
        }
        if self.keep_counts:
            totals = ranked.totals if self.totals is None else obs[self.totals].to_numpy(np.float64)
            x = ranked.counts.astype(np.float64) / np.repeat(totals, np.diff(indptr)) * 10_000
            columns["counts"] = _around(x, indptr, (0,) * len(self.around))
        if not self.filtered:
            return columns, None
        kept = np.asarray(obs["filter_pass"].to_numpy() == 1, np.bool_)
        return {name: column.filter(pa.array(kept)) for name, column in columns.items()}, kept


def prepare(cells: AlignedCells, options: GeneformerOptions, listener: Listener) -> Prepared:
    """Match a data set's columns with Geneformer's dictionaries.

    Raises
    ------
    InputError
        The version is unknown, or a dictionary is not one of it.
    CoverageError
        No column has a token.
    """
    if options.version not in _LONGEST:
        msg = f"versions of Geneformer are {' and '.join(_LONGEST)}, not {options.version!r}"
        raise InputError(msg)
    tokens, about_tokens = read_dictionary(options.tokens, "tokens")
    medians, about_medians = read_dictionary(options.medians, "medians")
    around: tuple[int, ...] = ()
    if options.version == "v2":
        missing = [name for name in (_BEFORE, _AFTER) if name not in tokens]
        if missing:
            msg = f"{options.tokens} has no {' and no '.join(missing)}, so it is none of v2; give one of v2"
            raise InputError(msg)
        around = (int(tokens[_BEFORE]), int(tokens[_AFTER]))
    facts: dict[str, Any] = {"tokens": about_tokens, "medians": about_medians}
    mapping: dict[str, Any] = {}
    if options.mapping is not None:
        mapping, facts["mapping"] = read_dictionary(options.mapping)
    own = ensembl_ids(cells, mapping or tokens)
    facts["ids_from"] = own.route
    ids = pd.Series(own.ids, dtype=object)
    if mapping:
        ids = ids.str.upper().map(mapping).fillna("")
    token = ids.map(tokens).where(ids.isin(list(medians)), -1).fillna(-1).to_numpy(np.int64)
    if not (token >= 0).any():
        theirs = [name for name in tokens if not name.startswith("<")][:3]
        ours = [name for name in own.ids.tolist() if name][:3] or list(map(str, cells.alignment.names[:3]))
        msg = (
            f"{cells.source.label} has no gene of {options.tokens}: here are {', '.join(ours)}, there "
            f"{', '.join(theirs)}"
        )
        raise CoverageError(msg)
    genes = CandidateGenes.of(token.astype(np.int32))
    by_token = {int(value): str(name) for name, value in tokens.items()}
    names = [by_token[row] for row in genes.rows.tolist()]
    median = np.array([float(medians[name]) for name in names])
    if not (np.isfinite(median) & (median > 0)).all():
        msg = f"{options.medians} has a median that is no positive number"
        raise InputError(msg)
    columns = set(cells.source.obs_columns)
    totals = "n_counts" if "n_counts" in columns else None
    filtered = "filter_pass" in columns
    share = genes.share(cells.sample)
    collapsed = int((token >= 0).sum() - len(genes.rows))
    facts |= {
        "version": options.version,
        "genes_with_token": len(genes.rows),
        "unmatched": int((token < 0).sum()),
        "collapsed": collapsed,
        "share_of_counts": round(share, 4),
        "totals": f"obs[{totals!r}]" if totals else "sums of rows",
        "filter_pass": filtered,
    }
    listener(
        Note(
            f"{len(genes.rows):,} genes have a token (ids from {own.route}), with {share:.0%} of the counts; "
            f"{facts['unmatched']:,} columns have none"
            + (f", {collapsed:,} are summed with another" if collapsed else "")
        )
    )
    if filtered:
        listener(Note("cells whose obs['filter_pass'] is not 1 are left out", serious=True))
    table = pd.DataFrame({"token": genes.rows, "ensembl_id": names, "median": median})
    longest = _LONGEST[options.version] - len(around)
    encoder = GeneformerEncoder(genes, median, longest, around, options.keep_counts, totals, filtered)
    return Prepared(encoder, table, facts, empty=("length", len(around)))


def _around(values: NDArray[Any], indptr: NDArray[np.int64], around: Sequence[int]) -> pa.ListArray:
    """Lists of cells, with one value before and one after each."""
    if not around:
        return pa.ListArray.from_arrays(pa.array(indptr.astype(np.int32)), pa.array(values))
    n = len(indptr) - 1
    offsets = indptr + 2 * np.arange(n + 1)
    whole = np.empty(len(values) + 2 * n, values.dtype)
    whole[offsets[:-1]], whole[offsets[1:] - 1] = around[0], around[1]
    at = np.arange(len(values)) + 1 + 2 * np.repeat(np.arange(n), np.diff(indptr))
    whole[at] = values
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(whole))
