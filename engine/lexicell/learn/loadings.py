"""Loadings: principal components of expression as rows of the gene table, and text where there are none.

The genes that vary in the cells at hand get their own loadings, so that vectors are as good as principal
components of expression. A gene that was never measured gets the loadings that its text predicts. With
labels for some cells, the components are turned to the directions that tell classes apart, learned from all
cells: those without a label get one from the others (`lexicell.learn.mixture.spread_labels`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding.events import Listener, ignore
from lexicell.embedding.gene_statistics import enough_cells, highly_variable_columns
from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError, needing
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.mixture import own_components, spread_labels
from lexicell.projection import Pooling, Projection, Residual
from lexicell_kernels import Weight

__all__ = ["fit_loadings"]

#: Entries beyond this many standard deviations don't decide what a component is.
_CLIP = 10.0
#: Cells that components are found in; more would not change them.
_MOST_CELLS = 20_000
#: Components for each unit of the square root of the number of cells, and how many there are at least.
_COMPONENTS_A_ROOT, _LEAST_COMPONENTS = 1.5, 5
#: Cells by which half of a gene's standard deviation, as a power, is divided out.
_BELIEVED = 300
#: Labelled cells beyond which those without a label add nothing.
_FEW_LABELLED = 5_000
#: Share of the within-class scatter that is replaced by its mean on the diagonal.
_SHRINKAGE = 0.1
#: Ridge from text to loadings, in units of the vectors' mean squared length.
_RIDGE = 1e-2


def fit_loadings(
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    labels: NDArray[Any] | None = None,
    *,
    n_components: int = 50,
    n_genes: int = 2_000,
    seed: int = 0,
    listener: Listener = ignore,  # noqa: ARG001 - as all objectives
) -> Projection:
    """Find components of expression in cells, with or without labels.

    Parameters
    ----------
    cells
        With all described genes, or the most variable ones.
    vectors
        ``[G, d]`` vectors of all genes of the lexicon.
    labels
        ``[N]`` classes, None, NaN or "" for cells without; None for no labels at all.
    n_components
        Principal components; no more than 1.5 times the square root of the number of cells: the
        others are noise.
    n_genes
        The most variable of the genes that ten cells have (`lexicell.embedding.gene_statistics`), which get
        loadings; others that occur are masked, and genes that occur
        nowhere get the loadings that their text predicts.
    seed
        Of the solvers, and of the sample of cells where there are more than 20,000.
    listener
        Not used.

    Returns
    -------
    Projection
        ``p`` is `n_components`, or the number of classes less one where there are labels.

    Raises
    ------
    InputError
        There are fewer than three cells or genes.
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("train", "Learning"):
        from sklearn.decomposition import PCA
    weights, rows = weight_matrix(cells)
    if min(weights.shape) < 3:
        msg = f"components need three cells and genes or more; there are {weights.shape}"
        raise InputError(msg)
    counts = sp.csr_array((cells.counts.astype(np.float32), weights.indices, cells.indptr), weights.shape)
    n = weights.shape[0]
    columns = highly_variable_columns(counts, cells.totals, n_genes, least_cells=enough_cells(n))
    chosen = rows[columns]
    shares = sp.csr_array(sp.csc_array(weights)[:, columns])
    totals = np.asarray(shares.sum(axis=1, dtype=np.float64))
    shares = sp.csr_array(sp.diags_array(1 / np.maximum(totals, 1e-12)) @ shares)
    mean = np.asarray(shares.mean(axis=0, dtype=np.float64))
    spread = np.sqrt(np.maximum(np.asarray(shares.multiply(shares).mean(axis=0)) - mean**2, 0))
    scale = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0)

    rng = np.random.default_rng(seed)
    sample = np.arange(n) if n <= _MOST_CELLS else np.sort(rng.choice(n, _MOST_CELLS, replace=False))
    scaled = np.clip((shares[sample].toarray() - mean) * scale, -_CLIP, _CLIP)
    # A gene's standard deviation is believed as far as there are cells: of few, it is the chance of one.
    unbelieved = spread ** (_BELIEVED / (n + _BELIEVED))
    scaled, scale = (scaled * unbelieved).astype(np.float32), scale * unbelieved
    d = min(
        n_components,
        max(_LEAST_COMPONENTS, int(_COMPONENTS_A_ROOT * np.sqrt(n))),
        *(s - 1 for s in scaled.shape),
    )
    solver = PCA(d, svd_solver="arpack", random_state=seed)
    solver.fit(scaled)
    loadings = scale[:, None] * solver.components_.T.astype(np.float64)
    scores = shares @ loadings - mean @ loadings
    if labels is not None:
        logged = sp.csr_array(sp.csc_array(weights)[:, columns])
        rotation = _rotation(scores, labels, lambda: own_components(logged, n_components=d, seed=seed), seed)
        loadings = loadings @ rotation
    return _projection(loadings, mean, chosen, rows, vectors)


def _projection(
    loadings: NDArray[np.float64],
    mean: NDArray[np.float64],
    chosen: NDArray[np.int32],
    rows: NDArray[np.int32],
    vectors: NDArray[np.float32],
) -> Projection:
    """Loadings as a linear map of texts, and what it misses as a residual."""
    d = vectors.shape[1]
    texts = vectors[chosen].astype(np.float64)
    mean_text = texts.mean(axis=0)
    texts -= mean_text
    square = texts.T @ texts + _RIDGE * len(texts) * np.square(texts).sum(axis=1).mean() * np.eye(d) / d
    weight = np.linalg.solve(square, texts.T @ (loadings - loadings.mean(axis=0))).T
    offset = loadings.mean(axis=0) - weight @ mean_text
    p = loadings.shape[1]
    missed = loadings - vectors[chosen] @ weight.astype(np.float32).T - offset.astype(np.float32)
    masked = np.zeros(len(vectors), bool)
    masked[rows] = True
    masked[chosen] = False
    return Projection(
        weight.astype(np.float32),
        bias=(-mean @ loadings).astype(np.float32),
        offset=offset.astype(np.float32),
        residual=Residual(chosen, missed.astype(np.float32), np.eye(p, dtype=np.float32)),
        masked=masked,
        pooling=Pooling(None, str(Weight.LOG1P), normalise=False),
    )


def _rotation(
    scores: NDArray[np.float64],
    labels: NDArray[Any],
    components: Callable[[], NDArray[np.float64]],
    seed: int,
) -> NDArray[np.float64]:
    """Directions ``[n_components, C - 1]`` that tell classes apart, few labels spread to all cells."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    codes, names = pd.factorize(pd.Series(np.asarray(labels, object)).replace("", None), sort=True)
    if len(names) < 2:
        msg = f"components are turned by labels of two classes or more; there is {', '.join(map(str, names))}"
        raise InputError(msg)
    scaled = scores / np.sqrt(np.square(scores - scores.mean(axis=0)).sum(axis=1).mean())
    believed = codes >= 0
    if not believed.all() and believed.sum() <= _FEW_LABELLED:
        codes = spread_labels(components(), codes, seed=seed).probability.argmax(axis=1)
        believed = np.ones(len(codes), bool)
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=_SHRINKAGE)
    model.fit(scaled[believed], codes[believed])
    rotation: NDArray[np.float64] = model.scalings_[:, : len(names) - 1]
    return rotation
