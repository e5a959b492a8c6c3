"""Real blood cells that come with scanpy, a half to learn from and a half to name."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

#: Types with enough cells; the helper and killer T cells of this data set overlap too much to judge by.
TYPES = ("CD14+ Monocyte", "CD19+ B", "Dendritic", "CD56+ NK")


@pytest.fixture(scope="session")
def halves(_blood):
    """Two AnnData of 247 or 248 cells of four types, each with ``type`` in ``obs``."""
    cells = _blood[_blood.obs["bulk_labels"].isin(TYPES)].copy()
    cells.obs["type"] = cells.obs["bulk_labels"].astype(str).to_numpy()
    order = np.random.default_rng(0).permutation(cells.n_obs)
    one, two = np.array_split(order, 2)
    return cells[np.sort(one)].copy(), cells[np.sort(two)].copy()


@pytest.fixture(scope="session")
def panels(halves):
    """The same cells, with no gene measured in both."""
    reference, query = halves
    first = np.random.default_rng(0).random(query.n_vars) < 0.5
    return reference[:, first].copy(), query[:, ~first].copy()


@pytest.fixture
def files(halves, tmp_path):
    """Paths of the two halves."""
    paths = []
    for name, cells in zip(("reference", "query"), halves, strict=True):
        paths.append(tmp_path / f"{name}.h5ad")
        cells.write_h5ad(paths[-1])
    return paths
