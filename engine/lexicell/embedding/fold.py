"""GeneTable: a lexicon (and what was learned on it) folded onto a data set's columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.learn import Projection
from lexicell.lexicon import Alignment, Lexicon
from lexicell_kernels import CsrBlock, GeneTable

__all__ = ["FoldedTable", "fold"]


@dataclass(frozen=True)
class FoldedTable:
    """A gene table and how a data set's blocks are brought to it.

    Attributes
    ----------
    table
        What the kernel reads; rows in lexicon order.
    lexicon_rows
        ``[m]`` int32, the lexicon row of each row of the table.
    same_gene
        ``[v]`` int32, for each column the first column that is the same gene; None where no gene has two.
    """

    table: GeneTable
    lexicon_rows: NDArray[np.int32]
    same_gene: NDArray[np.int32] | None

    def prepare(self, block: CsrBlock) -> CsrBlock:
        """Sum columns that are one gene; the block itself in the usual case that none are."""
        if self.same_gene is None:
            return block
        if block.data.size and not block.data.min() >= 0:
            return block  # the kernel names a negative value or NaN, which a sum would hide
        matrix = sp.csr_array(
            (
                # A row may hold up to v values that end up in one, and small integers would overflow.
                block.data.astype(np.float32),
                self.same_gene[block.indices],
                block.indptr,
            ),
            shape=(block.n_rows, block.n_columns),
        )
        matrix.sum_duplicates()
        return CsrBlock(matrix.data, matrix.indices, matrix.indptr.astype(np.int64), block.n_columns)


def fold(
    lexicon: Lexicon,
    alignment: Alignment,
    projection: Projection | None = None,
    *,
    masked: NDArray[np.bool_] | None = None,
    factor: NDArray[np.float32] | None = None,
) -> FoldedTable:
    """Fold a lexicon onto a data set's columns.

    Parameters
    ----------
    lexicon
        Vectors ``E[G, d]``.
    alignment
        Which lexicon row each of the ``v`` columns is.
    projection
        Applied to the vectors here, so that it costs nothing per cell; ``[m, d]`` becomes ``[m, p]``.
    masked
        ``[G]``, genes that are never candidates.
    factor
        ``[G]`` rank factors, finite and > 0.

    Returns
    -------
    FoldedTable
        With a table of ``m`` rows: float16 where that loses nothing (it is read twice as fast), else
        float32.

    Raises
    ------
    InputError
        A factor is not finite and positive, or the projection is for another lexicon.
    """
    if factor is not None and not (np.isfinite(factor) & (factor > 0)).all():
        msg = "rank factors must be finite and larger than 0; leave genes out by masking them"
        raise InputError(msg)
    rows = alignment.rows
    if masked is not None:
        rows = np.where((rows >= 0) & ~masked[np.maximum(rows, 0)], rows, -1).astype(np.int32)
    genes, first = np.unique(rows, return_index=True)
    genes, first = genes[genes >= 0], first[genes >= 0]

    rank = np.full(len(rows), -1, np.int32)
    rank[first] = np.arange(len(genes), dtype=np.int32)
    same_gene = None
    if (rows >= 0).sum() > len(genes):
        same_gene = np.arange(len(rows), dtype=np.int32)
        described = rows >= 0
        same_gene[described] = first[np.searchsorted(genes, rows[described])]

    vectors = lexicon.vectors(genes.astype(np.int64))
    if projection is not None:
        vectors = projection.apply(vectors, genes)
    with np.errstate(over="ignore"):  # what half precision can't hold becomes infinite, so unequal
        half = vectors.astype(np.float16)
    lossless = np.array_equal(half.astype(np.float32), vectors)
    table = GeneTable(
        half if lossless else vectors,
        rank,
        None if factor is None else factor[genes].astype(np.float32),
        None if projection is None else projection.bias,
    )
    return FoldedTable(table, genes, same_gene)
