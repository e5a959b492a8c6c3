"""Means over groups of cells of what genes are in them, such as their shares of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GroupMeans", "highest"]

#: Steps in which values are summed: sums are of whole numbers, and no order of cells changes a bit.
_UNIT = 2.0**-30


class GroupMeans:
    """Means of the values of genes in groups of cells, block by block; a gene that a cell lacks has 0 there.

    Parameters
    ----------
    groups, genes
        How many there are.

    Attributes
    ----------
    sizes
        ``[groups]`` int64 cells.
    n_cells
        ``[groups, genes]`` int64 cells that have the gene.
    """

    def __init__(self, groups: int, genes: int) -> None:
        self.sizes = np.zeros(groups, np.int64)
        self.n_cells = np.zeros((groups, genes), np.int64)
        self._sums = np.zeros((groups, genes), np.int64)

    def add(
        self,
        codes: NDArray[np.integer[Any]],
        indptr: NDArray[np.integer[Any]],
        genes: NDArray[np.integer[Any]],
        values: NDArray[np.floating[Any]],
    ) -> None:
        """Add ``n`` cells: their groups, -1 for none, and genes with values below 16, in CSR form."""
        self.sizes += np.bincount(codes[codes >= 0], minlength=len(self.sizes))
        group = np.repeat(codes, np.diff(indptr))
        kept = group >= 0
        at = group[kept], genes[kept]
        np.add.at(self._sums, at, np.rint(values[kept].astype(np.float64) / _UNIT).astype(np.int64))
        np.add.at(self.n_cells, at, 1)

    @property
    def means(self) -> NDArray[np.float64]:
        """``[groups, genes]``."""
        return self._sums * _UNIT / np.maximum(self.sizes, 1)[:, None]

    @property
    def excess(self) -> NDArray[np.float64]:
        """``[groups, genes]``, by how much the mean of a group exceeds that of all cells in groups."""
        found: NDArray[np.float64] = self.means - self._sums.sum(axis=0) * _UNIT / max(
            int(self.sizes.sum()), 1
        )
        return found


def highest(scores: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Columns of the `n` highest scores of each row, ``[rows, n]``; of equal ones the first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :n]
