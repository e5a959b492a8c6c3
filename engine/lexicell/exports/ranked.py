"""Ranked genes of cells with their counts: for models without public code, and for whatever comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener
from lexicell.embedding.candidates import CandidateGenes
from lexicell.errors import InputError
from lexicell.exports.cell_lists import cell_lists
from lexicell.exports.prepared import Prepared
from lexicell.exports.ranking import rank_genes
from lexicell_kernels import CsrBlock

__all__ = ["RankedEncoder", "RankedOptions", "prepare"]


@dataclass(frozen=True)
class RankedOptions:
    """How many genes.

    Attributes
    ----------
    top
        Genes of a cell; None for all that are expressed.
    """

    top: int | None = None

    def __post_init__(self) -> None:
        if self.top is not None and not 1 <= self.top < 2**31:
            msg = f"a cell has at least one gene, not {self.top}"
            raise InputError(msg)


@dataclass(frozen=True)
class RankedEncoder:
    """Makes ``genes`` (rows of the table of genes) and ``values``; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    genes
        The described genes.
    top
        See `RankedOptions`.
    """

    genes: CandidateGenes
    top: int | None

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return ()

    def encode(
        self,
        counts: CsrBlock,
        start: int,
        obs: pd.DataFrame,  # noqa: ARG002
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        ranked = rank_genes(counts, self.genes, self.top)
        place = np.asarray(np.searchsorted(self.genes.rows, ranked.genes), np.int32)
        return {
            "row": pa.array(np.arange(start, start + len(ranked), dtype=np.int64)),
            "genes": cell_lists(place, ranked.indptr),
            "values": cell_lists(ranked.counts.astype(np.float32, copy=False), ranked.indptr),
            "n_genes": pa.array(np.diff(ranked.indptr).astype(np.int32)),
            "n_total": pa.array(ranked.totals),
            "n_tied": pa.array(ranked.n_tied),
        }, None


def prepare(cells: AlignedCells, options: RankedOptions, listener: Listener) -> Prepared:  # noqa: ARG001
    """Take the described genes of a data set, in the order of the lexicon."""
    rows, who = cells.genes.rows, cells.lexicon.genes
    names = {name: np.asarray(who.column(name).to_pylist(), object)[rows] for name in ("symbol", "ncbi_id")}
    ids = np.asarray([", ".join(ids or ()) for ids in who.column("ensembl_ids").to_pylist()], object)[rows]
    table = pd.DataFrame({"row": np.arange(len(rows)), **names, "ensembl_ids": ids})
    facts = {"top": options.top, "genes_described": len(rows), "share_of_counts": round(cells.coverage, 4)}
    return Prepared(RankedEncoder(cells.genes, options.top), table, facts)
