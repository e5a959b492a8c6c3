"""``lexicell pack``: what it makes, what it says, and one sentence for what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse as sp


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def folder(tmp_path, cells) -> Path:
    """120 real cells in two files."""
    folder = tmp_path / "in"
    folder.mkdir()
    cells[:80].copy().write_h5ad(folder / "a.h5ad")
    cells[80:].copy().write_h5ad(folder / "b.h5ad")
    return folder


def test_a_folder_becomes_one_atlas_that_verifies_and_embeds(lexicell, folder, tmp_path, cells):
    ended = lexicell("pack", folder, tmp_path / "atlas.zarr", "--workers", 2)
    assert ended.code == 0, ended.err
    assert "120 cells x 765 genes" in ended.out
    assert "MB before" in ended.out
    assert "columns described" in ended.err
    found = anndata.read_zarr(tmp_path / "atlas.zarr")
    assert (found[:, cells.var_names].X != cells.X).nnz == 0
    assert set(found.obs["input"]) == {"a.h5ad", "b.h5ad"}
    assert lexicell("verify", tmp_path / "atlas.zarr").code == 0
    assert lexicell("embed", tmp_path / "atlas.zarr", tmp_path / "out.zarr").code == 0


def test_the_plan_is_printed_and_nothing_written(lexicell, folder, tmp_path):
    ended = lexicell("pack", folder / "*.h5ad", tmp_path / "atlas.zarr", "--dry-run", "--json")
    assert ended.code == 0, ended.err
    plan = json.loads(ended.out)
    assert (plan["inputs"], plan["cells"], plan["columns"]) == (2, 120, 765)
    assert plan["counts_dtype"] == "uint16"
    assert plan["input_bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert not list(tmp_path.glob("atlas*"))


def test_the_result_is_json_where_asked(lexicell, folder, tmp_path):
    ended = lexicell("pack", folder, tmp_path / "atlas.zarr", "--json", "--obs-column", "bulk_labels")
    done = json.loads(ended.out)
    assert done["cells"] == 120
    assert done["dtype"] == "uint16"
    assert done["output_bytes"] == sum(
        path.stat().st_size for path in (tmp_path / "atlas.zarr").rglob("*") if path.is_file()
    )
    assert list(anndata.read_zarr(tmp_path / "atlas.zarr").obs.columns) == ["bulk_labels"]


def test_bad_input_gets_one_sentence_and_leaves_nothing(lexicell, folder, tmp_path, cells):
    cells.X = sp.csr_matrix(np.log1p(cells.X.toarray()))
    cells.write_h5ad(tmp_path / "logged.h5ad")
    (tmp_path / "half.h5ad").write_bytes((folder / "a.h5ad").read_bytes()[:9000])
    out = tmp_path / "atlas.zarr"
    for args, code, said in (
        ([folder, tmp_path / "out.h5ad"], 2, "a packed atlas is a .zarr"),
        ([tmp_path / "none.h5ad", out], 2, "no such file"),
        ([tmp_path / "*.loom", out], 2, "no file or folder matches"),
        ([folder, folder / "a.h5ad", out], 2, "more than once"),
        ([folder, out, "--layer", "spliced"], 2, "there is no layer 'spliced'"),
        ([folder, out, "--obs-column", "mood"], 2, "obs has no column 'mood'"),
        ([folder, tmp_path / "logged.h5ad", out], 2, "holds counts and"),
        ([folder, tmp_path / "half.h5ad", out], 4, "half.h5ad"),
        ([folder, out, "--resume", "--overwrite"], 2, "give one of them"),
        ([folder, out, "--lexicon", "nowhere"], 2, "nowhere"),
    ):
        ended = lexicell("pack", *args)
        assert ended.code == code, ended.err
        assert said in ended.complaint
        assert not list(tmp_path.glob("atlas.zarr*"))
    assert lexicell("pack", folder, out).code == 0
    assert "--overwrite" in lexicell("pack", folder, out).complaint
    assert lexicell("pack", folder, out, "--overwrite").code == 0
    assert lexicell("pack", folder, out, "--resume").code == 0
