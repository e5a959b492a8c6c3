"""Inputs of Geneformer, as its own tokenizer makes them, but for what that leaves to chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.counts import decode_values
from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.labels import as_text
from lexicell.errors import InputError
from lexicell.exports.cell_lists import between
from lexicell.exports.prepared import Prepared
from lexicell.exports.ranking import in_order_of, rank_genes
from lexicell.exports.sccello import prepare_sccello
from lexicell.exports.tokens import Matched, match_tokens
from lexicell_kernels import CsrBlock, Ranking

__all__ = ["GeneformerEncoder", "GeneformerOptions", "prepare"]

#: Longest list, tokens before and after it included.
_LONGEST = {"v1": 2_048, "v2": 4_096}
_BEFORE, _AFTER = "<cls>", "<eos>"
#: Cells whose totals are compared with what obs says, and how far they may differ.
_FEW, _ROUNDING = 1_000, 1e-4


@dataclass(frozen=True)
class GeneformerOptions:
    """What Geneformer's inputs depend on.

    Attributes
    ----------
    tokens, medians
        Dictionary Ensembl id -> number: ``.json``, ``.csv``, ``.tsv`` or Geneformer's own ``.pkl``; one JSON
        may hold both, as ``{"tokens": ..., "medians": ...}``.
    mapping
        Dictionary old Ensembl id -> the one that has a token; for v2.
    version
        v1: up to 2,048 genes; v2: ``<cls>``, up to 4,094 genes, ``<eos>``.
    keep_counts
        Also write ``x / N * 10_000``, as lists.
    profile
        sccello: the first step of scCello's own preprocessing, of v1's dictionaries, with the columns that
        CELLxGENE has; cell2text: with a column ``struct_desc``.
    text
        Column of ``obs`` with a text of each cell, for cell2text.
    """

    tokens: str
    medians: str
    mapping: str | None = None
    version: Literal["v1", "v2"] = "v1"
    keep_counts: bool = False
    profile: Literal["sccello", "cell2text"] | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if self.version not in _LONGEST:
            msg = f"versions of Geneformer are {' and '.join(_LONGEST)}, not {self.version!r}"
            raise InputError(msg)
        if self.profile not in {None, "sccello", "cell2text"}:
            msg = f"profiles of geneformer are sccello and cell2text, not {self.profile!r}"
            raise InputError(msg)
        if (self.profile == "cell2text") != (self.text is not None):
            msg = "the profile cell2text needs a column of texts (text), and only that has one"
            raise InputError(msg)
        if self.profile == "sccello" and (self.version, self.mapping, self.keep_counts) != (
            "v1",
            None,
            False,
        ):
            msg = "scCello has v1's dictionaries as they are, and its own columns of counts"
            raise InputError(msg)


@dataclass(frozen=True)
class GeneformerEncoder:
    """Makes ``input_ids``; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    matched
        Genes, tokens and medians.
    longest
        Genes of a cell.
    ends
        Tokens before and after them; none, or two.
    keep_counts
        Whether to write normalised counts.
    totals
        Column of ``obs`` that has the total of each cell, None for the sum of all its counts.
    filtered
        Whether cells whose ``filter_pass`` is not 1 are left out.
    text
        Column of ``obs`` that becomes ``struct_desc``; None for none.
    """

    matched: Matched
    longest: int
    ends: tuple[int, ...]
    keep_counts: bool
    totals: str | None
    filtered: bool
    text: str | None = None

    @property
    def genes(self) -> CandidateGenes:
        """See `Encoder`."""
        return self.matched.genes

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return [name for name in (self.totals, "filter_pass" * self.filtered, self.text) if name]

    def encode(
        self,
        counts: CsrBlock,
        start: int,  # noqa: ARG002
        obs: pd.DataFrame,
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        ranked = rank_genes(counts, self.genes, self.longest, self.matched.median)
        totals = ranked.totals
        if self.totals is not None:
            totals = _stated_totals(obs[self.totals], ranked)
            x = ranked.counts / np.repeat(totals, np.diff(ranked.indptr)) * 10_000
            ranked = in_order_of(x / self.matched.of(ranked.genes), ranked)
        indptr = ranked.indptr
        columns = {
            "input_ids": between(ranked.genes, indptr, self.ends[:1], self.ends[1:]),
            "length": pa.array(np.diff(indptr) + len(self.ends)),
        }
        if self.keep_counts:
            x = ranked.counts / np.repeat(totals, np.diff(indptr)) * 10_000
            none = (0.0,) * (len(self.ends) // 2)
            columns["counts"] = between(x, indptr, none, none)
        if self.text is not None:
            columns["struct_desc"] = _stated_texts(obs[self.text])
        if not self.filtered:
            return columns, None
        kept = np.asarray(obs["filter_pass"].to_numpy() == 1, np.bool_)
        return {name: column.filter(pa.array(kept)) for name, column in columns.items()}, kept


def prepare(cells: AlignedCells, options: GeneformerOptions, listener: Listener) -> Prepared:
    """Match a data set's columns with Geneformer's dictionaries.

    Raises
    ------
    InputError
        A dictionary is not one of the version, or a column of ``obs`` is missing.
    CoverageError
        No column has a token.
    """
    matched = match_tokens(cells, options.tokens, options.medians, options.mapping, listener)
    facts = {**matched.facts, "version": options.version, "profile": options.profile}
    table = pd.DataFrame({"token": matched.genes.rows, "ensembl_id": matched.names, "median": matched.median})
    if options.profile == "sccello":
        return prepare_sccello(cells, matched, table, facts, listener)
    ends: tuple[int, ...] = ()
    if options.version == "v2":
        missing = [name for name in (_BEFORE, _AFTER) if name not in matched.tokens]
        if missing:
            msg = f"{options.tokens} has no {' and no '.join(missing)}, so it is none of v2; give one of v2"
            raise InputError(msg)
        ends = (int(matched.tokens[_BEFORE]), int(matched.tokens[_AFTER]))
    if options.text is not None:
        cells.source.read_obs([options.text], 0, 0)  # it is there
    columns = set(cells.source.obs_columns)
    totals = "n_counts" if "n_counts" in columns else None
    filtered = "filter_pass" in columns
    facts |= {"totals": f"obs[{totals!r}]" if totals else "sums of rows", "filter_pass": filtered}
    for name in ("n_counts", "filter_pass"):
        kind = cells.source.read_obs([name], 0, 0)[name].dtype if name in columns else np.dtype(int)
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            msg = f"obs[{name!r}], which Geneformer reads, holds no numbers; make them some, or rename it"
            raise InputError(msg)
    if options.version == "v1" and {_BEFORE, _AFTER} <= matched.tokens.keys():
        text = f"{options.tokens} has {_BEFORE} and {_AFTER}, as v2's have; is it --version v2?"
        listener(Note(text, serious=True))
    if totals:
        _compare_totals(cells, totals, listener)
    if filtered:
        listener(Note("cells whose obs['filter_pass'] is not 1 are left out", serious=True))
    longest = _LONGEST[options.version] - len(ends)
    encoder = GeneformerEncoder(matched, longest, ends, options.keep_counts, totals, filtered, options.text)
    return Prepared(encoder, table, facts, empty=("length", len(ends)))


def _stated_totals(column: pd.Series[Any], ranked: Ranking) -> NDArray[np.float64]:
    """Totals of ``obs``; InputError where a cell with genes has none."""
    totals = column.to_numpy(np.float64)
    bad = (np.diff(ranked.indptr) > 0) & ~(np.isfinite(totals) & (totals > 0))
    if bad.any():
        at = int(bad.argmax())
        msg = f"obs[{column.name!r}] of cell {column.index[at]} is {totals[at]:g}, but it has counts; mend it"
        raise InputError(msg)
    return np.asarray(totals, np.float64)


def _stated_texts(column: pd.Series[Any]) -> pa.Array:
    """Texts of ``obs``; InputError where a cell has none, which Cell2Text can't read."""
    texts = pd.Series(as_text(column), column.index)
    missing = texts.str.strip() == ""
    if missing.any():
        msg = f"obs[{column.name!r}] of cell {texts.index[int(missing.argmax())]} is empty: Cell2Text stops"
        raise InputError(msg)
    return pa.array(texts, pa.string())


def _compare_totals(cells: AlignedCells, name: str, listener: Listener) -> None:
    """Tell where stated totals are not the sums of the first cells."""
    n = min(cells.source.n_cells, _FEW)
    block = decode_values(cells.source.read(0, n), cells.values)
    row = np.repeat(np.arange(n), np.diff(block.indptr))
    sums = np.bincount(row, np.asarray(block.data, np.float64), n)
    stated = cells.source.read_obs([name], 0, n)[name].to_numpy(np.float64)
    if differ := int((np.abs(stated - sums) > _ROUNDING * np.maximum(sums, 1)).sum()):
        text = (
            f"obs[{name!r}], which is used, is not the sum of counts in {differ:,} of the first {n:,} cells"
        )
        listener(Note(text, serious=True))
