"""Every verb that opens counts keeps to the file that was named, unless it is told otherwise."""

from __future__ import annotations

import json
import os

import anndata
import h5py
import pytest


@pytest.fixture
def linked(cells, tmp_path):
    """The cells, whose counts and a column of obs lie in another file."""
    h5ad = tmp_path / "cells.h5ad"
    cells.obs["kind"] = ["T", "B"] * 60
    cells.write_h5ad(h5ad)
    with h5py.File(h5ad, "r+") as file, h5py.File(tmp_path / "outside.h5", "w") as outside:
        for name in ("X", "obs/kind"):
            file.copy(file[name], outside, name.replace("/", "_"))
            del file[name]
            file[name] = h5py.ExternalLink("outside.h5", name.replace("/", "_"))
    return h5ad


@pytest.mark.parametrize("verb", ["embed", "pack", "align", "train", "evaluate", "annotate", "subset"])
def test_links_to_other_files_are_refused(lexicell, linked, tmp_path, verb):
    words = {
        "align": ("genes", "align", linked),
        "train": ("train", linked, tmp_path / "map", "--objective", "ridge", "--label", "kind"),
        "evaluate": ("evaluate", linked, "--label", "kind"),
        "annotate": ("annotate", linked, "--types", "T cell,B cell"),
        "subset": ("genes", "subset", "human-go-minilm", tmp_path / "few", "--like", linked),
    }
    ended = lexicell(*words.get(verb, (verb, linked, tmp_path / "out.zarr")))
    assert ended.code == 2
    for part in ("cells.h5ad: /X is a link to another file (outside.h5)", "--follow-links"):
        assert part in ended.complaint
    assert not list(tmp_path.glob("o*.zarr*"))


def test_followed_links_give_the_same_and_are_part_of_what_is_resumed(lexicell, linked, tmp_path):
    out, packed = tmp_path / "out.zarr", tmp_path / "packed.zarr"
    assert lexicell("embed", linked, out, "--follow-links", "--obs-column", "kind").code == 0
    assert anndata.read_zarr(out).obs["kind"].notna().all()
    told = lexicell("pack", linked, packed, "--follow-links", "--json")
    assert json.loads(told.out)["cells"] == 120
    os.utime(tmp_path / "outside.h5", ns=(1, 1))
    assert lexicell("embed", linked, out, "--follow-links", "--obs-column", "kind", "--resume").code == 2
    assert lexicell("pack", linked, packed, "--follow-links", "--resume").code == 2


@pytest.mark.parametrize(
    ("verb", "part"), [("embed", "obsm"), ("embed", "uns"), ("annotate", "uns"), ("annotate", "obs/kind")]
)
def test_a_copy_is_read_from_and_written_to_itself_only(lexicell, linked, cells, tmp_path, verb, part):
    cells.write_h5ad(linked)
    with h5py.File(linked, "r+") as file, h5py.File(tmp_path / "outside.h5", "w") as outside:
        file.copy(file[part], outside, "precious")
        del file[part]
        file[part] = h5py.ExternalLink("outside.h5", "precious")
    before = (tmp_path / "outside.h5").read_bytes()
    words = ("--types", "T cell,B cell", "--out") if verb == "annotate" else ()
    ended = lexicell(verb, linked, *words, tmp_path / "out.h5ad")
    assert ended.code == 2
    assert "outside.h5" in ended.complaint
    assert not (tmp_path / "out.h5ad").exists()
    assert (tmp_path / "outside.h5").read_bytes() == before
