"""``lexicell evaluate``, as typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lexicell.evaluation.controls import BAGS, CONTROLS

pytest.importorskip("sklearn")


@pytest.fixture
def labelled(tmp_path, cells):
    """120 real cells as a file, of two types that are there often enough and the rest."""
    few = cells.obs["bulk_labels"].astype(object)
    few[~few.isin(few.value_counts().index[:3])] = np.nan
    cells.obs["type"] = few
    cells.obs["one"] = "cell"
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


QUICK = ("--label", "type", "--scenario", "few-shot", "--n", "2", "--draws", "2", "--methods", "paper")


@pytest.mark.slow
def test_a_table_for_people_and_files_for_later(lexicell, labelled, tmp_path):
    pytest.importorskip("matplotlib")
    ended = lexicell("evaluate", labelled, *QUICK, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("cells, few-shot, n=2, knn\nmethod")
    assert "paper, random vectors" in ended.out
    assert "paper against best control: paper, " in ended.out
    assert "cells have no type; they are left out" in ended.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["evaluation.json", "few-shot.png", "scores.csv", "tables.md"]
    again = lexicell("evaluate", labelled, *QUICK, "--out", tmp_path / "out")
    assert (again.code, again.out) == (2, "")
    assert "overwrite" in again.complaint


@pytest.mark.slow
def test_json_is_all_there_is_on_stdout_and_repeats_itself(lexicell, labelled):
    def told():
        found = json.loads(lexicell("evaluate", labelled, *QUICK, "--json").out)
        for record in found["records"]:
            del record["seconds"]
        return found

    first = told()
    assert first == told()
    assert first["settings"]["n"] == [2]
    assert first["settings"]["methods"]["paper"]["text"]
    assert {record["control"] for record in first["records"]} == {"", *CONTROLS, *BAGS}


@pytest.mark.slow
def test_sentences_and_markers_are_files_and_make_one_table(lexicell, labelled, tmp_path):
    import anndata

    first, second = anndata.read_h5ad(labelled).obs["type"].astype(str).value_counts().drop("nan").index[:2]
    types, markers = tmp_path / "types.txt", tmp_path / "markers.txt"
    types.write_text(
        f"{first}\tantigen presentation, innate immune response, phagocytosis\n"
        f"{second}\tT cell receptor signaling, T cell activation, cytotoxicity\n"
    )
    markers.write_text(f"{first}\tCST3,LYZ\n{second}\tCD3D\n")
    ended = lexicell(
        "evaluate", labelled, "--label", "type", "--scenario", "described", "--describe", types,
        "--markers", markers, "--draws", 1, "--n", 2,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.out.startswith("cells, described, all cells\nmethod")
    table = ended.out.splitlines()
    assert table[1].endswith("AUROC")
    assert [line for line in table if line.startswith("sentences, shuffled likenesses")]
    assert [line for line in table if line.startswith("2 labelled cells of each type")]


@pytest.mark.slow
def test_another_data_set_is_classified_by_label_names_that_a_map_translates(lexicell, labelled, tmp_path):
    import anndata

    query = anndata.read_h5ad(labelled)
    first = query.obs["type"].dropna().iloc[0]
    query.obs["kind"] = query.obs["type"].astype(object).replace({first: "other name"})
    query.write_h5ad(tmp_path / "query.h5ad")
    (tmp_path / "map.json").write_text(json.dumps({"other name": first}))
    ended = lexicell(
        "evaluate", labelled, "--label", "type", "--query", tmp_path / "query.h5ad", "--query-label", "kind",
        "--label-map", tmp_path / "map.json", "--scenario", "transfer", "--draws", 2,
        "--methods", "paper", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert not found["skipped"]
    assert {record["setting"] for record in found["records"]} == {"common genes", "text alone"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--label", "nope"], "obs has no column 'nope'; it has bulk_labels, type, one"),
        (["--label", "one"], "has one class only (cell)"),
        (["--label", "type", "--n", "3,x"], "--n takes whole numbers"),
        (["--label", "type", "--n", "500"], "fewer than two classes have 501 cells"),
        (["--label", "type", "--methods", "nope"], "no method 'nope'; there are lexicell"),
        (["--label", "type", "--scenario", "nope"], "scenarios are few-shot, disjoint"),
        (["--label", "type", "--scenario", "transfer"], "needs a second data set to classify (--query)"),
        (["--label", "type", "--scenario", "batches"], "--batch-key"),
        (["--label", "type", "--label-map", "none.json"], "none.json does not exist"),
        (["--label", "type", "--scenario", "described"], "needs sentences (--describe)"),
        (["--label", "type", "--describe", "none.txt"], "none.txt does not exist"),
        (["--label", "type", "--types", "blood", "--markers", "none.txt"], "none.txt does not exist"),
        (["--label", "type", "--types", "blood", "--scenario", "described"], "fewer than two labels have a"),
        (["--label", "type", "--scib"], "pip install scib-metrics"),
        ([], "--label"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(lexicell, labelled, options, says):
    if "--scib" in options:
        import importlib.util

        if importlib.util.find_spec("scib_metrics"):
            pytest.skip("scib-metrics is installed")
    ended = lexicell("evaluate", labelled, *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.complaint


@pytest.mark.slow
def test_an_embedding_from_elsewhere_has_a_row(lexicell, labelled, tmp_path):
    import lexicell as package

    package.embed(labelled, tmp_path / "ours.zarr", recipe="paper")
    ended = lexicell("evaluate", labelled, *QUICK, "--embedding", f"mine={tmp_path / 'ours.zarr'}")
    assert ended.code == 0, ended.err
    rows = {line[:8].strip(): line[8:].split() for line in ended.out.splitlines()[3:5]}
    assert rows["mine"] == rows["paper"]
    assert "mine against best control: paper, " in ended.out


def test_generated_cells_are_beside_real_ones_and_shuffled_genes(lexicell, labelled, tmp_path):
    generated = ("evaluate", labelled, "--generated", labelled, "--draws", 2)
    ended = lexicell(*generated, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    table = ended.out.splitlines()
    assert table[0] == "generative, all cells"
    assert table[1].split()[-4:] == ["w1", "w2", "mmd_linear", "mmd_rbf"]
    assert [line.split("  ")[0] for line in table[3:]] == [
        "generated", "real (the floor)", "shuffled genes (a bad generator)", "floor 0, shuffled 1",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "evaluation.json", "scores.csv", "tables.md",
    ]  # fmt: skip
    found = json.loads(lexicell(*generated, "--label", "type", "--json").out)
    assert {line["setting"] for line in found["lines"]} >= {"all cells"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--label", "type", "--embedding", "nope"], "--embedding NAME=PATH"),
        (["--label", "type", "--embedding", "a=b", "--embedding", "a=c"], "have the same name"),
        (["--label", "type", "--embedding", "a=nowhere.h5ad"], "nowhere.h5ad: no such file"),
        (["--generated", "nowhere.h5ad"], "nowhere.h5ad: no such file"),
        (["--generated", "nowhere.h5ad", "--n", "3"], "--n is for labelled cells, and not for --generated"),
        (["--generated", "nowhere.h5ad", "--scenario", "few-shot"], "--scenario is for labelled cells"),
        (["--label", "type", "--protocol", "cz", "--n", "3"], "n is not for cz-benchmarks"),
        (["--generated", "nowhere.h5ad", "--protocol", "cz"], "--protocol is for labelled cells"),
        (["--generated-values", "counts"], "--generated-values is for --generated"),
    ],
)
def test_what_cannot_be_done_with_other_models_is_one_sentence(lexicell, labelled, options, says):
    ended = lexicell("evaluate", labelled, *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.complaint
