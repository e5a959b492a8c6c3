"""How genes vary over the cells of a data set, and which are highly variable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._trace import stage
from lexicell.arrays import in_order
from lexicell.embedding.events import Listener, ignore
from lexicell_kernels import CsrBlock

if TYPE_CHECKING:
    import scipy.sparse as sp

    from lexicell.embedding.aligned import AlignedCells

__all__ = [
    "GeneStatistics",
    "enough_cells",
    "gene_statistics",
    "highly_variable_columns",
    "highly_variable_genes",
    "standardised_dispersion",
]

#: Bins of genes of a similar mean.
_BINS = 20
#: Rows of a matrix that are looked at together.
_ROWS = 512
#: Cells that have a gene.
_ENOUGH = 10


@dataclass(frozen=True)
class GeneStatistics:
    """Each candidate gene of a data set over its ``n_cells`` cells.

    Attributes
    ----------
    rows
        ``[m]`` int32 lexicon rows, ascending.
    n_cells
        Cells, those without counts included.
    mean, variance
        ``[m]`` float64 of ``log1p(1e4 x / N)``; the variance with ``n - 1``.
    detected
        ``[m]`` float64, share of the cells with ``x > 0``.
    share_mean, share_variance
        ``[m]`` float64 of ``1e4 x / N``; the variance with ``n - 1``.
    """

    rows: NDArray[np.int32]
    n_cells: int
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    detected: NDArray[np.float64]
    share_mean: NDArray[np.float64]
    share_variance: NDArray[np.float64]

    def among(self, rows: NDArray[np.integer[Any]]) -> GeneStatistics:
        """Of the genes that are some lexicon rows."""
        kept = np.isin(self.rows, rows)
        by_gene: dict[str, Any] = {
            part.name: getattr(self, part.name)[kept] for part in fields(self) if part.name != "n_cells"
        }
        return replace(self, **by_gene)


def gene_statistics(
    cells: AlignedCells, *, max_nnz: int | None = None, listener: Listener = ignore
) -> GeneStatistics:
    """Read all cells once; the result is the same to 1e-12 however they are cut into blocks.

    Parameters
    ----------
    cells
        Counts, and the ``m`` candidate genes.
    max_nnz
        Stored values of one block.
    listener
        Is told the progress, in cells.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names cell and gene.
    """
    sums = _Sums(len(cells.genes.rows))
    for _, block in cells.blocks(max_nnz, listener=listener):
        with stage("statistics"):
            sums.add(_sorted(block), cells.genes.rank)
    return sums.result(cells.genes.rows)


def highly_variable_genes(
    statistics: GeneStatistics, n_top_genes: int, *, least_cells: int = 0
) -> NDArray[np.int32]:
    """Lexicon rows, ascending, of the genes that vary most for their mean.

    Flavour "seurat" of scanpy's ``highly_variable_genes``, see `standardised_dispersion`: the same genes, but
    that scanpy takes all that are tied with the last one, and here the lexicon's order decides.

    Parameters
    ----------
    statistics
        Of ``m`` genes.
    n_top_genes
        How many; fewer where fewer vary.
    least_cells
        Genes that fewer cells have are no candidates; see `enough_cells`.
    """
    enough = statistics.detected * statistics.n_cells > least_cells - 0.5  # a share, rounded
    score = standardised_dispersion(np.where(enough, statistics.share_mean, 0), statistics.share_variance)
    return statistics.rows[_highest(score, n_top_genes)]


def highly_variable_columns(
    counts: sp.csr_matrix | sp.csr_array,
    totals: NDArray[np.floating],
    n_top_genes: int,
    *,
    least_cells: int = 0,
    undo: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> NDArray[np.int64]:
    """Return the same, as columns of a matrix ``[N, m]`` in memory, with the ``[N]`` totals of its cells.

    `undo` makes counts of its values, where these are none.
    """
    n, m = counts.shape
    factor = 1e4 / np.maximum(np.asarray(totals, np.float64), 1e-12)
    mean, squares, detected = np.zeros(m), np.zeros(m), np.zeros(m, np.int64)
    for start in range(0, n, _ROWS):  # a copy of all values as float64 would be the largest thing in memory
        ends = counts.indptr[start : start + _ROWS + 1]
        columns, data = (part[ends[0] : ends[-1]] for part in (counts.indices, counts.data))
        share = data.astype(np.float64) if undo is None else undo(data.astype(np.float64))
        share *= np.repeat(factor[start : start + _ROWS], np.diff(ends))
        np.add.at(mean, columns, share)
        np.add.at(squares, columns, share * share)
        np.add.at(detected, columns[data > 0], 1)
    mean /= max(n, 1)
    variance = (squares - n * mean * mean).clip(0) / max(n - 1, 1)
    mean[detected < least_cells] = 0
    return _highest(standardised_dispersion(mean, variance), n_top_genes)


def enough_cells(n_cells: int) -> int:
    """How many cells must have a gene before its dispersion is more than the chance of which cells they are.

    Ten, or a fifth of the cells where there are fewer than fifty. Among few cells the highest dispersions
    are of genes that one or two of them have.
    """
    return min(_ENOUGH, n_cells // 5)


def _highest(score: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Places of the n highest finite scores, ascending; the first of those that are tied."""
    best = np.argsort(-score, kind="stable")[: min(n, int(np.isfinite(score).sum()))]
    return np.sort(best)


