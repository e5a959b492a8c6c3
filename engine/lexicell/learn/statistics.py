"""How genes vary over the cells of a data set, in one pass, and gene factors that need no labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._arrays import in_order, move, to_host
from lexicell._trace import stage
from lexicell.atlas import CountSource, Values, check_values, decode_values
from lexicell.embedding.events import Advanced, Listener, ignore
from lexicell.embedding.fold import FoldedTable
from lexicell.embedding.pipeline import MAX_NNZ
from lexicell.errors import InputError
from lexicell_kernels import CsrBlock

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = [
    "FactorKind",
    "GeneStatistics",
    "count_statistics",
    "dispersed_columns",
    "factors",
    "gene_statistics",
    "most_dispersed",
    "standardised_dispersion",
]

FactorKind = Literal["dispersion", "specificity", "idf", "median"]

#: Bins of ``1e4 x / N`` for the median: each 1 % wide, so its middle is within 0.5 % of what lies in it.
_RATIO = np.log(1.01)
#: The range they cover, in logarithms; what lies outside is counted in the first or last.
_LOWEST, _HIGHEST = np.log(1e-3), np.log(1e4)
_BINS = int(np.ceil((_HIGHEST - _LOWEST) / _RATIO)) + 1
#: Groups of genes of similar mean.
_GROUPS = 20
#: The least factor for "specificity", which would be 0 for a gene as variable as others of its mean.
_FLOOR = 0.05


@dataclass(frozen=True)
class GeneStatistics:
    """Each described gene of a data set over its ``n_cells`` cells.

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
    median_nonzero
        ``[m]`` float64, median of ``1e4 x / N`` where ``x > 0``, within 0.5 % (from a histogram); NaN for a
        gene that is nowhere. Below 0.001, that is less than one count in ten million, it is 0.001.
    """

    rows: NDArray[np.int32]
    n_cells: int
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    detected: NDArray[np.float64]
    share_mean: NDArray[np.float64]
    share_variance: NDArray[np.float64]
    median_nonzero: NDArray[np.float64]


def gene_statistics(
    source: CountSource,
    folded: FoldedTable,
    values: Values = Values.COUNTS,
    *,
    max_nnz: int = MAX_NNZ,
    listener: Listener = ignore,
) -> GeneStatistics:
    """Read all cells once; the result is the same to 1e-12 however they are cut into blocks.

    Parameters
    ----------
    source
        The counts.
    folded
        Which columns are described genes; columns that are one gene are summed.
    values
        What the numbers are.
    max_nnz
        Stored values of one block.
    listener
        Is told the progress, in cells.

    Returns
    -------
    GeneStatistics
        Of the ``m`` genes of the table.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names cell and gene.
    """
    sums = _Sums(folded.table.n_genes)
    rank = to_host(folded.table.rank)
    decoded = 0
    for start, stop in source.spans(max_nnz):
        with stage("decode"):
            block = source.read(start, stop)
        decoded += int(block.data.nbytes + block.indices.nbytes)
        block = move(block, "cpu")
        check_values(source, block, start, values)
        ready = folded.prepare(decode_values(block, values))
        with stage("statistics"):
            sums.add(_sorted(ready), rank)
        listener(Advanced(stop, source.n_cells, decoded))
    return sums.result(folded.lexicon_rows)


def count_statistics(
    counts: sp.csr_matrix | sp.csr_array, rows: NDArray[np.int32], totals: NDArray[np.float32]
) -> GeneStatistics:
    """Compute the same for a matrix ``[N, m]`` in memory.

    Parameters
    ----------
    counts
        Finite and not negative, no entry twice.
    rows
        ``[m]`` lexicon row of each column, no row twice.
    totals
        ``[N]`` all counts of each cell.
    """
    order = np.argsort(rows)
    rank = np.empty(len(rows), np.int32)
    rank[order] = np.arange(len(rows), dtype=np.int32)
    sums = _Sums(len(rows))
    step = max(1, int(MAX_NNZ * counts.shape[0] / max(1, counts.nnz)))
    for start in range(0, counts.shape[0], step):
        part = counts[start : start + step]
        block = CsrBlock(
            data=part.data, indices=part.indices, indptr=part.indptr.astype(np.int64), n_columns=len(rows)
        )
        sums.add(block, rank, np.asarray(totals[start : start + step], np.float64))
    return sums.result(rows[order])


def factors(statistics: GeneStatistics, kind: FactorKind) -> NDArray[np.float32]:
    """Return how much each gene should count, from how it varies and no labels; larger than 0, finite.

    Parameters
    ----------
    statistics
        Of ``m`` genes.
    kind
        ``"dispersion"``: ``softplus(z) / log 2`` of the dispersion ``z``, see `standardised_dispersion`, so 1
        for an average gene (after Satija et al. 2015). ``"specificity"``: the share of the variance beyond
        what genes of that mean have, at least 0.05. ``"idf"``: ``log(1 + n / (1 + n_g))`` with ``n_g`` of the
        ``n`` cells having the gene. ``"median"``: 1 over the median of its normalised counts that are not 0
        (Geneformer, Theodoris et al. 2023).

    Returns
    -------
    numpy.ndarray
        ``[m]`` float32, by ``statistics.rows``. A gene that no cell has gets 1.

    Raises
    ------
    InputError
        There is no such kind.
    """
    if kind not in get_args(FactorKind):
        message = f"gene factors are one of {', '.join(get_args(FactorKind))}, not {kind!r}"
        raise InputError(message)
    there = statistics.detected > 0
    found = np.ones(len(there))
    if kind == "dispersion":
        found[there] = np.logaddexp(0, _dispersion(statistics)[there]) / np.log(2)
    elif kind == "specificity":
        variance = statistics.variance[there].clip(1e-30)
        trend = np.exp(_trend(statistics.mean[there], np.log(variance)))
        found[there] = (1 - trend / variance).clip(_FLOOR)
    elif kind == "idf":
        n = statistics.n_cells
        found[there] = np.log1p(n / (1 + statistics.detected[there] * n))
    else:
        found[there] = 1 / statistics.median_nonzero[there]
    return found.astype(np.float32)


def most_dispersed(statistics: GeneStatistics, n: int) -> NDArray[np.int32]:
    """Lexicon rows, ascending, of the `n` genes of the largest normalised dispersion that occur."""
    score = _dispersion(statistics)
    best = np.lexsort((statistics.rows, -score))[: min(n, int((statistics.detected > 0).sum()))]
    return np.sort(statistics.rows[best])


def dispersed_columns(
    counts: sp.csr_matrix | sp.csr_array, totals: NDArray[np.float32], n: int
) -> NDArray[np.int64]:
    """Return the `n` columns of the largest dispersion, ascending, of a matrix ``[N, m]`` in memory.

    The same as `most_dispersed` of `count_statistics`, without what that costs beside.
    """
    cells = counts.shape[0]
    per_value = np.repeat(1e4 / np.maximum(np.asarray(totals, np.float64), 1e-12), np.diff(counts.indptr))
    share = counts.data * per_value
    mean = np.bincount(counts.indices, weights=share, minlength=counts.shape[1]) / max(cells, 1)
    squares = np.bincount(counts.indices, weights=share * share, minlength=counts.shape[1])
    variance = (squares - cells * mean * mean).clip(0) / max(cells - 1, 1)
    score = standardised_dispersion(mean, variance)
    best = np.argsort(-score, kind="stable")[: min(n, int((mean > 0).sum()))]
    return np.sort(best)


def standardised_dispersion(mean: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of variance over mean, standardised among genes of a similar mean.

    Means are those of normalised counts, compared in 20 bins of ``log1p(mean)``: flavour "seurat" of scanpy's
    ``highly_variable_genes``. A gene that does not vary has -inf.
    """
    varies = (mean > 0) & (variance > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = pd.DataFrame({"dispersion": np.where(varies, np.log(variance / mean), np.nan)})
    table["bin"] = pd.cut(np.log1p(mean), _GROUPS) if len(table) else []
    groups = table.groupby("bin", observed=True)["dispersion"]
    average, spread = groups.transform("mean"), groups.transform("std")
    alone = spread.isna() | (spread == 0)
    score = (table["dispersion"] - average.where(~alone, 0)) / spread.where(~alone, average)
    found: NDArray[np.float64] = score.where(varies & score.notna(), -np.inf).to_numpy(np.float64)
    return found


def _dispersion(statistics: GeneStatistics) -> NDArray[np.float64]:
    return standardised_dispersion(statistics.share_mean, statistics.share_variance)


def _trend(mean: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of `value` among genes of similar mean, interpolated."""
    groups = _by_mean(mean)
    centres = [float(np.median(mean[group])) for group in groups]
    return np.interp(mean, centres, [float(np.median(value[group])) for group in groups])


def _by_mean(mean: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Cut genes into groups of equal size by their mean, the smallest first."""
    parts = np.array_split(np.argsort(mean, kind="stable"), max(1, min(_GROUPS, len(mean) // 10)))
    return [part for part in parts if len(part)]


def _sorted(block: CsrBlock) -> CsrBlock:
    """Sum what stands twice in a row: a square of the sum is no sum of squares."""
    columns, indptr = block.indices, block.indptr
    if len(columns) > 1:
        rising = columns[1:] > columns[:-1]
        starts = indptr[1:-1]
        rising[starts[(starts > 0) & (starts < len(columns))] - 1] = True
        if not rising.all():
            return in_order(block)
    return block


class _Sums:
    """What adds up over blocks of cells, by gene."""

    def __init__(self, n_genes: int) -> None:
        self._m, self._n = n_genes, 0
        self._sum, self._squares = np.zeros(n_genes), np.zeros(n_genes)
        self._shares, self._share_squares = np.zeros(n_genes), np.zeros(n_genes)
        self._seen = np.zeros(n_genes, np.int64)
        # Pages of this that no gene reaches are never touched.
        self._histogram = np.zeros(n_genes * _BINS, np.uint32)

    def add(
        self, block: CsrBlock, rank: NDArray[np.int32], totals: NDArray[np.float64] | None = None
    ) -> None:
        indptr = np.asarray(block.indptr)
        a, b = int(indptr[0]), int(indptr[-1])
        cell = np.repeat(np.arange(block.n_rows), np.diff(indptr))
        x = block.data[a:b].astype(np.float64)
        sums = np.bincount(cell, weights=x, minlength=block.n_rows).astype(np.float64)
        gene = rank[block.indices[a:b]]
        known = (gene >= 0) & (x > 0)
        gene = gene[known]
        share = 1e4 * x[known] / (sums if totals is None else totals)[cell[known]]
        value = np.log1p(share)
        self._n += block.n_rows
        self._sum += np.bincount(gene, weights=value, minlength=self._m)
        self._squares += np.bincount(gene, weights=value * value, minlength=self._m)
        self._shares += np.bincount(gene, weights=share, minlength=self._m)
        self._share_squares += np.bincount(gene, weights=share * share, minlength=self._m)
        self._seen += np.bincount(gene, minlength=self._m)
        bins = ((np.log(share) - _LOWEST) / _RATIO).astype(np.int64).clip(0, _BINS - 1)
        np.add.at(self._histogram, gene * np.int64(_BINS) + bins, 1)

    def result(self, rows: NDArray[np.int32]) -> GeneStatistics:
        n = self._n
        mean, variance = self._moments(self._sum, self._squares)
        share_mean, share_variance = self._moments(self._shares, self._share_squares)
        detected = self._seen / max(n, 1)
        return GeneStatistics(rows, n, mean, variance, detected, share_mean, share_variance, self._medians())

    def _moments(
        self, total: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n = self._n
        mean = total / max(n, 1)
        return mean, (squares - n * mean * mean).clip(0) / max(n - 1, 1)

    def _medians(self) -> NDArray[np.float64]:
        medians = np.full(self._m, np.nan)
        histogram = self._histogram.reshape(self._m, _BINS)
        for gene in np.flatnonzero(self._seen):
            cumulated = np.cumsum(histogram[gene])
            n = self._seen[gene]
            middle = np.searchsorted(cumulated, [(n - 1) // 2, n // 2], side="right")
            medians[gene] = np.exp(_LOWEST + (middle + 0.5) * _RATIO).mean()
        return medians
