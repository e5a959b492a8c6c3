"""Tables as explanations have them, and cells with positions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

GROUPS = ["B cell", "T cell", "monocyte"]
GENES = [f"GENE{i}" for i in range(12)]


@pytest.fixture(scope="session", autouse=True)
def _matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")


@dataclass(frozen=True)
class Told:
    """An explanation: its tables are attributes."""

    genes: pd.DataFrame
    groups: pd.DataFrame
    pathways: pd.DataFrame
    similarity: pd.DataFrame

    def changed(self, **tables: Any) -> Told:
        return replace(self, **tables)


@pytest.fixture
def told() -> Told:
    rng = np.random.default_rng(0)
    n = len(GROUPS) * len(GENES)
    genes = pd.DataFrame(
        {
            "group": np.repeat(GROUPS, len(GENES)),
            "gene": GENES * len(GROUPS),
            "contribution": rng.normal(size=n),
            "in_group": rng.normal(size=n),
            "in_rest": rng.normal(size=n),
            "share_of_cells": rng.uniform(0.05, 1, n),
            "p_adjusted": np.nan,
        }
    )
    bias = np.array([0.5, -0.25, 0.0])
    score = genes.groupby("group")["contribution"].sum().reindex(GROUPS).to_numpy() + bias
    pathways = pd.DataFrame(
        {
            "group": np.repeat(GROUPS, 4),
            "id": [f"GO:{i}" for i in range(4)] * 3,
            "pathway": ["first", "second", "third", "fourth " * 20] * 3,
            "n_genes": [5, 12, 1, 90] * 3,
            "contribution": [0.4, -0.1, 0.3, 0.2] * 3,
            "p_value": 0.0,
            "p_adjusted": [1e-3, 1e-9, 1e-5, 0.0] * 3,
            "redundant_with": ["", "", "GO:0", ""] * 3,
            "genes": "A,B",
        }
    )
    cosines = np.array([[1.0, 0.2, 0.9], [0.2, 1.0, 0.3], [0.9, 0.3, 1.0]])
    return Told(
        genes,
        pd.DataFrame({"score": score, "bias": bias}, index=GROUPS),
        pathways,
        pd.DataFrame(cosines, GROUPS, GROUPS),
    )


@pytest.fixture
def embedded() -> AnnData:
    """90 cells of three types with positions, a number and what `lexicell.tl.embed` writes."""
    rng = np.random.default_rng(1)
    kind = np.repeat(["B cell", "T cell", "monocyte"], [60, 25, 5])
    adata = AnnData(np.zeros((90, 1), np.float32))
    adata.obs["type"] = pd.Categorical(kind)
    adata.obs["depth"] = rng.uniform(10, 20, 90)
    adata.obs["lexicell_coverage"] = rng.uniform(0.6, 1, 90).astype("f4")
    adata.obs["lexicell_n_genes"] = rng.integers(1, 128, 90).astype("i4")
    adata.obsm["X_umap"] = rng.normal(size=(90, 2)) + 9 * np.unique(kind, return_inverse=True)[1][:, None]
    return adata
