"""Some cells in memory are what they were where they were read."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lexicell.counts import open_counts, take_cells

RNG = np.random.default_rng(0)


def matrix(source):
    block = source.read(0, source.n_cells)
    return sp.csr_array((block.data, block.indices, block.indptr), shape=(source.n_cells, source.n_columns))


@pytest.fixture
def path(tmp_path, request):
    """300 x 80 cells, the counts made by the test."""
    x = sp.random(300, 80, 0.3, "csr", dtype=np.float32, random_state=0)
    x.data = request.param(x.data)
    names = [f"c{i}" for i in range(300)]
    adata = ad.AnnData(x, pd.DataFrame(index=names), pd.DataFrame(index=[f"g{i}" for i in range(80)]))
    adata.write_h5ad(tmp_path / "x.h5ad")
    return tmp_path / "x.h5ad"


KINDS = {
    "small counts": (lambda x: np.ceil(9 * x), np.uint8),
    "large counts": (lambda x: np.ceil(9_000 * x), np.uint16),
    "fractions": (lambda x: x, np.float32),
    "larger than 65,535": (lambda x: np.ceil(1e6 * x), np.float32),
    "one that is negative": (lambda x: np.where(np.arange(len(x)) == 7, -1, np.ceil(9 * x)), np.float32),
}


@pytest.mark.parametrize(("path", "dtype"), list(KINDS.values()), ids=list(KINDS), indirect=["path"])
@pytest.mark.parametrize(
    "rows", [np.arange(300), np.array([3]), np.sort(RNG.permutation(300)[:90]), RNG.permutation(300)[:120]]
)
def test_cells_are_taken_as_they_are_in_any_order(path, dtype, rows, monkeypatch):
    monkeypatch.setattr("lexicell.counts.take.MAX_NNZ", 500)  # many blocks
    with open_counts(path) as source:
        whole, told = matrix(source), []
        taken = take_cells(source, rows, tick=lambda *passed: told.append(passed))
        assert abs(matrix(taken) - whole[rows]).max() == 0
        assert list(taken.names(0, len(rows))) == [f"c{i}" for i in rows]
        assert taken.n_cells == len(rows)
        assert list(taken.var.index) == list(source.var.index)
        if len(rows) == 300:
            assert taken.read(0, 1).data.dtype in (dtype, np.int32)
        assert told[-1][1] == 300


@pytest.mark.parametrize("path", [KINDS["small counts"][0]], indirect=True)
def test_a_table_of_the_cells_goes_with_them(path):
    with open_counts(path) as source:
        rows = np.array([9, 2, 5])
        obs = pd.DataFrame({"kind": ["a", "b", "c"]}, index=["x", "y", "z"])
        taken = take_cells(source, rows, obs)
        assert taken.read_obs(["kind"], 1, 3)["kind"].tolist() == ["b", "c"]
