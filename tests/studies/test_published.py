"""Published AUROCs are read as they are, and ours takes its place among them."""

from __future__ import annotations

import pytest
from studies.published import read_published

from lexicell.errors import InputError, InputNotFoundError

TABLE = "\tT1\tT2\tT3\nFIRST\t0.9\t0.8\t\nSECOND\t0.7\t0.6\t0.5\n\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_ours_is_ranked_on_the_terms_that_all_have(table):
    found = read_published(table).standing({"T1": 0.9, "T2": 0.6, "T3": 0.0, "T9": 0.1})
    assert found.terms == ("T1", "T2")  # one table says nothing about T3
    assert found.ours == pytest.approx(0.75)
    assert list(found.others) == ["FIRST", "SECOND"]
    assert found.others["FIRST"] == pytest.approx(0.85)
    assert found.rank == 2


@pytest.mark.parametrize(("ours", "rank"), [(0.86, 1), (0.7, 2), (0.1, 3)])
def test_the_rank_counts_those_that_are_better(table, ours, rank):
    assert read_published(table).standing({"T1": ours, "T2": ours}).rank == rank


def test_nothing_in_common_is_no_standing(table):
    assert read_published(table).standing({"T3": 0.9, "T4": 0.9}) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is no table of AUROCs"),
        ("\tT1\n", "is no table of AUROCs"),
        ("\tT1\tT1\nA\t0.5\t0.5\n", "different term ids"),
        ("\tT1\nA\t0.5\nB\thigh\n", "line 3: expected a name and 1 AUROCs"),
        ("\tT1\tT2\nA\t0.5\n", "line 2: expected a name and 2 AUROCs"),
        ("\tT1\nA\t83.1\n", "line 2"),
    ],
)
def test_what_is_no_table_is_refused_with_the_line(tmp_path, content, says):
    (tmp_path / "t.tsv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        read_published(tmp_path / "t.tsv")


def test_missing_and_binary_files_are_told_apart(tmp_path):
    with pytest.raises(InputNotFoundError, match="there is no file"):
        read_published(tmp_path / "t.tsv")
    (tmp_path / "t.tsv").write_bytes(b"\x89PNG\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        read_published(tmp_path / "t.tsv")
    with pytest.raises(InputError, match="cannot be read"):
        read_published(tmp_path)


def test_the_published_tables_are_read(data):
    go, omim = (read_published(data(f"tables/ylab_single_gene_{kind}_AUROC.tsv")) for kind in ("go", "omim"))
    assert (go.auroc.shape, omim.auroc.shape) == ((38, 56), (38, 103))
    assert go.standing(dict.fromkeys(go.terms, 0.5)).rank == 39
