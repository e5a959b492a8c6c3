"""Several inputs, and what is told before and after a run of shards."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest


@pytest.fixture
def parts(tmp_path, cells):
    """The 120 cells as two files in a folder."""
    folder = tmp_path / "parts"
    folder.mkdir()
    cells[:50].copy().write_h5ad(folder / "a.h5ad")
    cells[50:].copy().write_h5ad(folder / "b.h5ad")
    return folder


def test_many_inputs_are_one_store_with_the_vectors_of_all(lexicell, parts, h5ad, tmp_path):
    assert lexicell("embed", parts / "a.h5ad", parts / "b.h5ad", tmp_path / "many.zarr").code == 0
    assert lexicell("embed", h5ad, tmp_path / "one.zarr").code == 0
    many, one = (anndata.read_zarr(tmp_path / f"{name}.zarr") for name in ("many", "one"))
    assert many.obs_names.tolist() == one.obs_names.tolist()
    np.testing.assert_array_equal(many.obsm["X_lexicell"], one.obsm["X_lexicell"])


def test_each_input_gets_a_store_of_its_name(lexicell, parts, tmp_path):
    ended = lexicell("embed", parts, tmp_path / "out", "--each", "--json")
    assert [told["cells"] for told in json.loads(ended.out)["outputs"]] == [50, 70]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.zarr", "b.zarr"]
    assert anndata.read_zarr(tmp_path / "out" / "b.zarr").n_obs == 70


def test_two_inputs_of_one_name_are_not_one_output(lexicell, parts, tmp_path):
    (tmp_path / "a.h5ad").write_bytes((parts / "a.h5ad").read_bytes())
    ended = lexicell("embed", parts / "a.h5ad", tmp_path / "a.h5ad", tmp_path / "out", "--each")
    assert ended.code == 2
    assert "two inputs are called a" in ended.complaint
    assert not (tmp_path / "out").exists()


def test_a_dry_run_foresees_shards_memory_and_time(lexicell, h5ad, tmp_path, monkeypatch):
    monkeypatch.setattr("lexicell.embedding.probe._SECONDS", 0.05)
    told = json.loads(lexicell("embed", h5ad, tmp_path / "o.zarr", "--dry-run", "--json", "--workers", 3).out)
    assert (told["shards"], told["workers"]) == (1, 1)
    assert told["read_bytes"] == h5ad.stat().st_size
    assert told["worker_bytes"] > 3 * 120 * 384 * 4
    assert told["expected_seconds"] == pytest.approx(120 / told["probed_cells_per_second"], abs=0.06)
