"""What an embedding has to beat: expression without language, and language without meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.errors import MissingExtraError

__all__ = ["CONTROLS", "control_vectors", "pca_of_expression"]

CONTROLS = ("shuffled", "random")


def control_vectors(vectors: NDArray[np.floating[Any]], control: str, *, seed: int) -> NDArray[np.float32]:
    """Vectors without meaning: each gene keeps the length of its own vector and gets another direction.

    So what is compared is what the direction says, in a lexicon as in a folded table, where lengths hold
    how much a gene counts.

    Parameters
    ----------
    vectors
        ``[G, d]``.
    control
        "shuffled": the direction of another gene's vector. "random": any direction.
    seed
        Of both.
    """
    array = np.asarray(vectors, np.float32)
    rng = np.random.default_rng([seed, CONTROLS.index(control)])
    shuffled = control == "shuffled"
    drawn = array[rng.permutation(len(array))] if shuffled else rng.standard_normal(array.shape, np.float32)
    lengths, drawn_lengths = (np.linalg.norm(part, axis=1, keepdims=True) for part in (array, drawn))
    return np.asarray(drawn * (lengths / np.where(drawn_lengths > 0, drawn_lengths, 1)), np.float32)


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
