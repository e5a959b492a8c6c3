"""What the selected genes of many cells weigh, from the arrays of a selection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lexicell_kernels.types import Weight

__all__ = ["weights"]


def weights(
    counts: NDArray[Any],
    scores: NDArray[Any],
    totals: NDArray[Any],
    indptr: NDArray[np.integer[Any]],
    weight: Weight,
    *,
    dtype: DTypeLike = np.float32,
) -> NDArray[Any]:
    """Weigh the selected genes of ``n`` cells; see `Weight` for the definition.

    Parameters
    ----------
    counts, scores
        ``[nnz]`` numbers of the selected genes, cell after cell and in lexicon order.
    totals
        ``[n]`` sum of all of each cell's counts, above 0 where it has a gene.
    indptr
        ``[n + 1]`` integers from 0 to ``nnz``: cell i has ``indptr[i]:indptr[i + 1]``.
    weight
        ``log1p`` and ``count`` look at counts and totals, ``rank`` at scores.
    dtype
        Of the result.

    Returns
    -------
    numpy.ndarray
        ``[nnz]`` `dtype`, computed in float64.

    Raises
    ------
    ValueError
        The lengths do not fit together, or there is no such weight.
    """
    sizes, nnz = np.diff(indptr), len(counts)
    if len(scores) != nnz or len(totals) != len(sizes) or indptr[0] != 0 or indptr[-1] != nnz:
        msg = (
            f"{nnz:,} counts, {len(scores):,} scores and {len(totals):,} totals do not fit an indptr of "
            f"{len(sizes):,} cells from {indptr[0]:,} to {indptr[-1]:,}"
        )
        raise ValueError(msg)
    match Weight(weight):
        case Weight.UNIFORM:
            return np.ones(nnz, dtype)
        case Weight.RANK:
            m = np.repeat(sizes, sizes)
            w = np.empty(nnz, dtype)
            # A stable sort: of equal scores the first stays first.
            cell = np.repeat(np.arange(len(sizes)), sizes)
            by_score = np.lexsort((np.negative(scores, dtype=np.float64), cell))
            w[by_score] = (m - (np.arange(nnz) - np.repeat(indptr[:-1], sizes))) / m
            return w
        case kind:
            share = 1e4 * counts.astype(np.float64) / np.repeat(totals, sizes)
            weighed: NDArray[Any] = np.log1p(share) if kind is Weight.LOG1P else share
            return weighed.astype(dtype, copy=False)
