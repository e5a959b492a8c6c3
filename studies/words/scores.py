"""How well a data set was named, and what decoupler makes of markers."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.evaluation.cells import metrics
from lexicell.evaluation.cells.placed import Named, Placed

__all__ = ["BINS", "confidence_bins", "decoupler_scores", "intervals", "score"]

#: Upper ends of the bins of probability.
BINS = (0.5, 0.7, 0.9, 0.99, 1.0)


def score(
    labels: NDArray[np.str_], types: Sequence[str], named: Named, *, by_type: bool = False
) -> dict[str, float]:
    """Macro-F1, accuracy and mean AUROC over the cells whose label is one of the types.

    Parameters
    ----------
    labels
        ``[N]``.
    types
        The names that count, which are the first columns of `named`; to be named by others is wrong.
    named
        What the cells were named.
    by_type
        F1 and AUROC of each type instead.
    """
    known = np.isin(labels, list(types))
    truth, chosen = labels[known].astype(str), named.chosen[known]
    predicted = np.array([*types, ""])[np.where(chosen < len(types), chosen, -1)]
    areas = metrics.areas_of_classes(truth, types, np.asarray(named.scores)[known])
    if by_type:
        f1 = metrics.f1_of_classes(truth, predicted)
        return {f"{name} f1": value for name, value in f1.items()} | {
            f"{name} auroc": value for name, value in areas.items()
        }
    found = metrics.score(truth, predicted)
    return {"f1": found.macro_f1, "accuracy": found.accuracy, "auroc": float(np.mean(list(areas.values())))}


def intervals(
    labels: NDArray[np.str_], types: Sequence[str], named: Named, *, draws: int, seed: int
) -> dict[str, list[float]]:
    """95 % intervals of the same over resampled cells."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(np.isin(labels, list(types)))
    found = []
    for _ in range(draws):
        cells = rng.choice(known, len(known))
        drawn = Named(named.probability[cells], named.scores[cells], named.present)
        found.append(score(labels[cells], types, drawn))
    return {
        what: [round(float(end), 4) for end in np.quantile([one[what] for one in found], [0.025, 0.975])]
        for what in found[0]
    }


def confidence_bins(labels: NDArray[np.str_], types: Sequence[str], named: Named) -> list[list[float]]:
    """For each bin of the highest probability: cells, sum of probabilities, cells named rightly."""
    known = np.isin(labels, list(types))
    sure = np.asarray(named.probability).max(axis=1)[known]
    chosen = named.chosen[known]
    right = np.array([*types, ""])[chosen] == labels[known]
    which = np.digitize(sure, BINS[:-1], right=True)
    return [
        [int((which == at).sum()), round(float(sure[which == at].sum()), 2), int(right[which == at].sum())]
        for at in range(len(BINS))
    ]


def decoupler_scores(
    method: str, placed: Placed, markers: Mapping[str, Sequence[str]]
) -> NDArray[np.float64] | None:
    """Scores of markers by a method of decoupler, ``[N, T]``; None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoupler: Any = importlib.import_module("decoupler")
    except ImportError:
        return None
    adata = placed.annotated()
    net = pd.DataFrame(
        [(name, gene, 1.0) for name, genes in markers.items() for gene in genes if gene in adata.var_names],
        columns=["source", "target", "weight"],
    )
    getattr(decoupler.mt, method)(adata, net, tmin=1)
    found = adata.obsm[f"score_{method}"]
    return np.column_stack(
        [found[name].to_numpy(np.float64) if name in found else np.zeros(adata.n_obs) for name in markers]
    )
