"""scCello's own first step: Geneformer's ranks in full, with its columns of CELLxGENE's annotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.labels import as_text, read_column
from lexicell.embedding.tables import text_column
from lexicell.errors import InputError
from lexicell.exports.cell_lists import between
from lexicell.exports.prepared import Prepared
from lexicell.exports.ranking import in_order_of, rank_genes
from lexicell.exports.tokens import Matched
from lexicell_kernels import CsrBlock

__all__ = ["ScCelloEncoder", "prepare_sccello"]

#: Columns of text, by what CELLxGENE calls them.
_TEXTS: Mapping[str, str] = {
    "disease": "cell_disease",
    "cell_type_ontology_term_id": "cell_ct_ontology",
    "cell_type": "cell_type",
    "tissue": "cell_tissue",
    "tissue_ontology_term_id": "cell_tissue_ontology",
    "development_stage": "cell_dev",
}
#: Its assays, whose places are their numbers.
_ASSAYS = (
    "10x 5' v1",
    "10x 5' v2",
    "10x 3' v1",
    "10x 3' v2",
    "10x 3' v3",
    "10x 3' transcription profiling",
    "10x 5' transcription profiling",
)
_ASSAY, _DONOR = "assay", "donor_id"


@dataclass(frozen=True)
class ScCelloEncoder:
    """Makes scCello's columns; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    matched
        Genes, tokens and medians.
    cls
        Token before the genes of each cell.
    donors
        All of them, whose places are their numbers.
    dataset
        What ``cell_dataset_id`` says.
    """

    matched: Matched
    cls: int
    donors: tuple[str, ...]
    dataset: str

    @property
    def genes(self) -> CandidateGenes:
        """See `Encoder`."""
        return self.matched.genes

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return (*_TEXTS, _ASSAY, _DONOR)

    def encode(
        self,
        counts: CsrBlock,
        start: int,  # noqa: ARG002
        obs: pd.DataFrame,
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        ranked = rank_genes(counts, self.genes, None, self.matched.median)
        cell = np.repeat(np.arange(len(ranked)), np.diff(ranked.indptr))
        x = ranked.counts.astype(np.float64)
        totals = np.bincount(cell, x, len(ranked))  # over the genes of the dictionary
        totals[totals == 0] = 1
        score = x * (10_000 / totals)[cell] * (1 / self.matched.of(ranked.genes))
        ranked = in_order_of(score, ranked)
        values = np.log1p(ranked.counts * 10_000.0 / totals[cell])
        indptr = ranked.indptr
        return {
            "gene_token_ids": between(ranked.genes.astype(np.int64), indptr, (self.cls,)),
            "gene_expression_nums": between(values, indptr, (0.0,)),
            "cell_counts": between(totals, np.arange(len(totals) + 1)),
            "length": pa.array(np.diff(indptr) + 1),
            **{theirs: text_column(obs[ours]) for ours, theirs in _TEXTS.items()},
            "cell_assay_ids": _number(obs[_ASSAY], _ASSAYS),
            "cell_donor_local_ids": _number(obs[_DONOR], self.donors),
            "cell_dataset_id": pa.array([self.dataset] * len(totals), pa.string()),
        }, None


def prepare_sccello(
    cells: AlignedCells, matched: Matched, table: pd.DataFrame, facts: Mapping[str, Any], listener: Listener
) -> Prepared:
    """Check the columns that scCello needs, and tell which cells its reader will leave out.

    Raises
    ------
    InputError
        ``obs`` lacks a column, or the dictionary has its own ``<cls>``.
    """
    have = cells.source.obs_columns
    if missing := [name for name in (*_TEXTS, _ASSAY, _DONOR) if name not in have]:
        lacking = ", ".join(missing)
        msg = f"{cells.source.label}: scCello needs CELLxGENE's columns of obs, and has no {lacking}"
        raise InputError(msg)
    if "<cls>" in matched.tokens:
        msg = "scCello adds <cls> to v1's dictionary of tokens, and this one has it already; give v1's"
        raise InputError(msg)
    read = {name: read_column(cells.source, name) for name in (_ASSAY, _DONOR)}
    left_out = ~np.isin(read[_ASSAY], _ASSAYS)
    for name, wanted in (("organism", "Homo sapiens"), ("is_primary_data", "True")):
        if name in have:
            left_out |= read_column(cells.source, name) != wanted
    if left_out.any():
        text = f"{int(left_out.sum()):,} cells are not human, primary and of 10x: scCello's reader drops them"
        listener(Note(text, serious=True))
    cls = max(matched.tokens.values()) + 1
    donors = tuple(sorted(set(read[_DONOR].tolist()) - {""}))
    facts = {**facts, "cls": cls, "donors": len(donors), "dropped_by_reader": int(left_out.sum())}
    encoder = ScCelloEncoder(matched, cls, donors, cells.source.label)
    return Prepared(encoder, table, facts, empty=("length", 1))


def _number(column: pd.Series[Any], names: Sequence[str]) -> pa.Array:
    """Place of each value among names, null for none of them."""
    place = pd.Index(names).get_indexer(pd.Index(as_text(column)))
    return pa.array(place.astype(np.int64), mask=place < 0)
