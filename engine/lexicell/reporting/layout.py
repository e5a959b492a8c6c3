"""Where cells are drawn: a seeded UMAP of their vectors, or coordinates that the data have."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import needing

__all__ = ["EXTRA", "umap_of_vectors"]

#: What brings UMAP.
EXTRA = "report"
#: Components that neighbours are looked for in, and neighbours; scanpy's are 50 and 15.
_COMPONENTS, _NEIGHBOURS = 50, 15
#: How near neighbours are drawn; scanpy's.
_MIN_DIST = 0.5
#: Vectors that differ less are the same.
_ALIKE = 1e-6
#: Cells below which a UMAP has nothing to place; their first two components are shown.
_LEAST = 20


def umap_of_vectors(vectors: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], str]:
    """Lay out cells in a plane.

    Neighbours are exact, of the first 50 principal components: nearest-neighbour descent takes seven times as
    long for 50,000 cells.

    Parameters
    ----------
    vectors
        ``[n, p]``.
    seed
        Of UMAP, which then runs in one thread, so that the same vectors have the same layout.

    Returns
    -------
    tuple
        Positions ``[n, 2]`` float32, and a sentence about what they are.

    Raises
    ------
    MissingExtraError
        umap-learn or scikit-learn is not installed.
    """
    with needing(EXTRA, "A layout of cells"):
        from sklearn.decomposition import PCA
        from sklearn.neighbors import NearestNeighbors
    n, p = vectors.shape
    if n < 3:
        return np.zeros((n, 2), np.float32) + np.arange(n, dtype=np.float32)[:, None], "a row, for few cells"
    if float(np.ptp(vectors, axis=0).max()) < _ALIKE:
        return np.zeros((n, 2), np.float32), f"nothing: the vectors of all {n:,} cells are the same"
    k = min(_COMPONENTS, n - 1, p)
    components = PCA(k, svd_solver="randomized", random_state=seed).fit_transform(vectors)
    components = np.ascontiguousarray(components, np.float32)
    if n < _LEAST or k < 2:
        flat = np.pad(components[:, :2], ((0, 0), (0, max(0, 2 - k))))
        return flat, f"the first two principal components of the vectors of {n:,} cells"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread is what we ask for
        with needing(EXTRA, "A layout of cells"):
            from umap import UMAP
        search = NearestNeighbors(n_neighbors=_NEIGHBOURS, algorithm="brute").fit(components)
        distances, neighbours = search.kneighbors(components)
        umap = UMAP(
            n_neighbors=_NEIGHBOURS,
            min_dist=_MIN_DIST,
            random_state=seed,
            precomputed_knn=(neighbours, distances),
        )
        positions: NDArray[np.float32] = umap.fit_transform(components)
    return positions, f"UMAP of the vectors of {n:,} cells ({k} principal components, seed {seed})"
