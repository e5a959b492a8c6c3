"""The benchmark of exports, with few cells: it runs, and what it says of ours holds."""

import json

import pytest
from bench import exports, exports_speed

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("LEXICELL_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(exports_speed, "DEPTHS", {"pbmc3k-like": 0.05})

    def of(*words):
        out = tmp_path / "exports.jsonl"
        assert exports.main([*words, "--json", str(out), "--work", str(tmp_path)]) == 0
        return json.loads(out.read_text().splitlines()[-1])

    return of


def test_ours_is_held_against_loops_and_what_is_missing_says_why(run):
    said = run("speed", "--cells", "40", "--rounds", "1")
    records = [(one["scenario"]["group"], one["scenario"]["what"], one) for one in said["records"]]
    rows = {
        (group.partition("-")[0], what): one
        for group, what, one in records
        if not group.endswith("-in-memory")
    }
    assert all(one["rate"] > 0 for group, _, one in records if group.endswith("-in-memory"))
    ours, loop = rows["geneformer", "lexicell"], rows["geneformer", "loop"]
    assert ours["rate"] > 0
    assert loop["ratio"] > 0
    assert loop["facts"]["tokens_per_cell"] > 50
    assert rows["cell", "loop"]["facts"]["tokens_per_cell"] <= 200
    assert rows["geneformer", "slaf"]["empty"] == "no folder with slaf was given"
    assert said["machine"]["cpus"] >= 1


def test_memory_and_kills_are_told_with_what_was_written(run):
    assert [row["cells"] for row in run("memory", "--memory", "30", "60")["rows"]] == [30, 60]
    said = run("kills", "--million", "30", "--kills", "1")
    assert said["same"]
    assert said["files"] > 3
    assert len(said["killed_after"]) == 1


def test_only_what_breaks_ties_by_a_rule_is_the_cells_own(run):
    rows = run("stable", "--cells", "60")["rows"]
    for row in rows[:2]:
        assert row["whose"] == "lexicell"
        assert row["share"] == dict.fromkeys(("rows", "columns", "chunks", "threads"), 1.0)
    share = {(row["whose"], row["what"]): row["share"] for row in rows}
    assert share["Cell2Sentence", "sentences"] is None
    assert share["Geneformer, Nicheformer, scDataLoader", "argsort(-x), first 128: the list"]["columns"] < 0.5
    assert share["STATE", "first 2,048 of all genes, ties shuffled: the set"]["rows"] < 0.5
    assert share["UCE", "1,024 drawn by log1p(x): the multiset"]["threads"] < 1


def test_an_unknown_part_is_named(run, capsys):
    with pytest.raises(SystemExit):
        run("speeds")
    assert "no part speeds; there are speed, memory" in capsys.readouterr().err
