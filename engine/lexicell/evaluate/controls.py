"""What an embedding has to beat: expression without language, and language without meaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.errors import MissingExtraError
from lexicell_kernels import GeneTable

__all__ = ["pca_of_expression", "random_vectors", "shuffled_vectors"]


def random_vectors(table: GeneTable, *, seed: int = 0) -> GeneTable:
    """Replace every gene's vector by a random unit vector; selection and weights stay."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal(table.vectors.shape, dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return replace(table, vectors=drawn)


def shuffled_vectors(table: GeneTable, *, seed: int = 0) -> GeneTable:
    """Give every gene the vector of another one: the same vectors, without their meaning."""
    order = np.random.default_rng(seed).permutation(table.n_genes)
    return replace(table, vectors=np.ascontiguousarray(table.vectors[order]))


def pca_of_expression(counts: sp.csr_matrix, *, n_components: int = 50, seed: int = 0) -> NDArray[np.float32]:
    """Principal components of ``log1p(1e4 x / N)`` over all genes.

    Parameters
    ----------
    counts
        ``[N, v]``; made dense, so for data sets of demonstration size.
    n_components
        Components kept.
    seed
        Of the solver.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    try:
        from sklearn.decomposition import PCA
    except ImportError as error:
        raise MissingExtraError.of(extra="demo", why="PCA") from error
    totals = np.asarray(counts.sum(axis=1)).ravel()
    logged = sp.diags_array(1e4 / np.maximum(totals, 1)) @ counts.astype(np.float64)
    logged.data = np.log1p(logged.data)
    dense = logged.toarray()
    components: NDArray[np.float32] = PCA(n_components, random_state=seed).fit_transform(dense)
    return components.astype(np.float32)
