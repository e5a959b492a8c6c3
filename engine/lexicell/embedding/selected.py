"""Which genes are selected in each cell: of one block (`Selection`), and of many cells (`SelectedCells`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell._trace import stage
from lexicell.arrays import Growing, compact
from lexicell.counts import MAX_NNZ
from lexicell.embedding.candidates import CandidateGenes
from lexicell_kernels import CsrBlock, GeneTable, Order, Weight, select_topk, weights

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["SelectedCells", "Selection", "select_block", "select_counts"]


@dataclass(frozen=True)
class Selection:
    """The selected genes of a block of ``n`` cells, in CSR form.

    Attributes
    ----------
    start
        Number of the first cell in the data set.
    genes
        ``[nnz]`` int32 lexicon rows: in each cell ascending, or the highest score first.
    counts, scores
        ``[nnz]`` float32 counts ``x``, and what they were ranked by, ``x`` times the rank factor.
    indptr
        ``[n + 1]`` int64.
    totals
        ``[n]`` float64, sum of all of a cell's counts, described or not.
    weight
        How genes are weighted.
    """

    start: int
    genes: NDArray[np.int32]
    counts: NDArray[np.float32]
    scores: NDArray[np.float32]
    indptr: NDArray[np.int64]
    totals: NDArray[np.float64]
    weight: Weight = Weight.LOG1P

    def __len__(self) -> int:
        return len(self.totals)

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """``[nnz]`` weights of the genes; see `lexicell_kernels.weights`."""
        return weights(self.counts, self.scores, self.totals, self.indptr, self.weight)

    @property
    def shares(self) -> NDArray[np.float64]:
        """``[nnz]`` weight over the sum of weights of its cell: how much a gene counts in the pooled mean."""
        cell = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        found: NDArray[np.float64] = self.weights / np.bincount(cell, self.weights)[cell]
        return found


def select_block(
    block: CsrBlock,
    genes: CandidateGenes,
    k: int | None,
    *,
    start: int = 0,
    weight: Weight = Weight.LOG1P,
    order: Order = Order.LEXICON,
    rank_factor: NDArray[np.float32] | None = None,
) -> Selection:
    """Select the genes of a block of counts on the host, as the kernel does.

    Parameters
    ----------
    block
        What `CandidateGenes.counts` gives.
    genes
        The ``m`` candidates.
    k
        Genes of a cell; None for all candidates.
    start
        Number of its first cell.
    weight, order
        See `Selection`.
    rank_factor
        ``[m]`` float32 rank factors of the candidates; None for 1.

    Raises
    ------
    InvalidCountsError
        A count is negative, NaN or infinite.
    ValueError
        There is no such weight or order.
    """
    weight, order = Weight(weight), Order(order)
    table = GeneTable(np.zeros((len(genes.rows), 1), np.float32), genes.rank, rank_factor)
    longest = max(1, int(np.diff(block.indptr).max(initial=0)))
    with stage("kernel"):
        picks = select_topk(
            block, table, k=longest if k is None else min(k, longest), order=order, device="cpu"
        )
    chosen = picks.genes >= 0
    return Selection(
        start,
        genes.rows[picks.genes[chosen]],
        picks.counts[chosen],
        picks.scores[chosen],
        np.concatenate([[0], np.cumsum(picks.n_genes, dtype=np.int64)]),
        picks.totals,
        weight,
    )


@dataclass(frozen=True)
class SelectedCells:
    """The genes that a recipe selects in each of ``N`` cells, with their counts, in CSR form.

    Weights are not kept: they follow from the counts, and training draws other counts. With 128 genes a cell
    takes about 400 bytes.

    Attributes
    ----------
    genes
        ``[nnz]`` lexicon rows, uint16 (int32 for lexicons of 65,536 genes or more), ascending in each cell.
    counts
        ``[nnz]`` counts ``x``, uint8 or uint16 where that loses nothing, else float32.
    indptr
        ``[N + 1]`` int64.
    totals
        ``[N]`` float32, sum of all of a cell's counts, described or not.
    n_lexicon
        ``G``, genes of the lexicon.
    lexicon
        Its identity.
    top_k, weight
        How genes were selected, and how they are to be weighted; see `lexicell.embedding.Recipe`.
    rank_factor
        ``[G]`` float32 rank factors that genes were selected with, or None for 1.
    """

    genes: NDArray[Any]
    counts: NDArray[Any]
    indptr: NDArray[np.int64]
    totals: NDArray[np.float32]
    n_lexicon: int
    lexicon: str
    top_k: int | None
    weight: Weight
    rank_factor: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.totals)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """``[N]`` genes of each cell."""
        return np.diff(self.indptr)

    @property
    def used(self) -> NDArray[np.int32]:
        """Lexicon rows that occur, ascending."""
        there = np.zeros(self.n_lexicon, bool)
        there[self.genes] = True
        return np.flatnonzero(there).astype(np.int32)

    def take(self, cells: NDArray[np.integer[Any]]) -> SelectedCells:
        """Return some cells, by their numbers, in that order; a cell may be asked for twice."""
        starts, sizes = self.indptr[cells], self.sizes[cells]
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        where = np.repeat(starts - indptr[:-1], sizes) + np.arange(indptr[-1])
        return replace(
            self,
            genes=self.genes[where],
            counts=self.counts[where],
            indptr=indptr,
            totals=self.totals[cells],
        )

    def weights(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Weights of the genes of cells ``start:stop``; see `lexicell_kernels.weights`.

        Returns
        -------
        numpy.ndarray
            float32, as ``genes[indptr[start]:indptr[stop]]``.
        """
        stop = len(self) if stop is None else stop
        indptr = self.indptr[start : stop + 1]
        a, b = int(indptr[0]), int(indptr[-1])
        counts = scores = self.counts[a:b].astype(np.float32)
        if self.rank_factor is not None:
            scores = counts * self.rank_factor[self.genes[a:b]]
        return weights(counts, scores, self.totals[start:stop].astype(np.float64), indptr - a, self.weight)

    @classmethod
    def of(cls, selections: Iterable[Selection], n_lexicon: int, **settings: Any) -> SelectedCells:
        """Keep what is selected block by block, each block being freed once it is copied.

        Parameters
        ----------
        selections
            In the order of the cells, each cell's genes ascending.
        n_lexicon, **settings
            See `SelectedCells`.
        """
        gene_type = np.uint16 if n_lexicon <= 1 << 16 else np.int32
        genes, counts = Growing(gene_type), Growing(np.uint8)
        sizes, totals = Growing(np.int64), Growing(np.float32)
        for part in selections:
            genes.append(part.genes.astype(gene_type))
            counts.append(compact(part.counts))
            sizes.append(np.diff(part.indptr))
            totals.append(part.totals.astype(np.float32))
        return cls(
            genes.array,
            counts.array,
            np.concatenate([[0], np.cumsum(sizes.array)]),
            totals.array,
            n_lexicon,
            **settings,
        )


