"""Genes of cells in the order of another model's score, exactly as 64-bit numbers order them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.selected import Selection, select_block
from lexicell_kernels import CsrBlock, Order

__all__ = ["Ranked", "rank_genes"]

#: Relative gap below which scores of 32 bits may stand in the wrong order.
_NEAR = 2.0**-21
#: Genes that are selected beyond the cut, so that what belongs above it is among them.
_SLACK = 8


@dataclass(frozen=True)
class Ranked:
    """Ranked genes of ``n`` cells, in CSR form.

    Attributes
    ----------
    genes
        ``[nnz]`` int32 ids, as `CandidateGenes.rows` has them; the highest score first, ties by id.
    counts
        ``[nnz]`` float32.
    indptr
        ``[n + 1]`` int64.
    totals
        ``[n]`` float64, all counts of a cell.
    n_tied
        ``[n]`` int32, of the genes that are listed, how many have the count of the first one that is not:
        where counts are compared, these were chosen by the order of ids alone.
    """

    genes: NDArray[np.int32]
    counts: NDArray[np.float32]
    indptr: NDArray[np.int64]
    totals: NDArray[np.float64]
    n_tied: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.totals)


def rank_genes(
    counts: CsrBlock, genes: CandidateGenes, k: int | None, median: NDArray[np.float64] | None = None
) -> Ranked:
    """Rank the genes of cells by ``x / median``, descending, ties by id ascending.

    The kernel compares scores of 32 bits, which may exchange neighbours that are closer than ``2^-22``: these
    are compared again as ``x / N * 10_000 / median`` in 64 bits, in this order of operations.

    Parameters
    ----------
    counts
        What `CandidateGenes.counts` gives.
    genes
        ``m`` candidates; ids are its rows.
    k
        Genes of a cell; None for all.
    median
        ``[m]``, positive; None for 1, where counts themselves are compared.

    Raises
    ------
    InvalidCountsError
        A count is negative, NaN or infinite.
    """
    if median is None:
        found = select_block(counts, genes, None if k is None else k + 1, order=Order.SCORE)
        return _cut(found, found.genes, found.counts, k)
    factor, slack = (1.0 / median).astype(np.float32), _SLACK
    while True:
        asked = None if k is None else k + slack
        found = select_block(counts, genes, asked, order=Order.SCORE, rank_factor=factor)
        near = _near(found)
        if asked is None or not _may_miss(near, found.indptr, k or 0, asked):
            break
        slack *= 8
    listed, x = found.genes, found.counts
    if near.any():
        listed, x = listed.copy(), x.copy()
        together = np.append(False, near)  # with the one before
        at = np.flatnonzero(together | np.append(near, False))
        run = np.cumsum(~together)[at]
        cell = np.searchsorted(found.indptr, at, side="right") - 1
        of_gene = median[np.searchsorted(genes.rows, listed[at])]
        score = x[at].astype(np.float64) / found.totals[cell] * 10_000 / of_gene
        order = np.lexsort((listed[at], -score, run))
        listed[at], x[at] = listed[at][order], x[at][order]
    return _cut(found, listed, x, k)


def _near(found: Selection) -> NDArray[np.bool_]:
    """Whether each gene but the last may have to change places with the next one, ``[nnz - 1]``."""
    scores = found.scores
    near = np.asarray(scores[:-1] - scores[1:] <= scores[:-1] * np.float32(_NEAR), np.bool_)
    ends = found.indptr[1:-1] - 1
    near[ends[(ends >= 0) & (ends < len(near))]] = False  # the next one is another cell's
    return near


def _may_miss(near: NDArray[np.bool_], indptr: NDArray[np.int64], k: int, asked: int) -> bool:
    """Whether in some cell all genes from the cut to the last one that was selected are near each other."""
    full = indptr[:-1][np.diff(indptr) == asked]
    return bool(near[full[:, None] + np.arange(k - 1, asked - 1)].all(axis=1).any())


def _cut(found: Selection, listed: NDArray[np.int32], x: NDArray[np.float32], k: int | None) -> Ranked:
    """Keep the first k genes of each cell, and count those that a tie at the cut has chosen."""
    sizes = np.diff(found.indptr)
    n_tied = np.zeros(len(found), np.int32)
    if k is None or not (sizes > k).any():
        return Ranked(listed, x, found.indptr, found.totals, n_tied)
    rank = np.arange(len(listed)) - np.repeat(found.indptr[:-1], sizes)
    next_one = np.full(len(found), np.nan, np.float32)
    cut = sizes > k
    next_one[cut] = x[found.indptr[:-1][cut] + k]
    kept = rank < k
    cell = np.repeat(np.arange(len(found)), sizes)[kept]
    tied = x[kept] == next_one[cell]
    n_tied = np.bincount(cell[tied], minlength=len(found)).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(sizes, k))])
    return Ranked(listed[kept], x[kept], indptr, found.totals, n_tied)
