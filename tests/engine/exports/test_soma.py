"""Embeddings of the Census: by number of the cell, rounded to bfloat16, with zeros, and told as it wants."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from lexicell.embedding.events import ignore
from lexicell.errors import InputError, MissingExtraError
from lexicell.exports import export
from lexicell.exports.soma import bfloat16

INFO = {"title": "ours", "contact": "Zoë", "email": "z@example.org", "census_version": "2026-01-01"}


def nearest_bfloat16(value):
    """The float32 of 8 bits that is nearest, by looking at both neighbours; ties to the even one."""
    bits = int(np.float32(value).view(np.uint32))
    below, above = (np.uint32(bits & 0xFFFF0000), np.uint32((bits & 0xFFFF0000) + 0x10000))
    low, high = float(below.view(np.float32)), float(above.view(np.float32))
    gap = abs(float(value) - low) - abs(high - float(value))
    if gap == 0:
        return low if not (int(below) >> 16) & 1 else high
    return low if gap < 0 else high


def test_values_are_rounded_to_the_nearest_bfloat16():
    rng = np.random.default_rng(0)
    special = [0, 1, -1, 1 + 2**-8, 1 + 3 * 2**-8, 2**-130]  # two are ties
    values = np.concatenate([rng.normal(size=500), special]).astype(np.float32)
    assert bfloat16(values).tolist() == [nearest_bfloat16(one) for one in values]
    torch = pytest.importorskip("torch")
    theirs = torch.from_numpy(values).to(torch.bfloat16).to(torch.float32).numpy()
    assert bfloat16(values).tobytes() == theirs.tobytes()


def test_cells_stand_by_their_numbers(tmp_path, make_cells, vectors_of, notes):
    adata = make_cells()
    vectors = vectors_of(adata, tmp_path)
    done = export("soma", adata, tmp_path / "out", listener=notes, **INFO)
    order = np.argsort(adata.obs["soma_joinid"].to_numpy())
    order = order[np.asarray(adata.X.sum(axis=1)).ravel()[order] > 0]
    found = np.load(tmp_path / "out/embeddings.npy")
    ids = np.load(tmp_path / "out/joinids.npy")
    assert (ids == adata.obs["soma_joinid"].to_numpy()[order]).all()
    assert ids.dtype == np.int64
    assert found.dtype == np.float32
    assert found.tobytes() == bfloat16(vectors[order]).tobytes()
    info = json.loads((tmp_path / "out/CxG_embedding_info.json").read_text())
    assert (info["n_embeddings"], info["n_features"]) == found.shape
    assert info["data_type"] == "obs_embedding"
    assert (info["experiment_name"], info["measurement_name"]) == ("homo_sapiens", "RNA")
    assert info["primary_contact"]["name"] == "Zoë"
    assert done.cells == 239
    assert "1 cells without genes have no vector and are not written" in str(notes)


def test_no_order_of_cells_shows(tmp_path, make_cells):
    adata = make_cells()
    export("soma", adata, tmp_path / "a", listener=ignore)
    rows = np.random.default_rng(0).permutation(adata.n_obs)
    export("soma", adata[rows].copy(), tmp_path / "b", listener=ignore)
    for name in ("embeddings.npy", "joinids.npy", "CxG_embedding_info.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_sparse_array_is_one_that_the_census_takes(tmp_path, make_cells, vectors_of):
    tiledbsoma = pytest.importorskip("tiledbsoma")
    adata = make_cells()
    vectors = bfloat16(vectors_of(adata, tmp_path))
    export("soma", adata, tmp_path / "out", layout="tiledb", census_cells=5_000, listener=ignore, **INFO)
    with tiledbsoma.SparseNDArray.open(str(tmp_path / "out/embedding")) as array:
        assert array.shape == (5_000, vectors.shape[1])
        assert str(array.schema.field("soma_data").type) == "float"
        info = json.loads(array.metadata["CxG_embedding_info"])
        table = array.read().tables().concat().to_pandas()
    full = np.flatnonzero(np.asarray(adata.X.sum(axis=1)).ravel() > 0)
    assert len(table) == len(full) * vectors.shape[1]  # zeros are stored
    dense = np.full((5_000, vectors.shape[1]), np.nan, np.float32)
    dense[table["soma_dim_0"], table["soma_dim_1"]] = table["soma_data"]
    ids = adata.obs["soma_joinid"].to_numpy()
    assert dense[ids[full]].tobytes() == vectors[full].tobytes()
    assert set(table["soma_dim_0"]) == set(ids[full].tolist())
    assert info["n_embeddings"] == len(full)


def test_without_tiledbsoma_the_array_says_what_to_install(tmp_path, make_cells, monkeypatch):
    monkeypatch.setitem(sys.modules, "tiledbsoma", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[soma\]"'):
        export("soma", make_cells(), tmp_path / "out", layout="tiledb", listener=ignore)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (lambda obs: obs.drop(columns="soma_joinid"), {}, r"no column 'soma_joinid'.*; it has donor, sick"),
        (lambda obs: obs.assign(soma_joinid=[3, 3, *range(4, 242)]), {}, r"has 3 more than once"),
        (lambda obs: obs.assign(soma_joinid=[-1, *range(239)]), {}, r"has no whole number in 1 cells"),
        (lambda obs: obs.assign(soma_joinid=[np.nan, *range(239)]), {}, r"has no whole number in 1 cells"),
        (lambda obs: obs.assign(soma_joinid=obs.index), {}, r"has no whole number in 240 cells"),
        (lambda obs: obs, {"census_cells": 3}, r"beyond the 3 cells that the Census is said to have"),
        (lambda obs: obs, {"layout": "zarr"}, r"npy and tiledb, not 'zarr'"),
    ],
)
def test_bad_numbers_are_refused(tmp_path, make_cells, change, options, says):
    adata = make_cells()
    adata.obs = change(adata.obs)
    with pytest.raises(InputError, match=says):
        export("soma", adata, tmp_path / "out", listener=ignore, **options)
    assert not list(tmp_path.iterdir())