def select_counts(
    counts: sp.csr_matrix | sp.csr_array,
    rows: NDArray[np.int32],
    totals: NDArray[np.float32],
    *,
    n_lexicon: int,
    lexicon: str = "",
    top_k: int | None = None,
    weight: Weight = Weight.LOG1P,
) -> SelectedCells:
    """Select the genes of cells whose matrix is in memory, and has columns of described genes only.

    Parameters
    ----------
    counts
        ``[N, m]``.
    rows
        ``[m]`` lexicon row of each column, no row twice.
    totals
        ``[N]`` all counts of each cell.
    n_lexicon, lexicon, top_k, weight
        See `SelectedCells`.

    Raises
    ------
    InvalidCountsError
        A count is negative, NaN or infinite.
    """
    genes = CandidateGenes.of(np.asarray(rows, np.int32))
    step = max(1, int(MAX_NNZ * counts.shape[0] / max(1, counts.nnz)))
    parts = (counts[start : start + step] for start in range(0, counts.shape[0], step))
    selections = (
        select_block(
            CsrBlock(
                data=part.data, indices=part.indices, indptr=part.indptr.astype(np.int64), n_columns=len(rows)
            ),
            genes,
            top_k,
        )
        for part in parts
    )
    selected = SelectedCells.of(selections, n_lexicon, lexicon=lexicon, top_k=top_k, weight=weight)
    return replace(selected, totals=np.asarray(totals, np.float32))
