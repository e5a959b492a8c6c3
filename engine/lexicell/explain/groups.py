"""Genes that weigh most in groups of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import Plan

__all__ = ["group_genes"]


def group_genes(plan: Plan, labels: NDArray[Any], *, n: int = 5) -> pd.DataFrame:
    """Find the genes whose share of a group's vectors exceeds their share in all cells the most.

    A gene's share in a cell is its weight over the sum of weights, so exactly how much its vector counts
    in the pooled mean.

    Parameters
    ----------
    plan
        ``N`` cells, and how they are pooled; read block by block.
    labels
        ``[N]`` group of each cell.
    n
        Genes per group.

    Returns
    -------
    pandas.DataFrame
        Columns ``group``, ``gene``, ``share`` (mean in the group) and ``excess`` (beyond the mean over all
        cells); the groups in sorted order, in each the largest excess first.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names cell and gene.
    """
    cells, recipe = plan.cells, plan.recipe
    rank_factor = None if plan.projection is None else plan.projection.rank_factor
    groups, codes = np.unique(np.asarray(labels), return_inverse=True)
    sums = np.zeros((len(groups), cells.lexicon.n_genes))
    for selection in cells.selections(recipe.top_k, weight=recipe.weight, rank_factor=rank_factor):
        cell = np.repeat(np.arange(len(selection)), np.diff(selection.indptr))
        share = selection.weights / np.bincount(cell, selection.weights)[cell]
        np.add.at(sums, (codes[selection.start + cell], selection.genes), share)
    sizes = np.bincount(codes)
    rows = cells.genes.rows
    excess = (sums / sizes[:, None] - sums.sum(axis=0) / sizes.sum())[:, rows]
    means = (sums / sizes[:, None])[:, rows]
    symbols = np.asarray(cells.lexicon.genes.column("symbol").to_pylist(), dtype=object)[rows]
    top = np.argsort(-excess, axis=1, kind="stable")[:, :n]
    return pd.DataFrame(
        [
            {"group": group, "gene": symbols[g], "share": means[i, g], "excess": excess[i, g]}
            for i, group in enumerate(groups)
            for g in top[i]
        ]
    )
