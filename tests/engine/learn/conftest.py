"""PBMC3k, ranked once, and small stores that are quick to train on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lexicell.atlas import open_counts
from lexicell.embedding import Options, make_plan
from lexicell.embedding.selected import SelectedCells
from lexicell_kernels import Weight


@pytest.fixture(scope="session")
def blood(pbmc3k):
    """Ranked cells (128 genes), their labels ("" for none), and the lexicon's vectors, centred."""
    with open_counts(pbmc3k) as source:
        plan = make_plan(source, Options(top_k=128))
        cells = plan.cells.select(plan.recipe.top_k, weight=plan.recipe.weight)
    labels = np.array([x if isinstance(x, str) else "" for x in _labels(pbmc3k)], object)
    vectors = plan.cells.lexicon.vectors(plan.cells.lexicon.rows).astype(np.float32)
    return cells, labels, vectors - vectors.mean(axis=0)


def _labels(adata):
    columns = [c for c in adata.obs if 3 < adata.obs[c].nunique() < 30]
    return adata.obs[columns[0]].astype(object)


@pytest.fixture(scope="session")
def groups():
    """240 cells x 60 genes in three groups, each with ten genes of its own; 40 cells have no label.

    Made up, so that training takes a fraction of a second.
    """
    rng = np.random.default_rng(7)
    group = np.arange(240) % 3
    rate = np.full((3, 60), 0.5)
    for g in range(3):
        rate[g, 10 * g : 10 * g + 10] = 6
    dense = rng.poisson(rate[group])
    cell, gene = np.nonzero(dense)
    cells = SelectedCells(
        gene.astype(np.uint16),
        dense[cell, gene].astype(np.uint8),
        np.concatenate([[0], np.cumsum((dense > 0).sum(1))]),
        dense.sum(1).astype(np.float32) + 100,
        70,
        "made up",
        None,
        Weight.COUNT,
    )
    labels = np.array(["x", "y", "z"], object)[group]
    labels[200:] = ""
    vectors = rng.standard_normal((70, 12)).astype(np.float32)
    return replace(cells), labels, vectors
