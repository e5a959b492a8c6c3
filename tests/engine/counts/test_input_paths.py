"""How people name many inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexicell.counts.input_paths import expand_inputs
from lexicell.errors import InputError, InputNotFoundError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three data sets, out of order, beside something else."""
    for name in ("b.h5ad", "a.h5ad", "notes.md"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / "zarr.json").write_text("{}")
    return tmp_path


def test_paths_and_urls_stay_as_they_are_and_in_their_order(folder: Path) -> None:
    given = [str(folder / "b.h5ad"), "s3://bucket/x.zarr", str(folder / "a.h5ad"), "missing.h5ad"]
    assert expand_inputs(given) == given


def test_a_glob_is_sorted_and_may_descend(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "d.h5ad").write_bytes(b"")
    assert expand_inputs([str(folder / "*.h5ad")]) == [str(folder / "a.h5ad"), str(folder / "b.h5ad")]
    assert str(folder / "deep" / "d.h5ad") in expand_inputs([str(folder / "**" / "*.h5ad")])


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder: Path) -> None:
    (folder / "x[1].h5ad").write_bytes(b"")
    assert expand_inputs([folder / "x[1].h5ad"]) == [str(folder / "x[1].h5ad")]


def test_a_folder_of_data_sets_is_each_of_them(folder: Path) -> None:
    assert expand_inputs([folder]) == [str(folder / name) for name in ("a.h5ad", "b.h5ad", "c.zarr")]


@pytest.mark.parametrize("hidden", ["._a.h5ad", ".a.h5ad", "._c.zarr", ".b.h5mu", "._matrix.mtx.gz", ".x.h5"])
def test_hidden_files_are_no_inputs(folder: Path, hidden: str) -> None:
    (folder / hidden).write_bytes(b"\0\5\26\7")
    shown = [str(folder / name) for name in ("a.h5ad", "b.h5ad", "c.zarr")]
    assert expand_inputs([folder]) == shown
    assert expand_inputs([str(folder / "*.h5ad")]) == shown[:2]
    assert expand_inputs([str(folder / "**" / "*.h5ad")]) == shown[:2]
    assert expand_inputs([folder / hidden]) == [str(folder / hidden)]


def test_a_mudata_is_an_input_like_others(folder: Path) -> None:
    (folder / "b.h5mu").write_bytes(b"")
    assert expand_inputs([folder])[1:3] == [str(folder / "b.h5ad"), str(folder / "b.h5mu")]
    assert expand_inputs([str(folder / "*.h5mu")]) == [str(folder / "b.h5mu")]


@pytest.mark.parametrize(
    "matrix", ["cells_x_genes.mtx", "alevin/quants_mat.mtx", "DGE.mtx.gz", "cells_x_genes.total.mtx"]
)
def test_a_folder_of_another_tool_is_one_data_set(folder: Path, matrix: str) -> None:
    out = folder / "out"
    (out / matrix).parent.mkdir(parents=True)
    (out / matrix).write_bytes(b"")
    (out / "adata.h5ad").write_bytes(b"")
    assert expand_inputs([out]) == [str(out)]


def test_a_folder_that_is_a_data_set_is_one(folder: Path) -> None:
    tenx = folder / "tenx"
    tenx.mkdir()
    for name in ("GSM1_matrix.mtx.gz", "GSM1_barcodes.tsv.gz", "raw.h5"):
        (tenx / name).write_bytes(b"")
    assert expand_inputs([folder / "c.zarr", tenx]) == [str(folder / "c.zarr"), str(tenx)]


def test_a_list_starts_from_its_own_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "inputs.txt").write_text(f"# mine\n\nb.h5ad\n  c.zarr \ns3://bucket/y.h5ad\n{folder}/a.h5ad\n")
    assert expand_inputs([folder / "inputs.txt"]) == [
        str(folder / "b.h5ad"),
        str(folder / "c.zarr"),
        "s3://bucket/y.h5ad",
        str(folder / "a.h5ad"),
    ]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (["{}/*.loom"], InputNotFoundError, "no file or folder matches"),
        (["{}/none.txt"], InputNotFoundError, "does not exist"),
        (["{}/empty.txt"], InputError, "the list is empty"),
        (["{}/nested.txt"], InputError, "another list"),
        (["{}/a.h5ad", "{}/../{name}/a.h5ad"], InputError, "more than once"),
        (["{}", "{}/b.h5ad"], InputError, "more than once"),
        ([], InputError, "no input is given"),
    ],
)
def test_what_names_nothing_or_twice_is_said(
    folder: Path, given: list[str], error: type[Exception], said: str
) -> None:
    (folder / "empty.txt").write_text("# nothing\n")
    (folder / "nested.txt").write_text("inputs.txt\n")
    with pytest.raises(error, match=said):
        expand_inputs([arg.format(folder, name=folder.name) for arg in given])
