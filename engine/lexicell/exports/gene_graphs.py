"""Graphs of genes that vary together in a group of cells, as HEIST has them beside its graph of cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.exports.components import Moments

__all__ = ["GeneGraphs", "expression", "gene_graphs"]

#: Genes of a group at most, and share of their pairs that become edges.
MOST_GENES, SHARE = 200, 0.25
#: Values of log1p(1e4 x / N) are below this; they are compared in steps of 2^-14.
_LARGEST, _UNIT = 10.0, 2.0**-14


@dataclass(frozen=True)
class GeneGraphs:
    """Edges between genes of each group.

    Attributes
    ----------
    edges
        Columns ``gene_a``, ``gene_b``, ``weight`` (float32), ``group``.
    genes
        ``[g]`` places of the genes that any group has, ascending.
    skipped
        Groups of fewer than three cells.
    """

    edges: pd.DataFrame
    genes: NDArray[np.int64]
    skipped: tuple[str, ...]


def expression(table: pa.Table, m: int) -> sp.csr_matrix:
    """``log1p(1e4 x / N)`` of the ``m`` genes, ``[n, m]``, of a table of `ColumnEncoder`; in 2^-14ths."""
    genes, values = (table.column(name).combine_chunks() for name in ("genes", "values"))
    indptr = np.asarray(genes.offsets)
    totals = np.repeat(table.column("n_total").to_numpy(), np.diff(indptr))
    x = np.log1p(1e4 * values.values.to_numpy().astype(np.float64) / totals)
    return sp.csr_matrix((np.rint(x / _UNIT) * _UNIT, genes.values.to_numpy(), indptr), shape=(len(genes), m))


def gene_graphs(
    tables: Iterable[pa.Table], codes: NDArray[np.int64], groups: Sequence[str], symbols: NDArray[np.object_]
) -> GeneGraphs:
    """Find the genes that vary most in each group, and which of them vary together.

    Parameters
    ----------
    tables
        Of `ColumnEncoder`; read twice.
    codes
        ``[N]`` group of each cell of the data set, -1 for none.
    groups
        Their names.
    symbols
        ``[m]`` names of the genes.

    Notes
    -----
    Of ``log1p(1e4 x / N)``: at most 200 genes of the largest variance, and the quarter of their pairs with
    the largest absolute Pearson correlation; its sign stays in the weight. Sums are of whole numbers, so that
    no order of cells changes a bit.
    """
    m, n_groups = len(symbols), len(groups)
    sums, squares, sizes = np.zeros((n_groups, m)), np.zeros((n_groups, m)), np.zeros(n_groups)
    for x, of in _coded(tables, codes, m):
        member = sp.csr_matrix((np.ones(int((of >= 0).sum())), (of[of >= 0], np.flatnonzero(of >= 0))),
                               shape=(n_groups, len(of)))  # fmt: skip
        sums += (member @ x).toarray() / _UNIT
        squares += (member @ x.multiply(x).tocsr()).toarray() / _UNIT**2
        sizes += np.bincount(of[of >= 0], minlength=n_groups)
    variance = squares - sums**2 / np.maximum(sizes, 1)[:, None]
    chosen = [
        _most_variable(one) if size > 2 else np.zeros(0, np.int64)
        for one, size in zip(variance, sizes, strict=True)
    ]
    moments = [Moments(len(genes), _LARGEST) for genes in chosen]
    for x, of in _coded(tables, codes, m):
        for group in np.unique(of[of >= 0]).tolist():
            if len(chosen[group]):
                moments[group].add(x[of == group][:, chosen[group]].toarray())
    edges = [
        _edges(one.covariance, symbols[genes]).assign(group=name)
        for name, genes, one in zip(groups, chosen, moments, strict=True)
    ]
    skipped = tuple(name for name, size in zip(groups, sizes, strict=True) if size < 3)
    return GeneGraphs(pd.concat(edges, ignore_index=True), np.unique(np.concatenate(chosen)), skipped)


def _coded(tables: Iterable[pa.Table], codes: NDArray[np.int64], m: int) -> Any:
    for table in tables:
        yield expression(table, m), codes[table.column("row").to_numpy()]


def _most_variable(variance: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of the genes that vary most, ascending; of equal ones the first."""
    varies = int((variance > 0).sum())
    return np.sort(np.argsort(-variance, kind="stable")[: min(MOST_GENES, varies)])


def _edges(covariance: NDArray[np.float64], names: NDArray[np.object_]) -> pd.DataFrame:
    deviation = np.sqrt(np.diag(covariance))
    a, b = np.triu_indices(len(names), 1)
    r = covariance[a, b] / (deviation[a] * deviation[b])
    kept = np.sort(np.argsort(-np.abs(r), kind="stable")[: int(np.ceil(len(r) * SHARE))])
    return pd.DataFrame(
        {"gene_a": names[a[kept]], "gene_b": names[b[kept]], "weight": r[kept].astype(np.float32)}
    )
