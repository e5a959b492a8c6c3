"""Genes of cells in the order of another model's score, exactly as 64-bit numbers order them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lexicell._trace import stage
from lexicell.counts import gather_rows
from lexicell.embedding.candidates import CandidateGenes
from lexicell_kernels import CsrBlock, GeneTable, Ranking, block_to_host, cpu

__all__ = ["in_order_of", "rank_genes"]

#: From here on 32 bits, in which the kernel reads counts, do not tell all whole numbers apart.
_EXACT = 2**24


def rank_genes(
    counts: CsrBlock, genes: CandidateGenes, k: int | None, median: NDArray[np.float64] | None = None
) -> Ranking:
    """Rank the genes of cells by ``x / N * 10_000 / median``, descending, ties by id ascending.

    Scores are of 64 bits, in this order of operations, with ``N`` the sum of all counts. So are the listed
    counts where one of the block is above 2^24.

    Parameters
    ----------
    counts
        What `CandidateGenes.counts` gives.
    genes
        ``m`` candidates; ids are its rows.
    k
        Genes of a cell; None for all.
    median
        ``[m]``, positive; None where counts themselves are compared.

    Returns
    -------
    Ranking
        With ids.

    Raises
    ------
    InvalidCountsError
        A count is negative, NaN or infinite.
    """
    table = GeneTable(np.empty((len(genes.rows), 0), np.float32), genes.rank)
    block = block_to_host(counts)
    with stage("kernel"):
        found = cpu.rank_genes(block, table, k=k, divisor=median, ids=genes.rows)
    if block.data.dtype.itemsize < 4 or not (large := block.data > _EXACT).any():
        return found
    cells = np.unique(np.searchsorted(block.indptr, np.flatnonzero(large), side="right") - 1)
    return _exactly(found, gather_rows(block, cells), cells, genes, k, median)


def in_order_of(scores: NDArray[np.float64], found: Ranking) -> Ranking:
    """Sort the cells again in which other scores, ``[nnz]``, are in another order; equal ones by id.

    What is the same score but for its rounding can exchange neighbours.
    """
    wrong = (scores[:-1] < scores[1:]) | ((scores[:-1] == scores[1:]) & (found.genes[:-1] > found.genes[1:]))
    ends = found.indptr[1:-1] - 1
    wrong[ends[(ends >= 0) & (ends < len(wrong))]] = False  # the next one is another cell's
    if not wrong.any():
        return found
    cells = np.unique(np.searchsorted(found.indptr, np.flatnonzero(wrong), side="right") - 1)
    at = _places(found.indptr, cells)
    cell = np.repeat(cells, np.diff(found.indptr)[cells])
    order = at[np.lexsort((found.genes[at], -scores[at], cell))]
    genes, counts = found.genes.copy(), found.counts.copy()
    genes[at], counts[at] = found.genes[order], found.counts[order]
    return replace(found, genes=genes, counts=counts)


def _exactly(
    found: Ranking,
    block: CsrBlock,
    cells: NDArray[np.int64],
    genes: CandidateGenes,
    k: int | None,
    median: NDArray[np.float64] | None,
) -> Ranking:
    """Rank some cells, the rows of `block`, again as 64-bit numbers."""
    x = block.data.astype(np.float64)
    row = np.repeat(np.arange(block.n_rows), np.diff(block.indptr))
    totals = np.bincount(row, x, block.n_rows)
    place = genes.rank[block.indices]
    kept = (place >= 0) & (x > 0)
    x, row, place = x[kept], row[kept], place[kept]
    score = x if median is None else x / totals[row] * 10_000 / median[place]
    order = np.lexsort((place, -score, row))
    x, row, place, score = x[order], row[order], place[order], score[order]
    starts = np.searchsorted(row, np.arange(block.n_rows))
    rank = np.arange(len(row)) - starts[row]
    most = len(row) if k is None else k
    cut = np.full(block.n_rows, np.nan)
    cut[row[rank == most]] = score[rank == most]
    listed = rank < most
    at = _places(found.indptr, cells)
    listing, counts = found.genes.copy(), found.counts.astype(np.float64)
    listing[at], counts[at] = genes.rows[place[listed]], x[listed]
    n_tied, sums = found.n_tied.copy(), found.totals.copy()
    n_tied[cells] = np.bincount(row[listed & (score == cut[row])], minlength=block.n_rows)
    sums[cells] = totals
    return replace(found, genes=listing, counts=counts, n_tied=n_tied, totals=sums)


def _places(indptr: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the genes of some cells, one cell after another."""
    sizes = np.diff(indptr)[cells]
    return np.repeat(indptr[cells] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
