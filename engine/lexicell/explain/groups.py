"""Genes that weigh most in groups of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import Plan
from lexicell.embedding.group_means import GroupMeans, highest

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
    means = GroupMeans(len(groups), cells.lexicon.n_genes)
    for selection in cells.selections(recipe.top_k, weight=recipe.weight, rank_factor=rank_factor):
        of = codes[selection.start : selection.start + len(selection)]
        means.add(of, selection.indptr, selection.genes, selection.shares)
    rows = cells.genes.rows
    share, excess = means.means[:, rows], means.excess[:, rows]
    symbols = np.asarray(cells.lexicon.genes.column("symbol").to_pylist(), dtype=object)[rows]
    top = highest(excess, n)
    return pd.DataFrame(
        [
            {"group": group, "gene": symbols[g], "share": share[i, g], "excess": excess[i, g]}
            for i, group in enumerate(groups)
            for g in top[i]
        ]
    )
