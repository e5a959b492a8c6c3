"""The definition of the numbers: float64 NumPy, one cell at a time, nothing clever.

Every other backend is held against this file by `lexicell_kernels.parity`. With ``x`` a cell's counts
(read as float32) and ``N`` their sum over *all* columns:

1. candidates are columns with ``x > 0`` and a row in the gene table;
2. their score is ``x * rank_factor``, rounded to float32 once, so that ties are the same on every backend;
3. the k highest are selected by ``(score descending, lexicon row ascending)``;
4. each gets a weight (`Weight`);
5. ``z = sum(w * T) / sum(w) + bias``, then divided by its length;
6. a cell with no candidate is a zero row with ``n_genes == 0``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexicell_kernels._weights import weights
from lexicell_kernels.types import (
    CsrBlock,
    GeneTable,
    InvalidCountsError,
    Order,
    Picks,
    Ranking,
    Rows,
    Weight,
    check_options,
    empty_rows,
    out_of_range,
)

__all__ = ["embed_rows", "rank_genes", "select_topk"]


class _Selection(NamedTuple):
    genes: NDArray[np.int64]  # rows of the table, ascending
    scores: NDArray[np.float32]
    counts: NDArray[np.float64]
    total: float
    described: float
    n_tied: int


def embed_rows(
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int | None,
    weight: Weight = Weight.LOG1P,
    normalise: bool = True,
) -> Rows:
    """Embed every row of `block`; see `lexicell_kernels.embed_rows`."""
    check_options(k, table, block)
    out = empty_rows(block.n_rows, table.dim)
    vectors = np.asarray(table.vectors, dtype=np.float64)
    for row in range(block.n_rows):
        chosen = _select(block, table, row, k)
        out.n_genes[row] = len(chosen.genes)
        out.n_tied[row] = chosen.n_tied
        out.coverage[row] = chosen.described / chosen.total if chosen.total else 0.0
        out.vectors[row] = 0.0
        if not len(chosen.genes):
            continue
        total, ends = np.array([chosen.total]), np.array([0, len(chosen.genes)])
        w = weights(chosen.counts, chosen.scores, total, ends, weight, dtype=np.float64)
        z = w @ vectors[chosen.genes] / w.sum()
        if table.bias is not None:
            z = z + table.bias
        length = np.sqrt((z * z).sum()) if normalise else 1.0
        if length > 0:
            out.vectors[row] = z / length
    return out


def select_topk(block: CsrBlock, table: GeneTable, *, k: int, order: Order = Order.LEXICON) -> Picks:
    """Select the k highest-scoring genes of every row; see `lexicell_kernels.select_topk`."""
    check_options(k, table, block)
    n = block.n_rows
    out = Picks(
        np.full((n, k), -1, np.int32),
        np.zeros((n, k), np.float32),
        np.zeros((n, k), np.float32),
        np.empty(n, np.int32),
        np.empty(n),
    )
    for row in range(n):
        chosen = _select(block, table, row, k)
        m = len(chosen.genes)
        by = np.lexsort((chosen.genes, -chosen.scores)) if order is Order.SCORE else np.arange(m)
        out.genes[row, :m] = chosen.genes[by]
        out.scores[row, :m] = chosen.scores[by]
        out.counts[row, :m] = chosen.counts[by]
        out.n_genes[row] = m
        out.totals[row] = chosen.total
    return out


def rank_genes(
    block: CsrBlock, table: GeneTable, *, k: int | None, divisor: NDArray[np.float64] | None = None
) -> Ranking:
    """List the genes of every row by score, in 64 bits; see `lexicell_kernels.cpu.rank_genes`."""
    check_options(k, table, block)
    plain = GeneTable(table.vectors, table.rank)
    n_tied = np.zeros(block.n_rows, np.int32)
    genes, counts, totals = [], [], []
    for row in range(block.n_rows):
        found = _select(block, plain, row, None)
        scores = found.counts
        if divisor is not None:
            scores = found.counts / found.total * 10_000 / divisor[found.genes]
        by = np.lexsort((found.genes, -scores))
        listed = by[:k]
        if len(listed) < len(by):
            n_tied[row] = (scores[listed] == scores[by[len(listed)]]).sum()
        genes.append(found.genes[listed].astype(np.int32))
        counts.append(found.counts[listed].astype(np.float32))
        totals.append(found.total)
    indptr = np.cumsum([0, *map(len, genes)])
    none = np.empty(0, np.float32)
    return Ranking(
        np.concatenate([none.astype(np.int32), *genes]),
        np.concatenate([none, *counts]),
        indptr,
        np.array(totals, np.float64),
        n_tied,
    )


def _select(block: CsrBlock, table: GeneTable, row: int, k: int | None) -> _Selection:
    a, b = int(block.indptr[row]), int(block.indptr[row + 1])
    with np.errstate(over="ignore"):  # too large for float32 is infinite
        given = block.data[a:b].astype(np.float32)
    bad = ~(np.isfinite(given) & (given >= 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InvalidCountsError(row, int(block.indices[a + first]), float(given[first]))
    columns, inverse = np.unique(block.indices[a:b].astype(np.int64), return_inverse=True)
    if len(columns) and not 0 <= columns[0] <= columns[-1] < block.n_columns:
        raise ValueError(out_of_range(row, block))
    x = np.zeros(len(columns), np.float32)
    np.add.at(x, inverse, given)

    rank = np.asarray(table.rank)[columns].astype(np.int64)
    candidate = (x > 0) & (rank >= 0)
    genes, counts = rank[candidate], x[candidate]
    with np.errstate(over="ignore", under="ignore"):  # scores beyond float32 are tied at infinity
        scores = (
            counts if table.rank_factor is None else counts * np.asarray(table.rank_factor, np.float32)[genes]
        )
    order = np.lexsort((genes, -scores))
    n_tied = 0
    if k is not None and len(order) > k:
        n_tied = int((scores == scores[order[k - 1]]).sum())
        order = order[:k]
    order = order[np.argsort(genes[order])]
    return _Selection(
        genes[order],
        scores[order],
        counts[order].astype(np.float64),
        float(x.sum(dtype=np.float64)),
        float(counts.sum(dtype=np.float64)),
        n_tied,
    )
