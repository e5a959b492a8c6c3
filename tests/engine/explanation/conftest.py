"""Cells of donors, in groups that differ in some genes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.engine.evaluation.conftest import make_lexicon
from tests.engine.projection.conftest import full

__all__ = ["full", "make_lexicon"]

#: Genes that a group has more of, and texts that speak of one thing.
MARKERS = {"B": ["CD79A", "CD79B", "MS4A1"], "myeloid": ["S100A8", "S100A9", "FCN1"]}


@pytest.fixture
def donors(_blood):
    """360 cells of six donors and three groups; one without a gene, one of no group."""
    rng = np.random.default_rng(3)
    adata = _blood[rng.permutation(_blood.n_obs)[:360]].copy()
    adata.obs_names = [f"cell-{i}" for i in range(360)]
    group = np.array(["B", "myeloid", "other"], object)[np.arange(360) % 3]
    x = rng.poisson(np.asarray(adata.X.mean(axis=0)).ravel() + 0.05, adata.shape).astype(np.float32)
    for name, genes in MARKERS.items():
        at = adata.var_names.get_indexer(genes)
        assert (at >= 0).all()
        x[np.ix_(group == name, at)] += rng.poisson(12, ((group == name).sum(), len(at)))
    x[5] = 0
    group[8] = np.nan
    adata.X = sp.csr_matrix(x)
    adata.obs = pd.DataFrame(
        {"kind": pd.Categorical(group), "donor": [f"d{i // 3 % 6}" for i in range(360)]}, adata.obs_names
    )
    adata.raw = None
    return adata


class Notes(list):
    """A listener that keeps what it is told."""

    def __call__(self, event):
        if text := getattr(event, "text", None):
            self.append(text)


@pytest.fixture
def notes():
    return Notes()
