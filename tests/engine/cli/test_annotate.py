"""``lexicell annotate``, as typed."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("sklearn")


@pytest.fixture
def files(tmp_path, cells):
    """120 real cells as two files: the first 70 with types, the others to name."""
    few = cells.obs["bulk_labels"].astype(object)
    few[~few.isin(few.value_counts().index[:3])] = "other"
    cells.obs["type"] = few
    cells[:70].copy().write_h5ad(tmp_path / "reference.h5ad")
    cells[70:].copy().write_h5ad(tmp_path / "query.h5ad")
    return tmp_path / "query.h5ad", tmp_path / "reference.h5ad"


def test_a_table_for_people_and_a_file_for_later(lexicell, files, tmp_path):
    query, reference = files
    out = tmp_path / "out.h5ad"
    ended = lexicell("annotate", query, "--reference", reference, "--label", "type", "--out", out)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("label")
    assert "50 cells, " in ended.out
    assert "\nloadings: the query measures" in ended.out
    assert f"written: {out}" in ended.err
    again = lexicell("annotate", query, "--reference", reference, "--label", "type", "--out", out)
    assert (again.code, again.out) == (2, "")
    assert "overwrite" in again.complaint


@pytest.mark.slow
def test_json_is_all_there_is_on_stdout_and_repeats_itself(lexicell, files):
    query, reference = files
    told = [
        lexicell("annotate", query, "--reference", reference, "--label", "type", "--json", *more).out
        for more in ([], [], ["--method", "knn", "--mixture", "--threshold", "0"])
    ]
    assert told[0] == told[1]
    found = json.loads(told[2])
    assert found["mode"] == "loadings"
    assert found["mixture"]
    assert found["unknown"] == 0
    assert sum(row["cells"] for row in found["labels"]) == found["cells"] == 50


@pytest.mark.slow
def test_what_connects_panels_can_be_chosen_and_is_told(lexicell, tmp_path, cells):
    cells.obs["type"] = (cells.obs["bulk_labels"].astype(str) == "CD14+ Monocyte").map(
        {True: "mono", False: "no"}
    )
    paths = [tmp_path / name for name in ("reference.h5ad", "query.h5ad", "both.h5ad")]
    parts = cells[:70, ::2], cells[70:, 1::2], cells[70:90]
    for path, part in zip(paths, parts, strict=True):
        part.copy().write_h5ad(path)
    command = ("annotate", paths[1], "--reference", paths[0], "--label", "type")
    texts = lexicell(*command, "--atlas", "none")
    assert "so the genes' texts connect them" in texts.out
    told = json.loads(lexicell(*command, "--through", paths[2], "--json").out)
    assert (told["mode"], told["through"]) == ("bridge", 20)
    assert told["atlas"] == ["PBMC3k (10x Genomics)", "pancreas (GSE84133, donor 1)"]
    cells[:2].copy().write_h5ad(paths[2])
    ended = lexicell(*command, "--through", paths[2])
    assert (ended.code, ended.out) == (2, "")
    assert "both.h5ad: genes are compared through three cells or more, not 2" in ended.complaint


@pytest.mark.slow
def test_types_are_named_by_sentences_with_the_genes_that_speak(lexicell, files, tmp_path):
    query, _ = files
    (tmp_path / "types.txt").write_text(
        "T\tT cell receptor complex\nmono\tphagocytosis of bacteria, lysozyme\n"
    )
    ended = lexicell("annotate", query, "--describe", tmp_path / "types.txt", "--types", "B cell")
    assert ended.code == 0, ended.err
    assert "genes that speak for it most" in ended.out
    found = json.loads(lexicell("annotate", query, "--types", "T cell,B cell,monocyte", "--json").out)
    assert found["mode"] == "described"
    assert {row["type"] for row in found["sentences"]} == {"T cell", "B cell", "monocyte"}
    assert {"CD3D", "CD79A"} <= {row["gene"] for row in found["genes"]}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "give --reference, sentences (--describe), or --types"),
        (
            ["--reference", "REF"],
            "name the column of obs that holds its labels (--label); it has bulk_labels",
        ),
        (["--reference", "REF", "--label", "nope"], "no column 'nope'; it has bulk_labels, type"),
        (["--types", "B cell"], "one sentence can't compete"),
        (["--types", "B cell,Bcell"], "Bcell"),
        (["--describe", "none.txt"], "none.txt does not exist"),
        (["--types", "B cell,T cell", "--mixture"], "leave --mixture out"),
        (["--types", "B cell,T cell", "--reference", "REF", "--label", "type"], "that no sentence describes"),
        (["--reference", "none.h5ad", "--label", "type"], "none.h5ad"),
        (["--reference", "REF", "--label", "type", "--out", "a.txt"], "labels are written to .h5ad"),
        (["--reference", "REF", "--label", "type", "--threshold", "3"], "from 0 to 1, not 3"),
        (["--reference", "REF", "--label", "type", "--atlas", "no.parquet"], "there is no such gene atlas"),
        (["--types", "B cell,T cell", "--through", "REF"], "leave --through out"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(lexicell, files, options, says):
    query, reference = files
    ended = lexicell("annotate", query, *[reference if option == "REF" else option for option in options])
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.complaint
