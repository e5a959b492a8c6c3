"""Genes that weigh most in groups of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import Recipe
from lexicell.embedding.pipeline import BlockEmbedder
from lexicell.lexicon import Lexicon
from lexicell_kernels import CsrBlock, GeneTable, embed_rows

__all__ = ["group_genes"]


def group_genes(
    block: CsrBlock,
    embedder: BlockEmbedder,
    lexicon: Lexicon,
    labels: NDArray[Any],
    *,
    n: int = 5,
) -> pd.DataFrame:
    """Find the genes whose share of a group's vectors exceeds their share in all cells the most.

    A gene's share in a cell is its weight over the sum of weights, so exactly how much its vector counts
    in the pooled mean.

    Parameters
    ----------
    block
        Values of ``N`` cells as they are stored.
    embedder, lexicon
        What the cells are embedded with.
    labels
        ``[N]`` group of each cell.
    n
        Genes per group.

    Returns
    -------
    pandas.DataFrame
        Columns ``group``, ``gene``, ``share`` (mean in the group) and ``excess`` (beyond the mean over all
        cells); the groups in sorted order, in each the largest excess first.
    """
    folded = embedder.folded
    shares = _shares(embedder.ready(block), folded.table, embedder.recipe)
    groups, codes = np.unique(np.asarray(labels), return_inverse=True)
    sizes = np.bincount(codes)
    member = sp.csr_array(
        (1.0 / sizes[codes], (codes, np.arange(len(codes)))), shape=(len(groups), len(codes))
    )
    means = (member @ shares).toarray()
    excess = means - shares.mean(axis=0)
    symbols = np.asarray(lexicon.genes.column("symbol").to_pylist(), dtype=object)[folded.lexicon_rows]
    top = np.argsort(-excess, axis=1, kind="stable")[:, :n]
    return pd.DataFrame(
        [
            {"group": group, "gene": symbols[g], "share": means[i, g], "excess": excess[i, g]}
            for i, group in enumerate(groups)
            for g in top[i]
        ]
    )


def _shares(block: CsrBlock, table: GeneTable, recipe: Recipe) -> sp.csr_array:
    """Shares ``[N, m]``: what the kernel makes of a table whose vectors are the genes themselves.

    Done for slices of the genes, so that no ``[N, m]`` array is ever dense.
    """
    parts = []
    width = 1024
    for start in range(0, table.n_genes, width):
        size = min(width, table.n_genes - start)
        vectors = np.zeros((table.n_genes, size), np.float32)
        vectors[np.arange(start, start + size), np.arange(size)] = 1
        unit = GeneTable(vectors, table.rank, table.factor)
        rows = embed_rows(block, unit, k=recipe.top_k, weight=recipe.weight, normalise=False)
        parts.append(sp.csr_array(rows.vectors))
    return sp.csr_array(sp.hstack(parts, format="csr"))
