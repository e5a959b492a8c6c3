"""What each gene contributes to the score of single cells: exactly, since pooling is linear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.arrays import move
from lexicell.counts import naming_bad_counts
from lexicell.embedding import Plan, Selection
from lexicell.embedding.selected import select_block
from lexicell.errors import InputError
from lexicell.explanation.evidence import Contrast
from lexicell.explanation.sums import GroupSums

__all__ = ["CellContributions", "GeneRows", "check_linear", "contributions", "pooled_vectors", "select_cell"]

#: Cells whose products with their genes are made at once.
_CELLS = 256


@dataclass(frozen=True)
class GeneRows:
    """What pooling reads: the ``m`` rows of a plan's gene table, as they are folded.

    Attributes
    ----------
    rows
        ``[m]`` int32 lexicon rows, ascending.
    symbols
        ``[m]`` str.
    table
        ``[m, p]`` float32.
    bias
        ``[p]`` float64; zeros where the projection has none.
    """

    rows: NDArray[np.int32]
    symbols: NDArray[np.object_]
    table: NDArray[np.float32]
    bias: NDArray[np.float64]

    @classmethod
    def of(cls, plan: Plan) -> GeneRows:
        """Those of a plan."""
        table, rows = plan.folded.table, plan.folded.genes.rows
        bias = np.zeros(table.dim) if table.bias is None else np.asarray(table.bias, np.float64)
        symbols = np.asarray(plan.cells.lexicon.genes.column("symbol").to_pylist(), object)[rows]
        return cls(rows, symbols, np.asarray(table.vectors, np.float32), bias)

    def contrast(self, sides: GroupSums, direction: NDArray[np.float64] | None = None) -> Contrast:
        """Compare two sides along a direction, by default that of their difference."""
        if direction is None:
            return Contrast.between(sides, self.table, self.bias)
        return Contrast(sides, direction, self.table, self.bias)


@dataclass(frozen=True)
class CellContributions:
    """Contributions to the scores ``<z, v>`` of ``n`` cells, in CSR form.

    Attributes
    ----------
    indptr
        ``[n + 1]`` int64.
    genes
        ``[nnz]`` rows of the table.
    values
        ``[nnz]`` float64 contributions: share of the weights times ``<T_g, v>``, over the vector's length
        where vectors are normalised.
    bias
        ``[n]`` float64 contributions of the bias.
    scores
        ``[n]`` float64: the sums of both.
    """

    indptr: NDArray[np.int64]
    genes: NDArray[np.intp]
    values: NDArray[np.float64]
    bias: NDArray[np.float64]
    scores: NDArray[np.float64]


def check_linear(plan: Plan) -> None:
    """Raise InputError where a plan's vectors are no sums of what genes contribute: after a head."""
    if plan.folded.head:
        name = "" if plan.projection is None else f" {plan.projection.name}"
        msg = (
            f"the projection{name} has a head, which is not linear, so that genes have no exact "
            "contributions; explain one that was trained without one"
        )
        raise InputError(msg)


def contributions(
    selection: Selection, genes: GeneRows, vector: NDArray[np.float64] | None, *, unit: bool = True
) -> CellContributions:
    """Take the scores of cells apart, gene by gene.

    Parameters
    ----------
    selection
        ``n`` cells.
    genes
        What they are pooled of.
    vector
        ``[p]`` what they are scored by; None for each cell's own vector.
    unit
        Whether it is the score of the vectors of length 1, or of those before.

    Returns
    -------
    CellContributions
        A cell without genes, or whose genes cancel out, has 0 throughout.
    """
    n, sizes = len(selection), np.diff(selection.indptr)
    pooled = _pooled(selection, genes)
    inverse = _inverse_lengths(pooled) if unit else (sizes > 0).astype(np.float64)
    at = np.searchsorted(genes.rows, selection.genes)
    cell = np.repeat(np.arange(n), sizes)
    if vector is None:
        own = pooled * inverse[:, None]
        gains, of_bias = _own_gains(genes.table, at, selection.indptr, own), own @ genes.bias
    else:
        gains, of_bias = (genes.table.astype(np.float64) @ vector)[at], np.full(n, float(genes.bias @ vector))
    values = selection.shares * gains * inverse[cell]
    bias = of_bias * inverse
    return CellContributions(
        selection.indptr, at, values, bias, np.bincount(cell, values, minlength=n) + bias
    )


def pooled_vectors(selection: Selection, genes: GeneRows, *, unit: bool = True) -> NDArray[np.float64]:
    """Vectors ``[n, p]`` of cells in float64; zeros for a cell without genes."""
    pooled = _pooled(selection, genes)
    return pooled * _inverse_lengths(pooled)[:, None] if unit else pooled


def _pooled(selection: Selection, genes: GeneRows) -> NDArray[np.float64]:
    at = np.searchsorted(genes.rows, selection.genes)
    shares = sp.csr_array((selection.shares, at, selection.indptr), (len(selection), len(genes.rows)))
    has = np.diff(selection.indptr) > 0
    return np.asarray(shares @ genes.table.astype(np.float64) + np.outer(has, genes.bias), np.float64)


def _own_gains(
    table: NDArray[np.float32],
    at: NDArray[np.intp],
    indptr: NDArray[np.int64],
    vectors: NDArray[np.float64],
) -> NDArray[np.float64]:
    """``<T_g, z>`` of each cell's genes and its own vector, ``[nnz]``; cells that follow share products."""
    gains = np.empty(len(at))
    for first in range(0, len(vectors), _CELLS):
        cells = vectors[first : first + _CELLS]
        ends = indptr[first : first + len(cells) + 1]
        used, place = np.unique(at[ends[0] : ends[-1]], return_inverse=True)
        products = table[used].astype(np.float64) @ cells.T
        gains[ends[0] : ends[-1]] = products[place, np.repeat(np.arange(len(cells)), np.diff(ends))]
    return gains


def _inverse_lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=1)
    found: NDArray[np.float64] = np.where(length > 0, 1 / np.where(length > 0, length, 1), 0)
    return found


def select_cell(plan: Plan, row: int) -> Selection:
    """Select the genes of one cell of a plan's data set.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names cell and gene.
    """
    cells, source = plan.cells, plan.cells.source
    genes, factor = plan.folded.genes, plan.folded.table.rank_factor
    stored = move(source.read(row, row + 1), "cpu")
    with naming_bad_counts(stored, row, cells.values, source.label, source.names, source.var.index):
        return select_block(
            genes.counts(stored, cells.values),
            genes,
            plan.recipe.top_k,
            start=row,
            weight=plan.recipe.weight,
            rank_factor=factor,
        )
