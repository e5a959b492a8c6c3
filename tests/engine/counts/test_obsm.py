"""Coordinates of cells in obsm, by rows, wherever an AnnData lies."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.engine.counts.conftest import write_zarr

from lexicell.counts import open_counts, open_many
from lexicell.errors import InputError


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(
        sp.csr_matrix(rng.poisson(1.0, (40, 5)).astype(np.float32)),
        obs=pd.DataFrame(index=[f"c{i}" for i in range(40)]),
        var=pd.DataFrame(index=list("abcde")),
    )
    adata.obsm["spatial"] = rng.integers(0, 99, (40, 2)).astype(np.int32)
    adata.obsm["table"] = pd.DataFrame({"x": np.arange(40.0)}, index=adata.obs_names)
    return adata


def stored(adata, kind, folder):
    if kind == "memory":
        return adata
    if kind == "view":
        return adata[::-1][::-1]
    if kind == "h5ad":
        adata.write_h5ad(folder / "cells.h5ad")
        return folder / "cells.h5ad"
    return write_zarr(adata, folder / "cells.zarr", 3)


@pytest.mark.parametrize("kind", ["memory", "view", "h5ad", "zarr"])
def test_rows_of_an_array_are_those_of_the_cells(cells, kind, tmp_path):
    with open_counts(stored(cells, kind, tmp_path)) as source:
        found = source.read_obsm("spatial", 3, 11)
        assert found.dtype == np.float64
        assert (found == cells.obsm["spatial"][3:11]).all()
        with pytest.raises(InputError, match=r"'where'.*spatial, table$"):
            source.read_obsm("where", 0, 1)
        with pytest.raises(InputError, match=r"obsm\['table'\]"):
            source.read_obsm("table", 0, 1)


def test_a_matrix_without_obsm_says_that_it_has_nothing(cells):
    del cells.obsm
    with open_counts(cells) as source, pytest.raises(InputError, match="it has nothing at all"):
        source.read_obsm("spatial", 0, 1)


def test_rows_of_many_inputs_follow_one_another(cells, tmp_path):
    paths = [tmp_path / f"{name}.h5ad" for name in "abc"]
    cells[:25].write_h5ad(paths[0])
    cells[25:].write_h5ad(paths[1])
    other = cells[:5].copy()
    other.obsm["spatial"] = np.zeros((5, 3))
    other.write_h5ad(paths[2])
    with open_many(paths[:2]) as source:
        assert (source.read_obsm("spatial", 20, 31) == cells.obsm["spatial"][20:31]).all()
        assert source.read_obsm("spatial", 3, 3).shape == (0, 2)
    with open_many(paths) as source, pytest.raises(InputError, match="2, 3 columns"):
        source.read_obsm("spatial", 0, 45)
