"""The tasks of cz-benchmarks, run by that package on our vectors, so that others can place them."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import Advanced, Listener
from lexicell.embedding.default_projection import default_projection
from lexicell.errors import InputError, needing
from lexicell.evaluation.cells.methods import Method, installed_methods
from lexicell.evaluation.cells.panels import Panel, Task
from lexicell.evaluation.cells.protocol import CellProtocol
from lexicell.evaluation.cells.report import Evaluation, Record
from lexicell.evaluation.cells.tables import Tables
from lexicell.evaluation.controls import CONTROLS, control_vectors
from lexicell.lexicon import Lexicon, gene_scales

__all__ = ["CZ_METHODS", "evaluate_by_cz", "tasks_of_cz"]

#: Methods that are compared unless others are named.
CZ_METHODS = ("lexicell", "pca50-hvg")


def tasks_of_cz() -> Any:
    """Import ``czbenchmarks.tasks``.

    Raises
    ------
    MissingExtraError
        cz-benchmarks is not installed.
    """
    with needing("cz", "The protocol of cz-benchmarks"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        tasks = import_module("czbenchmarks.tasks")
    logging.getLogger("czbenchmarks").setLevel(logging.WARNING)  # it tells each step of each fold
    return tasks


def evaluate_by_cz(
    panels: Mapping[str, Panel],
    lexicon: Lexicon,
    *,
    query: Panel | None,
    label_map: Mapping[str, str] | None,
    methods: Sequence[Method],
    seed: int,
    listener: Listener,
) -> Evaluation:
    """Hand each method's vectors of all cells to cz-benchmarks, with the labels that it splits and scores by.

    Its "label prediction" (five folds; "lr", "knn" and "rf") gives a record for each classifier. All of these
    have the same scores of clustering, of the embedding, of batches if there are, and with a query of another
    organism those across species, by the genes that both measured. Seeds of its tasks are its own.

    Parameters
    ----------
    panels, lexicon
        Labelled data sets.
    query, label_map
        Data set of another organism, and which of its labels mean which of the reference.
    methods
        What embeds cells; no label is used for it.
    seed
        Of controls and solvers.
    listener
        Is told progress.

    Raises
    ------
    InputError
        A method has no vectors without labels, or the query is of the same organism.
    MissingExtraError
        cz-benchmarks is not installed.
    """
    tasks = tasks_of_cz()
    for method in methods:
        if method.per_draw or method.other_genes or method.some_genes or method.mixture:
            msg = f"cz-benchmarks takes vectors that no label was used for; leave {method.name} out"
            raise InputError(msg)
    if query is not None and (same := [name for name, of in panels.items() if of.organism == query.organism]):
        msg = f"{same[0]} and the query both have {query.organism} genes; scores across species need two"
        raise InputError(msg)
    tables, gene_scale = Tables(lexicon, seed, listener), gene_scales(lexicon)

    @cache
    def refined() -> NDArray[np.float32]:
        return default_projection(lexicon).table_rows(lexicon, lexicon.rows)

    def embedder(method: Method, control: str) -> Callable[[Panel, Panel], list[NDArray[np.float32]]]:
        bag = tables.bags.get(control, tables.texts) if control else tables.texts
        vectors = control_vectors(tables.texts, control, seed=seed) if control in CONTROLS else bag

        def embed(first: Panel, second: Panel) -> list[NDArray[np.float32]]:
            sides = first.without_labels(), second.without_labels()
            rows = None if control else refined
            found = method(
                Task(vectors, *sides, sides[1] if second.n_cells else None, seed, gene_scale, rows)
            )
            return [np.ascontiguousarray(side, np.float32) for side in found]

        return embed

    methods = installed_methods(methods, listener)
    runs = [(method, control) for method in methods for control in ("", *tables.controls(method))]
    records: list[Record] = []
    for name, panel in panels.items():
        for method, control in runs:
            started = time.perf_counter()
            embed = embedder(method, control)
            vectors, _ = embed(panel, panel.take(np.empty(0, np.int64)))
            seconds = time.perf_counter() - started
            scores = _scores_of_cells(tasks, vectors, panel)
            if query is not None and not method.given:
                scores |= _across_species(tasks, embed, panel, _mapped(query, label_map or {}))
            predicted = _label_prediction(tasks, vectors, panel)
            records += [
                Record(
                    data=name,
                    scenario="cz",
                    setting="label prediction",
                    draw=0,
                    method=method.name,
                    control=control,
                    transductive=method.transductive,
                    classifier=classifier,
                    reference_cells=panel.n_cells,
                    query_cells=panel.n_cells,
                    classes=len(panel.classes()),
                    accuracy=of["accuracy"],
                    macro_f1=of["f1"],
                    rare_f1=np.nan,
                    clusters=scores | {f"cz_{part}": of[part] for part in ("precision", "recall")},
                    seconds=seconds,
                    auroc=of["auroc"],
                )
                for classifier, of in predicted.items()
            ]
            listener(Advanced(len(records) // len(predicted), len(panels) * len(runs)))
    found = Evaluation.of(records, (), panels, query, lexicon, methods, CellProtocol(seed=seed))
    settings = {"protocol": "cz", **{key: found.settings[key] for key in ("seed", "lexicon", "methods")}}
    return replace(
        found,
        settings=settings,
        versions={**found.versions, "cz-benchmarks": version("cz-benchmarks")},
    )


def _run(task: Any, vectors: Any, asked: Any) -> list[Any]:
    with warnings.catch_warnings():  # of a class that a fold does not have, and the like
        warnings.simplefilter("ignore")
        return list(task.run(vectors, asked))


def _label_prediction(tasks: Any, vectors: NDArray[np.float32], panel: Panel) -> dict[str, dict[str, float]]:
    """Classifier -> metric -> mean over folds; classes of few cells are left out by the task."""
    asked = tasks.MetadataLabelPredictionTaskInput(labels=pd.Series(panel.labels))
    found: dict[str, dict[str, float]] = {}
    for result in _run(tasks.MetadataLabelPredictionTask(), vectors, asked):
        classifier = result.params["classifier"]
        if not classifier.startswith("MEAN"):
            metric = result.metric_type.value.removeprefix("mean_fold_")
            found.setdefault(classifier, {})[metric] = float(result.value)
    return found


def _scores_of_cells(tasks: Any, vectors: NDArray[np.float32], panel: Panel) -> dict[str, float]:
    """Clustering, silhouette and, where there are batches, how well they mix."""
    labels = pd.Series(panel.labels, index=[str(cell) for cell in range(panel.n_cells)])
    clustered = tasks.ClusteringTaskInput(obs=labels.to_frame("label"), input_labels=labels)
    results = [
        *_run(tasks.ClusteringTask(), vectors, clustered),
        *_run(tasks.EmbeddingTask(), vectors, tasks.EmbeddingTaskInput(input_labels=labels)),
    ]
    if panel.batch is not None and len(np.unique(panel.batch)) > 1:
        batches = tasks.BatchIntegrationTaskInput(batch_labels=panel.batch, labels=panel.labels)
        results += _run(tasks.BatchIntegrationTask(), vectors, batches)
    return {f"cz_{result.metric_type.value}": float(result.value) for result in results}


def _across_species(
    tasks: Any, embed: Callable[[Panel, Panel], list[NDArray[np.float32]]], panel: Panel, query: Panel
) -> dict[str, float]:
    common = np.intersect1d(panel.rows, query.rows)
    sides = [side.restrict(common) for side in (panel, query)]
    known = import_module("czbenchmarks.datasets.types").Organism
    asked = tasks.CrossSpeciesIntegrationTaskInput(
        labels=[side.labels for side in sides],
        organism_list=[getattr(known, side.organism.upper()) for side in sides],
    )
    results = _run(tasks.CrossSpeciesIntegrationTask(), embed(*sides), asked)
    return {f"cz_cross_species_{result.metric_type.value}": float(result.value) for result in results}


def _mapped(query: Panel, names: Mapping[str, str]) -> Panel:
    labels = [] if query.labels is None else query.labels.tolist()
    return replace(query, labels=np.array([names.get(name, name) for name in labels], np.str_))
