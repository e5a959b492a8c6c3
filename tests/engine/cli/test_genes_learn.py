"""``lexicell genes learn``, as typed."""

from __future__ import annotations

import json

import pytest

from lexicell.lexicon import Lexicon, open_gene_atlas

pytest.importorskip("sklearn")


@pytest.fixture
def files(tmp_path, scanpys, few):
    """Two files of one name, and the folder of a small lexicon."""
    paths = []
    for folder, part in (("a", slice(0, 100)), ("b", slice(100, 300))):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "cells.h5ad")
        scanpys[part].copy().write_h5ad(paths[-1])
    return paths, ("--lexicon", few.path, "--min-coverage", "0.1")


def test_an_atlas_is_written_and_told(lexicell, files, tmp_path, few):
    (first, second), options = files
    out = tmp_path / "atlas.parquet"
    ended = lexicell("genes", "learn", f"blood={first}", second, "--out", out, *options)
    assert ended.code == 0, ended.err
    assert ended.out.split("\n")[0].split() == ["data", "set", "cells", "genes", "with", "loadings"]
    assert "blood" in ended.out
    assert f"written: {out}" in ended.err
    assert [(cells.name, cells.cells) for cells in open_gene_atlas(few, out).data] == [
        ("blood", 100),
        ("cells", 200),
    ]
    again = lexicell("genes", "learn", first, "--out", out, *options)
    assert (again.code, again.out) == (2, "")
    assert "exists" in again.complaint
    told = lexicell("genes", "learn", first, "--out", out, *options, "--overwrite", "--json")
    facts = json.loads(told.out)
    assert facts["data"][0].keys() == {"name", "cells", "genes"}
    assert (facts["data"][0]["name"], facts["output"]) == ("cells", str(out))
    assert facts["lexicon_identity"] == Lexicon.open(few.path).identity
    assert [cells.name for cells in open_gene_atlas(few, out).data] == ["cells"]


def test_a_file_with_an_equals_sign_is_a_file(lexicell, files, tmp_path, few):
    (first, _), options = files
    named = first.rename(tmp_path / "n=5.h5ad")
    assert lexicell("genes", "learn", named, "--out", tmp_path / "x.parquet", *options).code == 0
    assert open_gene_atlas(few, tmp_path / "x.parquet").data[0].name == "n=5"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (["A", "B"], "two data sets are called cells; give each its own name, as NAME=FILE"),
        (["x=A", "x=B"], "two data sets are called x"),
        (["none.h5ad"], "none.h5ad"),
        (["x=none.h5ad"], "none.h5ad"),
        (["FEW"], "loadings are learned from 20 cells and genes or more, not 19"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(lexicell, files, tmp_path, scanpys, data, says):
    paths, options = files
    scanpys[:19].copy().write_h5ad(tmp_path / "few.h5ad")
    typed = [
        one.replace("A", str(paths[0])).replace("B", str(paths[1])).replace("FEW", str(tmp_path / "few.h5ad"))
        for one in data
    ]
    ended = lexicell("genes", "learn", *typed, "--out", tmp_path / "atlas.parquet", *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.complaint
    assert not (tmp_path / "atlas.parquet").exists()


def test_without_an_output_nothing_is_read(lexicell):
    ended = lexicell("genes", "learn", "none.h5ad")
    assert (ended.code, ended.out) == (2, "")
    assert "name the Parquet file to write (--output)" in ended.complaint
