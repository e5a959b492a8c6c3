"""Gene scales predicted from texts: how much a gene should count where its variance is not measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding.gene_statistics import GeneStatistics, standardised_dispersion
from lexicell.errors import InputError
from lexicell.projection.whitening import fit_whitening

__all__ = ["predict_gene_scales"]

#: A gene that fewer cells have says little about how it varies.
_LEAST_DETECTED = 0.005
#: Dispersions beyond these are few and would decide the fit.
_DISPERSIONS = (-3.0, 6.0)
#: Scales are cut here: no gene is silenced, and none speaks for all.
_SCALES = (0.05, 4.0)


def predict_gene_scales(
    statistics: Sequence[GeneStatistics], vectors: NDArray[np.float32], *, ridge: float = 200.0
) -> NDArray[np.float32]:
    """Fit the dispersion of genes, averaged over data sets, to their texts, and predict it for all genes.

    Housekeeping genes have texts of their own, so what is learned on one tissue holds for another. That is
    why the prediction is used also for genes that were measured.

    Parameters
    ----------
    statistics
        Of one data set or more, whose genes are those of one lexicon.
    vectors
        ``[G, d]`` of all genes of the lexicon.
    ridge
        Of the regression, on whitened vectors of mean squared length ``d``.

    Returns
    -------
    numpy.ndarray
        ``[G]`` float32 from 0.05 to 4; an average gene has about 0.3.

    Raises
    ------
    InputError
        No gene is in enough cells.
    """
    sums, counts = np.zeros(len(vectors)), np.zeros(len(vectors))
    for data_set in statistics:
        score = standardised_dispersion(data_set.share_mean, data_set.share_variance)
        measured = np.isfinite(score) & (data_set.detected >= _LEAST_DETECTED)
        sums[data_set.rows[measured]] += score[measured].clip(*_DISPERSIONS)
        counts[data_set.rows[measured]] += 1
    fitted = counts > 0
    if fitted.sum() < 3:
        msg = f"gene scales need genes that at least {_LEAST_DETECTED:.1%} of the cells have"
        raise InputError(msg)
    target = sums[fitted] / counts[fitted]
    d = vectors.shape[1]
    features = fit_whitening(vectors, kind="zca").apply(vectors).astype(np.float64) * np.sqrt(d)
    design = features[fitted]
    mean = target.mean()
    weight = np.linalg.solve(design.T @ design + ridge * np.eye(d), design.T @ (target - mean))
    scales: NDArray[np.float32] = (features @ weight + mean).clip(*_SCALES).astype(np.float32)
    return scales
