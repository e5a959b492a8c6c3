"""The protocol tells text from controls where there is a difference, and repeats itself."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.embedding import Advanced, Note
from lexicell.errors import InputError, MissingExtraError, OutputExistsError
from lexicell.evaluation import METHODS, CellProtocol, Method, Panel, Task, evaluate_panels
from lexicell.evaluation.cells import evaluator as cells
from lexicell.evaluation.cells import methods as methods_of
from lexicell.evaluation.cells.figures import write_figures
from lexicell.evaluation.cells.splits import partial_splits
from lexicell.evaluation.controls import CONTROLS

SMALL = CellProtocol(n=(2, 4), draws=3, panels=3, n_genes=500, least=10)


@pytest.fixture(scope="module")
def panel(clustered):
    """Cells of three kinds, which express genes of different clusters of the lexicon."""
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1, 2], [40, 30, 4])
    prone = np.arange(clustered.n_genes) % 10 == np.array([1, 4, 7])[kinds][:, None]
    counts = sp.csr_array(rng.poisson(0.1 + 1.5 * prone).astype(np.float32))
    rows = np.arange(clustered.n_genes, dtype=np.int32)
    labels = np.array(["a", "b", "few"])[kinds]
    return Panel(counts, rows, np.asarray(counts.sum(axis=1), np.float32), labels)


def evaluate(panel, lexicon, methods=("paper", "pca50-all"), protocol=SMALL, listener=lambda e: None, **more):
    chosen = [METHODS[one] if isinstance(one, str) else one for one in methods]
    return evaluate_panels(
        {"made up": panel}, lexicon, methods=chosen, protocol=protocol, listener=listener, **more
    )


@pytest.fixture(scope="module")
def found(panel, clustered):
    return evaluate(panel, clustered)


def mean(found, scenario, method, control="", classifier="logistic"):
    scores = [
        r.macro_f1
        for r in found.records
        if (r.scenario, r.method, r.control, r.classifier) == (scenario, method, control, classifier)
    ]
    assert scores
    return np.mean(scores)


def test_text_bridges_panels_that_share_no_gene_and_controls_do_not(found):
    for classifier in ("knn", "logistic"):
        best = max(mean(found, "disjoint", "paper", control, classifier) for control in CONTROLS)
        assert mean(found, "disjoint", "paper", classifier=classifier) > max(0.8, best + 0.15)
    assert not [r for r in found.records if r.scenario == "disjoint" and r.method.startswith("pca")]


def test_every_method_meets_the_same_draws(found):
    runs = {}
    for record in found.records:
        run = runs.setdefault((record.method, record.control, record.classifier), [])
        run.append((record.setting, record.draw, record.reference_cells, record.query_cells))
    few_shot = [run for name, run in runs.items() if name[0] == "pca50-all"]
    whole = [run for name, run in runs.items() if name[0] == "paper"]
    assert len(whole) == 6
    assert all(sorted(run) == sorted(whole[0]) for run in whole)
    assert all(sorted(run) == sorted(r for r in whole[0] if r[0] != "halves") for run in few_shot)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_whatever_the_threads(panel, clustered, found):
    def scores(evaluation):
        return [(r.method, r.control, r.setting, r.draw, r.macro_f1, r.accuracy) for r in evaluation.records]

    assert scores(evaluate(panel, clustered, workers=3)) == scores(found)
    other = CellProtocol(n=(2, 4), draws=3, panels=3, n_genes=500, least=10, seed=1)
    assert scores(evaluate(panel, clustered, protocol=other)) != scores(found)


def test_a_method_sees_no_label_that_it_may_not_use(panel, clustered):
    seen = []

    def spy(task):
        seen.append(task)
        return tuple(
            np.zeros((part.n_cells, 2), np.float32) + np.arange(2) for part in (task.reference, task.query)
        )

    evaluate(panel, clustered, [Method("spy", spy)])
    assert all(task.query.labels is None and task.unlabelled.labels is None for task in seen)
    assert all(task.reference.labels is not None for task in seen)
    seen.clear()
    evaluate(panel, clustered, [Method("spy", spy, per_draw=False)], CellProtocol(("few-shot",), (2,), 3))
    assert all(task.reference.labels is None and task.unlabelled is None for task in seen)
    assert len(seen) == 1 + 2 * 3  # once for the text, once a draw for each control
    assert len({task.vectors.tobytes() for task in seen}) == 7


@pytest.mark.slow
def test_embedding_once_gives_what_embedding_each_draw_gives(panel, clustered):
    cached, each = (
        evaluate(panel, clustered, [Method("paper", METHODS["paper"].run, per_draw=per_draw)])
        for per_draw in (False, True)
    )
    scores = [[(r.setting, r.draw, r.control, r.macro_f1) for r in one.records] for one in (cached, each)]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_vectors_are_made_once_and_judged_with_and_without_the_mixture(panel, clustered):
    seen = []

    def spy(task):
        seen.append(task)
        return METHODS["paper"].run(task)

    pair = [Method("spy", spy), Method("spy+mixture", spy, transductive=True, mixture=True)]
    protocol = CellProtocol(("few-shot", "disjoint"), (2,), 3, 3, 500, 10)
    apart = [evaluate(panel, clustered, [one], protocol).records for one in pair]
    runs = 3 * (1 + len(CONTROLS))  # draws, tables
    assert len(seen) == 2 * 2 * runs
    seen.clear()
    events = []
    together = evaluate(panel, clustered, pair, protocol, events.append).records
    assert len(seen) == 2 * runs
    scores = [
        [(r.method, r.control, r.setting, r.draw, r.classifier, r.macro_f1, r.transductive) for r in records]
        for records in (apart[0] + apart[1], together)
    ]
    assert scores[0] == scores[1]
    assert {r.macro_f1 for r in apart[0]} != {r.macro_f1 for r in apart[1]}
    progress = [event for event in events if isinstance(event, Advanced)]
    assert [event.done for event in progress] == list(range(1, 1 + 2 * len(seen)))


def test_what_is_left_out_is_said(panel, clustered):
    events = []
    evaluate(panel, clustered, listener=events.append)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "made up, few-shot n=4: classes skipped, fewer than 5 cells: few (4)" in notes
    assert "made up, disjoint: classes skipped, fewer than 10 cells: few (4)" in notes
    assert any(text.startswith("pca50-all needs the same genes on both sides") for text in notes)
    progress = [event for event in events if isinstance(event, Advanced)]
    assert [event.done for event in progress] == list(range(1, 1 + 9 * 4))
    assert {event.total for event in progress} == {36}


def test_a_method_is_compared_with_its_controls_draw_by_draw(found):
    lines = {(line.label, line.setting, line.classifier): line for line in found.lines()}
    line = lines["paper", "halves", "logistic"]
    assert not line.is_control
    assert line.scores["macro_f1"].n == 3
    rivals = list(line.against)
    assert rivals[:2] == ["random", "shuffled"]
    assert rivals[2].startswith("best control: paper, ")
    assert line.against["random"].difference.low > 0
    assert lines["paper, random vectors", "halves", "logistic"].is_control
    assert not lines["pca50-all", "n=2", "knn"].against
    assert lines["pca50-all", "n=2", "knn"].transductive


def test_names_are_no_formulas_in_the_table_of_scores(found):
    clusters = {"=1+1": -0.5}
    record = replace(found.records[0], data="=cmd|' /C calc'!A0", setting="-n", clusters=clusters)
    (row,) = csv.DictReader(io.StringIO(replace(found, records=[record]).csv()))
    assert (row["data"], row["setting"], row["'=1+1"]) == ("'=cmd|' /C calc'!A0", "'-n", "-0.5")


def test_results_are_lines_a_document_and_tables(found, tmp_path):
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert len(rows) == len(found.records)
    assert float(rows[0]["macro_f1"]) == found.records[0].macro_f1
    assert float(rows[0]["silhouette"]) == found.records[0].clusters["silhouette"]
    assert {row["rare_f1"] for row in rows if row["setting"] == "halves"} == {""}  # no class is rare
    paths = found.write(tmp_path)
    told = json.loads((tmp_path / "evaluation.json").read_text())
    assert told["data"]["made up"]["classes"] == {"a": 40, "b": 30, "few": 4}
    assert told["settings"]["lexicon"]["name"] == "made-up"
    assert told["skipped"][0]["label"] == "few"
    assert len(told["records"]) == len(rows)
    tables = (tmp_path / "tables.md").read_text()
    assert "| pca50-all (control) (transductive) |" in tables
    assert "| paper, random vectors (control) |" in tables
    assert "*difference to the best control*" in tables
    assert len(paths) == 3
    with pytest.raises(OutputExistsError, match=r"scores\.csv"):
        found.write(tmp_path)
    found.write(tmp_path, overwrite=True)


@pytest.mark.slow
def test_a_picture_is_drawn_for_each_scenario(found, tmp_path):
    pytest.importorskip("matplotlib")
    paths = write_figures(found, tmp_path)
    assert [path.name for path in paths] == ["few-shot.png", "disjoint.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths)
    with pytest.raises(OutputExistsError):
        write_figures(found, tmp_path)


def test_a_transfer_and_batches_are_evaluated_too(panel, clustered):
    batch = np.where(np.arange(panel.n_cells) % 2, "x", "y")
    panel = Panel(panel.counts, panel.rows, panel.totals, panel.labels, batch)
    query = panel.take(np.arange(0, 74, 3)).restrict(np.arange(200, 600))
    protocol = CellProtocol(("batches", "transfer"), draws=2)
    found = evaluate(panel, clustered, protocol=protocol, query=query)
    settings = {(r.scenario, r.setting, r.method) for r in found.records}
    assert settings == {
        ("batches", "one held out", "paper"),
        ("batches", "one held out", "pca50-all"),
        ("transfer", "common genes", "paper"),
        ("transfer", "common genes", "pca50-all"),
        ("transfer", "text alone", "paper"),
    }


@pytest.mark.slow
def test_panels_that_share_some_genes_are_evaluated_by_these_and_by_the_others(panel, clustered, monkeypatch):
    monkeypatch.setattr(
        cells, "partial_splits", partial(partial_splits, n_genes=(60,), shares=(0, 0.02, 0.5))
    )
    whole = ("common genes", "common genes x bridge+atlas", "common genes x bridge+atlas+mixture", "bridge")
    found = evaluate(panel, clustered, (*whole, "pca50-all"), CellProtocol(("partial",), panels=3, least=10))
    settings = {r.setting for r in found.records}
    assert settings == {f"{n} of 60 {kind}" for n in ("0%", "2%", "50%") for kind in ("variable", "random")}
    assert {r.method for r in found.records} == set(whole)
    scores = {
        (setting, method): np.mean(
            [
                r.macro_f1 for r in found.records
                if (r.setting, r.method, r.control, r.classifier) == (setting, method, "", "logistic")
            ]
        )
        for setting in settings for method in whole
    }  # fmt: skip
    for kind in ("variable", "random"):
        assert scores[f"0% of 60 {kind}", "common genes"] < 0.6  # nothing to go by
        for n in ("0%", "2%"):
            by_both = scores[f"{n} of 60 {kind}", "common genes x bridge+atlas"]
            assert by_both > scores[f"{n} of 60 {kind}", "common genes"] + 0.05
        assert scores[f"50% of 60 {kind}", "common genes"] > 0.9
    elsewhere = evaluate(
        panel,
        clustered,
        ("common genes", "paper"),
        CellProtocol(("disjoint",), panels=2, n_genes=500, least=10),
    )
    assert {r.method for r in elsewhere.records} == {"paper"}


def test_expression_without_batches_is_for_batches_and_transfers_only(panel, clustered, monkeypatch):
    batch = np.where(np.arange(panel.n_cells) % 2, "x", "y")
    panel = Panel(panel.counts, panel.rows, panel.totals, panel.labels, batch)
    query = panel.take(np.arange(0, 74, 3)).restrict(np.arange(200, 600))
    protocol = CellProtocol(("few-shot", "batches", "transfer"), (2,), draws=2)
    events = []
    monkeypatch.setattr(methods_of, "find_spec", lambda name: None if name == "harmonypy" else name)
    methods = ("pca50-centred", "pca50-centred+mixture", "pca50-harmony", "pca50-harmony+mixture")
    found = evaluate(panel, clustered, methods, protocol, events.append, query=query)
    assert {(r.scenario, r.setting, r.method) for r in found.records} == {
        (*where, method)
        for where in (("batches", "one held out"), ("transfer", "common genes"))
        for method in methods[:2]
    }
    assert all(line.is_control and line.transductive for line in found.lines())
    notes = [event.text for event in events if isinstance(event, Note)]
    lacking = "pca50-harmony, pca50-harmony+mixture, which need what is not installed: "
    lacking += 'pip install "lexicell[harmony]"'
    assert any(text.endswith(lacking) for text in notes)
    evaluate(panel, clustered, methods, CellProtocol(("few-shot",), (2,), 1), events.clear() or events.append)
    assert not any("harmony]" in event.text for event in events if isinstance(event, Note))


def test_methods_whose_package_is_not_there_are_told_of_and_left_out(panel, clustered, monkeypatch):
    monkeypatch.setattr(methods_of, "find_spec", lambda name: None if name == "torch" else name)
    events = []
    protocol = CellProtocol(("few-shot",), (2,), draws=1)
    found = evaluate(panel, clustered, ("supcon", "paper"), protocol, events.append)
    assert {record.method for record in found.records} == {"paper"}
    assert any('supcon, which need what is not installed: pip install "lexicell[train]"' in event.text
               for event in events if isinstance(event, Note))  # fmt: skip
    with pytest.raises(MissingExtraError, match=r'supcon.*"lexicell\[train\]"'):
        evaluate(panel, clustered, ("supcon",), protocol)


def test_batches_are_centred_by_what_they_are_and_data_sets_by_which_they_are(panel):
    batch = np.where(np.arange(panel.n_cells) % 2, "x", "y")
    labelled = Panel(panel.counts, panel.rows, panel.totals, panel.labels, batch)
    empty = labelled.take(np.empty(0, np.int64))
    task = Task(np.zeros((600, 4), np.float32), labelled, empty, None, 0)
    whole, _ = METHODS["pca50-centred"](task)
    np.testing.assert_allclose(whole[batch == "x"].mean(axis=0), 0, atol=1e-4)
    first, second = panel.take(np.arange(40)), panel.take(np.arange(40, 74))
    sides = METHODS["pca50-centred"](replace(task, reference=first, query=second))
    for side in sides:
        np.testing.assert_allclose(side.mean(axis=0), 0, atol=1e-4)


def test_vectors_of_another_shape_are_refused(panel, clustered):
    bad = Method("bad", lambda task: (np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)))
    with pytest.raises(InputError, match=r"'bad'.*\(3, 2\)"):
        evaluate(panel, clustered, [bad])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"scenarios": ("few",)}, "scenarios are few-shot, .*, described, not 'few'"),
        ({"scenarios": ()}, "not none"),
        ({"n": (0, 3)}, "at least 1"),
        ({"few": (0,)}, "at least 1"),
        ({"draws": 0}, "at least 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        CellProtocol(**settings)
