"""Expression without language: the components that a text embedding has to beat."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.errors import needing
from lexicell.evaluation.cells.panels import Panel

__all__ = ["Correction", "components", "corrected_components", "log_normalise", "pca_of_expression"]

#: What is done about batches.
Correction = Literal["centred", "harmony"]
_COMPONENTS = 50
#: Where scaled values are cut: scanpy's.
_LARGEST = 10.0


def log_normalise(counts: sp.csr_array, totals: NDArray[np.float32] | None = None) -> sp.csr_array:
    """``log1p(1e4 x / N)``, ``[n, v]`` float32; N is the sum of the cell's counts unless given."""
    sums = np.asarray(counts.sum(axis=1, dtype=np.float64)) if totals is None else totals
    logged = counts.copy()
    per_value = np.repeat(1e4 / np.maximum(sums, 1e-12), np.diff(counts.indptr))
    logged.data = np.log1p(counts.data * per_value).astype(np.float32)
    return logged


def components(
    fitted: Panel, others: list[Panel], *, n_genes: int | None, seed: int
) -> list[NDArray[np.float32]]:
    """Principal components of expression, 50 or as many as the cells allow.

    All genes: of ``log1p(1e4 x / N)``. Highly variable ones: the same, each gene scaled to variance 1 and cut
    at 10, as in scanpy's tutorial.

    Parameters
    ----------
    fitted
        Cells that genes, scale and components are taken from.
    others
        Cells to project.
    n_genes
        Highly variable genes to use; None for all.
    seed
        Of the solver.

    Returns
    -------
    list
        ``[n, 50]`` float32 for each of `others`.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("evaluate", "PCA of expression"):
        from sklearn.decomposition import PCA
    logged = log_normalise(fitted.all_counts)
    if n_genes is None:
        k = min(_COMPONENTS, min(logged.shape) - 1)
        model = PCA(k, svd_solver="arpack", random_state=seed).fit(logged)
        return [_project(model, log_normalise(panel.all_counts)) for panel in others]
    totals = np.asarray(fitted.all_counts.sum(axis=1, dtype=np.float64))
    genes = highly_variable_columns(fitted.all_counts, totals, n_genes)
    dense = logged[:, genes].toarray()
    mean, spread = dense.mean(axis=0), _spread(dense)

    def scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
        cut: NDArray[np.float32] = np.clip((values - mean) / spread, -_LARGEST, _LARGEST)
        return cut

    k = min(_COMPONENTS, len(dense) - 1, len(genes))
    model = PCA(k, random_state=seed).fit(scaled(dense))
    # Counts are normalised by all genes, also where a few are looked at.
    return [_project(model, scaled(log_normalise(panel.all_counts)[:, genes].toarray())) for panel in others]


def corrected_components(
    panel: Panel, batches: NDArray[Any], *, how: Correction, n_genes: int, seed: int
) -> NDArray[np.float32]:
    """Principal components of highly variable genes, without what makes batches differ; see `components`.

    Parameters
    ----------
    panel
        ``n`` cells of all batches.
    batches
        ``[n]`` batch of each.
    how
        "centred": each gene has the same mean in all batches, before its scale and components are taken.
        "harmony": components of all cells, corrected by Harmony (Korsunsky et al. 2019).
    n_genes
        Highly variable genes to use.
    seed
        Of the solver, and of Harmony.

    Returns
    -------
    numpy.ndarray
        float32 ``[n, 50]``.

    Raises
    ------
    MissingExtraError
        scikit-learn or harmonypy is not installed.
    """
    if how == "harmony":
        (joint,) = components(panel, [panel], n_genes=n_genes, seed=seed)
        with needing("harmony", "Harmony"):
            from harmonypy import run_harmony
        clusters = int(np.clip(round(panel.n_cells / 30), 2, 100))
        corrected = run_harmony(
            joint, {"batch": batches}, "batch", nclust=clusters, random_state=seed % 2**31, ncores=1,
            verbose=False,
        )  # fmt: skip
        return np.asarray(corrected.Z_corr, np.float32)
    with needing("evaluate", "PCA of expression"):
        from sklearn.decomposition import PCA
    counts = panel.all_counts
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64))
    dense = log_normalise(counts)[:, highly_variable_columns(counts, totals, n_genes)].toarray()
    for batch in np.unique(batches):
        dense[batches == batch] -= dense[batches == batch].mean(axis=0)
    dense = np.clip(dense / _spread(dense), -_LARGEST, _LARGEST, out=dense)
    k = min(_COMPONENTS, len(dense) - 1, dense.shape[1])
    return np.asarray(PCA(k, random_state=seed).fit_transform(dense), np.float32)


def _spread(dense: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviations of columns; 1 where they do not vary."""
    spread = np.asarray(dense.std(axis=0, ddof=1), np.float32)
    spread[spread == 0] = 1
    return spread


def _project(model: Any, values: Any) -> NDArray[np.float32]:
    if values.shape[0] == 0:  # which scikit-learn refuses
        return np.empty((0, model.n_components_), np.float32)
    return np.asarray(model.transform(values), np.float32)


def pca_of_expression(counts: sp.csr_matrix, *, n_components: int = 50, seed: int = 0) -> NDArray[np.float32]:
    """Principal components of ``log1p(1e4 x / N)`` over all genes, ``[N, n_components]``.

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
    with needing("demo", "PCA"):
        from sklearn.decomposition import PCA
    dense = log_normalise(sp.csr_array(counts)).toarray()
    return np.asarray(PCA(n_components, random_state=seed).fit_transform(dense), np.float32)