def standardised_dispersion(mean: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of variance over mean, standardised among genes of a similar mean.

    Means are those of normalised counts, compared in 20 bins of ``log1p(mean)``: flavour "seurat" of scanpy's
    ``highly_variable_genes``. A gene that does not vary has -inf.
    """
    varies = (mean > 0) & (variance > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = pd.DataFrame({"dispersion": np.where(varies, np.log(variance / mean), np.nan)})
    table["bin"] = pd.cut(np.log1p(mean), _BINS) if len(table) else []
    groups = table.groupby("bin", observed=True)["dispersion"]
    average, spread = groups.transform("mean"), groups.transform("std")
    alone = spread.isna() | (spread == 0)
    score = (table["dispersion"] - average.where(~alone, 0)) / spread.where(~alone, average)
    found: NDArray[np.float64] = score.where(varies & score.notna(), -np.inf).to_numpy(np.float64)
    return found


def _sorted(block: CsrBlock) -> CsrBlock:
    """Sum what stands twice in a row: a square of the sum is no sum of squares."""
    columns, indptr = block.indices, block.indptr
    rising = columns[1:] > columns[:-1]
    starts = indptr[1:-1]
    rising[starts[(starts > 0) & (starts < len(columns))] - 1] = True
    return block if rising.all() else in_order(block)


class _Sums:
    """What adds up over blocks of cells, by gene."""

    def __init__(self, n_genes: int) -> None:
        self._m, self._n = n_genes, 0
        self._sum, self._squares = np.zeros(n_genes), np.zeros(n_genes)
        self._shares, self._share_squares = np.zeros(n_genes), np.zeros(n_genes)
        self._seen = np.zeros(n_genes, np.int64)

    def add(self, block: CsrBlock, rank: NDArray[np.int32]) -> None:
        indptr = np.asarray(block.indptr)
        a, b = int(indptr[0]), int(indptr[-1])
        cell = np.repeat(np.arange(block.n_rows), np.diff(indptr))
        x = block.data[a:b].astype(np.float64)
        sums = np.bincount(cell, weights=x, minlength=block.n_rows).astype(np.float64)
        gene = rank[block.indices[a:b]]
        known = (gene >= 0) & (x > 0)
        gene = gene[known]
        share = 1e4 * x[known] / sums[cell[known]]
        value = np.log1p(share)
        self._n += block.n_rows
        self._sum += np.bincount(gene, weights=value, minlength=self._m)
        self._squares += np.bincount(gene, weights=value * value, minlength=self._m)
        self._shares += np.bincount(gene, weights=share, minlength=self._m)
        self._share_squares += np.bincount(gene, weights=share * share, minlength=self._m)
        self._seen += np.bincount(gene, minlength=self._m)

    def result(self, rows: NDArray[np.int32]) -> GeneStatistics:
        n = self._n
        mean, variance = self._moments(self._sum, self._squares)
        share_mean, share_variance = self._moments(self._shares, self._share_squares)
        detected = self._seen / max(n, 1)
        return GeneStatistics(rows, n, mean, variance, detected, share_mean, share_variance)

    def _moments(
        self, total: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n = self._n
        mean = total / max(n, 1)
        return mean, (squares - n * mean * mean).clip(0) / max(n - 1, 1)
