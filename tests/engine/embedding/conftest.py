from __future__ import annotations

from pathlib import Path

import anndata
import pandas as pd
import pytest
import scipy.sparse as sp


@pytest.fixture(scope="session")
def many(_blood: anndata.AnnData) -> anndata.AnnData:
    """14,000 x 765: scanpy's 700 cells twenty times under other names, so that there are four shards."""
    times = 20
    obs = pd.concat([_blood.obs[["bulk_labels"]]] * times)
    obs.index = pd.Index([f"cell{i}" for i in range(len(obs))])
    return anndata.AnnData(sp.vstack([sp.csr_matrix(_blood.X)] * times, format="csr"), obs, _blood.var.copy())


@pytest.fixture(scope="session")
def many_file(many: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as an h5ad; never written to."""
    path = tmp_path_factory.mktemp("many") / "many.h5ad"
    many.write_h5ad(path)
    return path
