"""Cells as ranked lists of genes, one cell after another in Python.

Cell2Sentence (Levine et al., 2024): the names of a cell's non-zero genes by decreasing count, equal counts in
random order. Geneformer (Theodoris et al., 2023): counts are normalised to 10,000 a cell and divided by each
gene's median over cells where it is not 0; the tokens of the genes by decreasing value, the first 2,048.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["nonzero_medians", "rank_values", "sentences"]

_CHUNK = 512  # cells normalised at once, as Geneformer does


def sentences(x: sp.csr_array, names: Sequence[str], k: int, seed: int = 42) -> list[str]:
    """Names of each cell's first k genes, with spaces between them.

    Parameters
    ----------
    x
        ``[n, m]`` counts.
    names
        ``[m]``.
    k
        Most names in a sentence.
    seed
        Of the order of equal counts.
    """
    rng = np.random.default_rng(seed)
    found = []
    for start, stop in zip(x.indptr[:-1], x.indptr[1:], strict=True):
        any_order = rng.permutation(stop - start)
        genes, values = x.indices[start:stop][any_order], x.data[start:stop][any_order]
        ranked = genes[np.argsort(-values, kind="stable")[:k]]
        found.append(" ".join([names[gene] for gene in ranked]))
    return found


def nonzero_medians(x: sp.csr_array, totals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of ``1e4 x / N`` over the cells where a gene is not 0, ``[m]``; 1 for genes of no cell."""
    y = sp.csc_array(x.multiply(1e4 / totals[:, None]))
    columns = zip(y.indptr[:-1], y.indptr[1:], strict=True)
    return np.array([np.median(y.data[a:b]) if b > a else 1.0 for a, b in columns], np.float32)


def rank_values(
    x: sp.csr_array,
    totals: NDArray[np.float32],
    medians: NDArray[np.float32],
    tokens: NDArray[np.int64],
    k: int,
) -> list[NDArray[np.int64]]:
    """Tokens of each cell's first k genes.

    Parameters
    ----------
    x
        ``[n, m]`` counts.
    totals
        ``[n]``, over all genes of the data set.
    medians, tokens
        ``[m]``, of the genes.
    k
        Most tokens of a cell.
    """
    found = []
    for start in range(0, x.shape[0], _CHUNK):
        rows = slice(start, start + _CHUNK)
        y = sp.csr_array(x[rows].multiply(1e4 / totals[rows, None]).multiply(1 / medians[None, :]))
        for a, b in zip(y.indptr[:-1], y.indptr[1:], strict=True):
            found.append(tokens[y.indices[a:b]][np.argsort(-y.data[a:b])][:k])
    return found
