"""What people do today: marker genes scored one by one, and few labelled cells."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.words_naming import Placed, score
from bench.words_sets import LabelledSet
from lexicell.evaluation.expression import components
from lexicell.evaluation.panels import Panel

__all__ = ["decoupler_scores", "few_labels", "marker_scores", "most"]

_HIGHLY_VARIABLE = 2_000
#: Labelled cells of a type leave at least as many to be named.
_LEAST_LEFT = 2


def marker_scores(
    placed: Placed, symbols: Sequence[str], markers: Mapping[str, Sequence[str]], seed: int
) -> NDArray[np.float64]:
    """``scanpy.tl.score_genes`` of each list, ``[N, T]``; 0 where none of its genes is measured."""
    import scanpy as sc

    adata = _annotated(placed, symbols)
    for name, genes in _measured(adata, markers).items():
        if genes:
            sc.tl.score_genes(adata, genes, score_name=name, random_state=seed)
    return np.column_stack(
        [
            adata.obs[name].to_numpy(np.float64) if name in adata.obs else np.zeros(adata.n_obs)
            for name in markers
        ]
    )


def decoupler_scores(
    method: str, placed: Placed, symbols: Sequence[str], markers: Mapping[str, Sequence[str]]
) -> NDArray[np.float64] | None:
    """Scores of a method of decoupler, as above; None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoupler: Any = importlib.import_module("decoupler")
    except ImportError:
        return None
    adata = _annotated(placed, symbols)
    net = pd.DataFrame(
        [(name, gene, 1.0) for name, genes in _measured(adata, markers).items() for gene in genes],
        columns=["source", "target", "weight"],
    )
    getattr(decoupler.mt, method)(adata, net, tmin=1)
    found = adata.obsm[f"score_{method}"]
    return np.column_stack(
        [found[name].to_numpy(np.float64) if name in found else np.zeros(adata.n_obs) for name in markers]
    )


def most(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """The type whose score is most deviations above its mean; types that never vary are not chosen."""
    spread = scores.std(axis=0)
    relative = np.where(spread > 0, (scores - scores.mean(axis=0)) / np.maximum(spread, 1e-12), -np.inf)
    return np.asarray(relative.argmax(axis=1))


def few_labels(of: LabelledSet, n: int, seed: int) -> dict[str, float]:
    """Logistic regression on 50 components of 2,000 variable genes, from n labelled cells of each type.

    Types with fewer than n + 2 cells lend all but two; scores are of the cells that were not labelled.
    """
    from sklearn.linear_model import LogisticRegression

    counts = sp.csr_array(of.adata.X, dtype=np.float32)
    totals = np.asarray(counts.sum(axis=1), np.float32).ravel()
    panel = Panel(counts, np.arange(counts.shape[1], dtype=np.int32), totals)
    (vectors,) = components(panel, [panel], n_genes=_HIGHLY_VARIABLE, seed=0)
    rng = np.random.default_rng(seed)
    seen: list[int] = []
    for name in of.types:
        cells = np.flatnonzero(of.labels == name)
        seen += rng.permutation(cells)[: min(n, len(cells) - _LEAST_LEFT)].tolist()
    model = LogisticRegression(max_iter=2_000).fit(vectors[seen], of.labels[seen])
    rest = np.setdiff1d(np.arange(len(of.labels)), seen)
    order = [of.types.index(name) for name in model.classes_.tolist()]
    probability = np.zeros((len(rest), len(of.types)))
    probability[:, order] = model.predict_proba(vectors[rest])
    return score(of.labels[rest], of.types, probability.argmax(axis=1), probability)


def _annotated(placed: Placed, symbols: Sequence[str]) -> ad.AnnData:
    var = pd.DataFrame(index=[symbols[row] for row in placed.rows])
    adata = ad.AnnData(sp.csr_matrix(placed.logged), var=var)
    adata.var_names_make_unique()
    adata.uns["log1p"] = {"base": None}
    return adata


def _measured(adata: ad.AnnData, markers: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: [gene for gene in genes if gene in adata.var_names] for name, genes in markers.items()}
