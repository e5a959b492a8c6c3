"""What cz-benchmarks is given, and what becomes of its scores. Where it is installed, it runs too."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.errors import InputError, MissingExtraError
from lexicell.evaluation import METHODS, Method, Panel, Task
from lexicell.evaluation.cells import cz
from lexicell.evaluation.controls import CONTROLS, control_vectors

METRICS = ("accuracy", "f1", "precision", "recall", "auroc")


@pytest.fixture
def panel(clustered):
    """Cells of three kinds and two batches, which express genes of different clusters of the lexicon."""
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1, 2], 20)
    prone = np.arange(clustered.n_genes) % 10 == np.array([1, 4, 7])[kinds][:, None]
    counts = sp.csr_array(rng.poisson(0.1 + 1.5 * prone).astype(np.float32))
    rows = np.arange(clustered.n_genes, dtype=np.int32)
    labels, batch = np.array(["a", "b", "c"])[kinds], np.array(["x", "y"])[np.arange(60) % 2]
    totals = np.asarray(counts.sum(axis=1), np.float32)
    return Panel(counts, rows, totals, labels, batch, organism="human")


@pytest.fixture
def mouse(panel):
    genes = np.arange(100, 600)
    return replace(panel.take(np.arange(0, 60, 2)).restrict(genes), organism="mouse", batch=None)


@pytest.fixture
def handed(monkeypatch):
    """What a stand-in for the package is handed over, by task."""
    calls = []

    def task(name, *metrics):
        def run(vectors, asked):
            calls.append((name, vectors, asked))
            return [
                SimpleNamespace(metric_type=SimpleNamespace(value=metric), value=value, params=params)
                for metric, value, params in metrics
            ]

        return lambda: SimpleNamespace(run=run)

    tasks, types = ModuleType("czbenchmarks.tasks"), ModuleType("czbenchmarks.datasets.types")
    folds = [
        (f"mean_fold_{metric}", value + 0.01 * number, {"classifier": classifier})
        for number, classifier in enumerate(("MEAN(knn,lr,rf)", "lr", "knn", "rf"))
        for metric, value in (
            ("accuracy", 0.5),
            ("f1", 0.4),
            ("precision", 0.3),
            ("recall", 0.2),
            ("auroc", 0.6),
        )
    ]
    tasks.MetadataLabelPredictionTask = task("label prediction", *folds)
    tasks.ClusteringTask = task("clustering", ("adjusted_rand_index", 0.7, {}))
    tasks.EmbeddingTask = task("embedding", ("silhouette_score", 0.8, {}))
    tasks.BatchIntegrationTask = task("batches", ("entropy_per_cell", 0.9, {}))
    tasks.CrossSpeciesIntegrationTask = task("species", ("entropy_per_cell", 0.1, {}))
    for name in (
        "MetadataLabelPrediction",
        "Clustering",
        "Embedding",
        "BatchIntegration",
        "CrossSpeciesIntegration",
    ):
        setattr(tasks, f"{name}TaskInput", SimpleNamespace)
    types.Organism = SimpleNamespace(HUMAN="homo_sapiens", MOUSE="mus_musculus")
    for module in (ModuleType("czbenchmarks"), ModuleType("czbenchmarks.datasets"), tasks, types):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cz, "version", lambda name: "0")
    return calls


def evaluate(
    panel, lexicon, methods=("lexicell", "pca50-hvg"), query=None, label_map=None, listener=lambda e: None
):
    chosen = [METHODS[one] if isinstance(one, str) else one for one in methods]
    return cz.evaluate_by_cz(
        {"made up": panel},
        lexicon,
        query=query,
        label_map=label_map,
        methods=chosen,
        seed=0,
        listener=listener,
    )


def test_it_is_handed_vectors_of_all_cells_that_no_label_was_used_for(panel, clustered, handed):
    seen = []

    def spy(task):
        seen.append(task)
        return METHODS["paper"].run(task)

    evaluate(panel, clustered, [Method("spy", spy, per_draw=False)])
    assert len(seen) == 1 + len(CONTROLS)
    assert all(task.reference.labels is None and task.query.n_cells == 0 for task in seen)
    texts = clustered.vectors(clustered.rows)
    empty = panel.take(np.empty(0, np.int64))
    for number, control in enumerate(("", *CONTROLS)):
        table = control_vectors(texts, control, seed=0) if control else texts
        wanted, _ = METHODS["paper"](Task(table, panel, empty, None, 0))
        of_run = handed[4 * number : 4 * number + 4]
        assert [name for name, _, _ in of_run] == ["clustering", "embedding", "batches", "label prediction"]
        for _, vectors, asked in of_run:
            np.testing.assert_array_equal(vectors, wanted)
            labels = getattr(asked, "labels", None)
            assert list(asked.input_labels if labels is None else labels) == panel.labels.tolist()
        assert of_run[2][2].batch_labels.tolist() == panel.batch.tolist()
        assert len(of_run[0][2].obs) == panel.n_cells


def test_two_species_are_handed_over_by_the_genes_that_both_measured(panel, mouse, clustered, handed):
    found = evaluate(panel, clustered, ["lexicell"], mouse, {"c": "C"})
    _, (first, second), asked = next(call for call in handed if call[0] == "species")
    assert (len(first), len(second)) == (60, 30)
    assert asked.organism_list == ["homo_sapiens", "mus_musculus"]
    assert set(asked.labels[0]) == {"a", "b", "c"}
    assert set(asked.labels[1]) == {"a", "b", "C"}
    alone = METHODS["paper"](
        Task(clustered.vectors(clustered.rows), panel.restrict(mouse.rows), mouse, None, 0)
    )
    handed.clear()
    evaluate(panel, clustered, ["paper"], mouse)
    _, sides, _ = next(call for call in handed if call[0] == "species")
    for side, wanted in zip(sides, alone, strict=True):
        np.testing.assert_array_equal(side, wanted)
    assert {record.clusters["cz_cross_species_entropy_per_cell"] for record in found.records} == {0.1}


def test_its_scores_are_an_evaluation(panel, clustered, handed, tmp_path):
    events = []
    found = evaluate(panel, clustered, listener=events.append)
    assert [event.done for event in events if hasattr(event, "done")] == [1, 2, 3, 4]
    lines = {(line.label, line.classifier): line for line in found.lines()}
    assert len(lines) == 4 * 3
    line = lines["lexicell", "knn"]
    assert (line.scenario, line.where, line.is_control) == ("cz", "label prediction, knn", False)
    assert line.scores["macro_f1"].mean == pytest.approx(0.42)
    assert line.scores["auroc"].mean == pytest.approx(0.62)
    assert line.scores["cz_precision"].mean == pytest.approx(0.32)
    assert lines["pca50-hvg", "rf"].is_control
    assert found.settings["protocol"] == "cz"
    assert found.versions["cz-benchmarks"] == "0"
    found.write(tmp_path)
    tables = (tmp_path / "tables.md").read_text()
    assert "| method | label prediction, lr | label prediction, knn | label prediction, rf |" in tables
    assert "| method | adjusted rand index | silhouette score | entropy per cell |" in tables
    assert "| lexicell, random vectors (control) | 0.700 | 0.800 | 0.900 |" in tables


def test_what_it_has_no_use_for_is_refused(panel, clustered, handed):
    with pytest.raises(InputError, match=r"leave supcon out"):
        evaluate(panel, clustered, ["lexicell", "supcon"])
    with pytest.raises(InputError, match="leave pca50-hvg\\+mixture out"):
        evaluate(panel, clustered, ["pca50-hvg+mixture"])
    with pytest.raises(InputError, match=r"made up.*human"):
        evaluate(panel, clustered, query=panel)
    for options, says in (
        ({"protocol": "CZ"}, "the protocol can be 'cz', not 'CZ'"),
        ({"protocol": "cz", "scenarios": "few-shot"}, "scenarios is not for cz-benchmarks"),
        ({"protocol": "cz", "n": [3]}, "n is not for cz-benchmarks"),
        ({"protocol": "cz", "label_map": {"a": "b"}}, "are for a query"),
    ):
        with pytest.raises(InputError, match=says):
            lexicell.evaluate("nowhere.h5ad", label="type", **options)


def test_a_missing_package_is_told_with_its_pip_line_before_data_are_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "czbenchmarks.tasks", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[cz\]"'):
        lexicell.evaluate("nowhere.h5ad", label="type", protocol="cz")


def test_the_package_itself_scores_what_it_is_handed(panel, mouse, clustered):
    pytest.importorskip("czbenchmarks", reason="cz-benchmarks is not installed: no run of the package itself")
    found = evaluate(panel, clustered, ["paper"], mouse)
    text = {record.classifier: record for record in found.records if not record.control}
    assert text.keys() == {"lr", "knn", "rf"}
    assert text["lr"].macro_f1 > 0.9
    names = "adjusted_rand_index normalized_mutual_info silhouette_score entropy_per_cell batch_silhouette"
    across = {"cz_cross_species_entropy_per_cell", "cz_cross_species_batch_silhouette"}
    scores = {f"cz_{name}" for name in [*names.split(), "precision", "recall"]}
    assert text["lr"].clusters.keys() == scores | across
    assert all(0 <= value <= 1 for value in text["lr"].clusters.values())
    again = evaluate(panel, clustered, ["paper"], mouse)
    assert [r.macro_f1 for r in again.records] == [r.macro_f1 for r in found.records]
