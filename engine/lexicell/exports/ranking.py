"""Genes of cells in the order of another model's score, exactly as 64-bit numbers order them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexicell._trace import stage
from lexicell.embedding.candidates import CandidateGenes
from lexicell_kernels import CsrBlock, GeneTable, Ranking, block_to_host, cpu

__all__ = ["rank_genes"]


def rank_genes(
    counts: CsrBlock, genes: CandidateGenes, k: int | None, median: NDArray[np.float64] | None = None
) -> Ranking:
    """Rank the genes of cells by ``x / N * 10_000 / median``, descending, ties by id ascending.

    Scores are of 64 bits, in this order of operations, with ``N`` the sum of all counts.

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
    with stage("kernel"):
        return cpu.rank_genes(block_to_host(counts), table, k=k, divisor=median, ids=genes.rows)
