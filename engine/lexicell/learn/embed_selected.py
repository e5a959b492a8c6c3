"""Ranked cells as means over their genes: what the kernel computes, for a store that is in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding.selected import SelectedCells
from lexicell.learn.bridge import weight_matrix
from lexicell.projection import Projection, apply_head

__all__ = ["embed_selected", "pool_cells"]

#: Cells whose weights are in memory at once.
_CELLS = 8_192


def pool_cells(
    cells: SelectedCells, genes: NDArray[np.integer[Any]], table: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weighted mean of a table's rows in each cell, ``[N, p]`` float32; 0 for a cell without these genes.

    Parameters
    ----------
    cells
        The store.
    genes
        ``[m]`` lexicon rows, no row twice.
    table
        ``[m, p]`` float32, by gene.
    """
    place = np.full(cells.n_lexicon, -1, np.int64)
    place[genes] = np.arange(len(genes))
    pooled = np.zeros((len(cells), table.shape[1]), np.float32)
    for start in range(0, len(cells), _CELLS):
        stop = min(start + _CELLS, len(cells))
        weights, rows = weight_matrix(cells.take(np.arange(start, stop)))
        at = place[rows]
        if (at < 0).any():
            weights, at = weights[:, at >= 0], at[at >= 0]
        sums = np.asarray(weights.sum(axis=1, dtype=np.float64))
        pooled[start:stop] = (weights @ table[at]) / np.where(sums > 0, sums, 1)[:, None]
    return pooled


def embed_selected(
    cells: SelectedCells, vectors: NDArray[np.float32], projection: Projection
) -> NDArray[np.float32]:
    """Embed ranked cells, to 1e-5 as the kernel does from their counts.

    Parameters
    ----------
    cells
        The store. Genes were selected when it was made, so the projection's rank factors say nothing here.
    vectors
        ``[G, d]`` float32 by lexicon row.
    projection
        Of that lexicon.

    Returns
    -------
    numpy.ndarray
        ``[N, p]`` float32; 0 for a cell without genes.
    """
    genes = cells.used
    if projection.masked is not None:
        genes = genes[~projection.masked[genes]]
    pooled = pool_cells(cells, genes, projection.apply(vectors[genes], genes))
    is_used = np.zeros(cells.n_lexicon, bool)
    is_used[genes] = True
    counted = np.concatenate([[0], np.cumsum(is_used[cells.genes])])
    nonempty = np.diff(counted[cells.indptr]) > 0
    if projection.bias is not None:
        pooled[nonempty] += projection.bias
    normalise = projection.pooling is None or projection.pooling.normalise
    if projection.head:
        return np.asarray(apply_head(projection.head, pooled, nonempty, normalise=normalise))
    if normalise:
        length = np.linalg.norm(pooled, axis=1, keepdims=True)
        pooled /= np.where(length > 0, length, 1)
    return pooled
