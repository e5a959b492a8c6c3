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


def test_json_is_all_there_is_on_stdout_and_repeats_itself(lexicell, files):
    query, reference = files
    told = [
        lexicell("annotate", query, "--reference", reference, "--label", "type", "--json", *more).out
        for more in ([], [], ["--method", "knn", "--smooth", "--threshold", "0"])
    ]
    assert told[0] == told[1]
    found = json.loads(told[2])
    assert found["mode"] == "loadings"
    assert found["smoothed"]
    assert found["unknown"] == 0
    assert sum(row["cells"] for row in found["labels"]) == found["cells"] == 50


def test_help_says_how_often_zero_shot_is_wrong(lexicell):
    shown = lexicell("annotate", "--help").out
    assert "macro-F1" in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "give --reference, or --zero-shot with --types"),
        (
            ["--reference", "REF"],
            "name the column of obs that holds its labels (--label); it has bulk_labels",
        ),
        (["--reference", "REF", "--label", "nope"], "no column 'nope'; it has bulk_labels, type"),
        (["--reference", "REF", "--types", "B cell,T cell"], "give --zero-shot too"),
        (["--zero-shot"], "name them with --types"),
        (["--zero-shot", "--types", "B cell"], "1 cell types were found"),
        (["--zero-shot", "--types", "none.obo"], "none.obo does not exist"),
        (["--zero-shot", "--types", "a,b", "--reference", "REF"], "leave --reference, --label"),
        (["--reference", "none.h5ad", "--label", "type"], "none.h5ad"),
        (["--reference", "REF", "--label", "type", "--out", "a.txt"], "labels are written to .h5ad"),
        (["--reference", "REF", "--label", "type", "--threshold", "3"], "from 0 to 1, not 3"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(lexicell, files, options, says):
    query, reference = files
    ended = lexicell("annotate", query, *[reference if option == "REF" else option for option in options])
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.complaint
