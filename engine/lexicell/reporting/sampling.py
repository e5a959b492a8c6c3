"""Which cells a page shows: all, or a sample that has cells of every group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_cells"]

#: A group keeps this many cells before groups are shown in proportion.
_LEAST = 50


def choose_cells(strata: NDArray[np.integer[Any]], most: int, seed: int) -> NDArray[np.intp]:
    """Choose at most `most` of ``N`` cells: of each stratum in proportion, and 50 of each that has so many.

    Where that is more than `most` together, as many of each as there is room for.

    Parameters
    ----------
    strata
        ``[N]`` number of the group of each cell, -1 for none, which is a group too.
    most
        Cells to choose; fewer than all are drawn.
    seed
        Of what is drawn.

    Returns
    -------
    numpy.ndarray
        Numbers of the cells, ascending.
    """
    n = len(strata)
    if n <= most:
        return np.arange(n)
    _, of_cell, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    quota = _quotas(sizes, most)
    shuffled = np.random.default_rng(seed).permutation(n)
    of_cell = of_cell[shuffled]
    order = np.argsort(of_cell, kind="stable")
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.arange(n) - starts
    return np.sort(shuffled[order[place < np.repeat(quota, sizes)]])


def _quotas(sizes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Cells of each stratum, `most` together: the least of each, and the rest in proportion."""
    least = np.minimum(sizes, min(_LEAST, most // len(sizes)))
    spare = sizes - least
    exact = spare * ((most - least.sum()) / max(spare.sum(), 1))
    quota = least + np.floor(exact).astype(np.int64)
    # What rounding left goes to the largest remainders; of more strata than cells, to the largest.
    order = np.lexsort((-sizes, -(exact - np.floor(exact))))
    quota[order[: most - quota.sum()]] += 1
    return np.asarray(quota, np.int64)
