"""Methods and controls on the same draws, judged by the same classifiers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding import Advanced, Listener, Note
from lexicell.embedding.default_projection import default_projection
from lexicell.embedding.events import log
from lexicell.errors import InputError
from lexicell.evaluation.cells.classifiers import CLASSIFIERS, ClassifierName, probabilities
from lexicell.evaluation.cells.described import DescribedRun, DescribedTypes, method_facts
from lexicell.evaluation.cells.methods import Method, installed_methods
from lexicell.evaluation.cells.metrics import Scores, cluster_scores, clusters_missing, scib_scores, score
from lexicell.evaluation.cells.panels import Panel, Task
from lexicell.evaluation.cells.protocol import CellProtocol
from lexicell.evaluation.cells.report import Evaluation, Record
from lexicell.evaluation.cells.splits import (
    Skipped,
    Split,
    batch_splits,
    disjoint_splits,
    few_shot_splits,
    partial_splits,
    transfer_splits,
)
from lexicell.evaluation.cells.tables import Tables
from lexicell.evaluation.controls import CONTROLS
from lexicell.learn.mixture import mix, spread_labels
from lexicell.lexicon import GeneAtlas, Lexicon, gene_scales
from lexicell_kernels.cpu import available_cpus

__all__ = ["evaluate_panels"]

#: No class is impossible where two kinds of evidence disagree.
_LEAST = 1e-12


@dataclass
class _Embedded:
    """Vectors of both sides of a split, and what was measured of them already."""

    reference: NDArray[np.float32]
    query: NDArray[np.float32]
    seconds: float
    clusters: dict[str, float] = field(default_factory=dict)
    evidence: NDArray[np.float64] | None = None


def evaluate_panels(
    panels: Mapping[str, Panel],
    lexicon: Lexicon,
    *,
    query: Panel | None = None,
    label_map: Mapping[str, str] | None = None,
    described: DescribedTypes | None = None,
    methods: Sequence[Method],
    protocol: CellProtocol,
    atlas: GeneAtlas | None = None,
    workers: int | None = None,
    listener: Listener = log,
) -> Evaluation:
    """Evaluate panels that were read already; see `lexicell.evaluate`."""
    if ("described" in protocol.scenarios) != (described is not None):
        msg = "the scenario described is for sentences, and sentences for it: give both or neither"
        raise InputError(msg)
    tables = Tables(lexicon, protocol.seed, listener, atlas)
    gene_scale = gene_scales(lexicon)

    @cache  # most methods need none
    def rows() -> NDArray[np.float32]:
        return default_projection(lexicon).table_rows(lexicon, lexicon.rows)

    splits: list[tuple[str, list[Split]]] = []
    skipped: list[tuple[str, Skipped]] = []
    for name, panel in panels.items():
        drawn, small = _splits(panel, query, label_map, protocol)
        splits.append((name, drawn))
        skipped += [(name, skip) for skip in small]
    by_sentences: list[DescribedRun] = []
    if described is not None:
        by_sentences += [
            DescribedRun(name, panel, described, lexicon, protocol, listener)
            for name, panel in panels.items()
        ]
        skipped += [(run.data, skip) for run in by_sentences for skip in run.skipped]
    _tell_skipped(skipped, listener)
    batches = any(split.other_batches for _, drawn in splits for split in drawn)
    methods = installed_methods(methods, listener, batches=batches)
    runs = [(method, control) for method in methods for control in ("", *tables.controls(method))]
    total = sum(len(drawn) for _, drawn in splits) * len(runs)
    if total and (missing := clusters_missing()):
        listener(Note(missing))
    total += sum(run.n_draws for run in by_sentences)
    by_run: dict[tuple[str, str, str], list[Record]] = {
        (name, method.name, control): [] for name, _ in splits for method, control in runs
    }
    notes: set[str] = set()
    done = 0
    with ThreadPoolExecutor(workers or available_cpus()) as pool:
        for name, drawn in splits:
            for alike in _of_same_vectors(methods):
                for control in ("", *tables.controls(alike[0])):
                    refined = None if control else rows
                    runner = _Runner(alike, control, tables, gene_scale, refined, protocol)
                    for judged in runner.run(name, drawn, pool):
                        for method, added in zip(alike, judged, strict=True):
                            by_run[name, method.name, control] += added
                            done += 1
                            listener(Advanced(done, total))
                    notes |= runner.notes
    records = [record for found in by_run.values() for record in found]
    for run in by_sentences:
        for added in run.run():
            records += added
            done += 1
            listener(Advanced(done, total))
    for text in sorted(notes):
        listener(Note(text))
    said = None if described is None else described.as_dict() | {"methods": method_facts(records)}
    return Evaluation.of(records, skipped, panels, query, lexicon, methods, protocol, said)


def _of_same_vectors(methods: Sequence[Method]) -> list[list[Method]]:
    """Methods by what embeds cells: those that differ only in what follows are embedded once."""
    alike: dict[Method, list[Method]] = {}
    for method in methods:
        key = replace(method, name="", source="", transductive=False, mixture=False)
        alike.setdefault(key, []).append(method)
    return list(alike.values())


class _Runner:
    """Runs methods that make the same vectors, with one table of genes, on the splits of a data set."""

    def __init__(
        self,
        methods: Sequence[Method],
        control: str,
        tables: Tables,
        gene_scale: NDArray[np.float32],
        refined_rows: Callable[[], NDArray[np.float32]] | None,
        protocol: CellProtocol,
    ) -> None:
        self.methods, self.control, self.protocol = methods, control, protocol
        self.method = methods[0]  # embeds for all of them
        self._tables, self._gene_scale, self._refined = tables, gene_scale, refined_rows
        self._whole: dict[tuple[int, bytes], tuple[NDArray[np.float32], dict[str, float], float]] = {}
        self.notes: set[str] = set()

    def run(
        self, name: str, splits: Sequence[Split], pool: ThreadPoolExecutor
    ) -> Iterator[list[list[Record]]]:
        """Embed split by split, classify in threads; yield the records of each split, method by method."""
        waiting: list[Any] = []
        # By draw first: a control's table is drawn once for all n of a draw.
        for split in sorted(splits, key=lambda split: split.draw):
            why = self._no_vectors(split)
            if why is not None:
                self.notes |= {why.format(method.name) for method in self.methods if why}
                waiting.append(None)
            else:
                embedded = self._embed(split)
                waiting.append(embedded and pool.submit(self._judge, name, split, embedded))
            if len(waiting) > 2 * available_cpus():
                yield self._result(waiting.pop(0))
        while waiting:
            yield self._result(waiting.pop(0))

    def _no_vectors(self, split: Split) -> str | None:
        """Why a method, {}, has no vectors for a split; "" where nobody needs to be told."""
        where = f"so it has no {split.setting!r} of {split.scenario}"
        if self.method.shared_genes and not split.same_genes:
            return "{} needs the same genes on both sides, " + where
        if self.method.given and not split.one_source:
            return "the vectors of {} are of all genes of one data set, " + where
        same = (
            (self.method.other_genes and split.same_genes)
            or (self.method.some_genes and split.scenario != "partial")
            or (self.method.other_batches and not split.other_batches)
        )
        return "" if same else None

    def _result(self, waiting: Any) -> list[list[Record]]:
        judged: list[list[Record]] = [[] for _ in self.methods] if waiting is None else waiting.result()
        return judged

    def _seed(self, draw: int) -> int:
        return int(np.random.SeedSequence([self.protocol.seed, draw]).generate_state(1)[0])

    def _embed(self, split: Split) -> _Embedded | None:
        started = time.perf_counter()
        if split.one_source and not self.method.per_draw:
            return self._embed_whole(split)
        vectors = self._tables.vectors(self.control, split, self._seed(split.draw))
        if vectors is None:
            return None
        bare = split.query.without_labels()
        seed = self._seed(split.draw)
        task = Task(
            vectors, split.reference, bare, bare, seed, self._gene_scale, self._refined,
            self._tables.atlas(self.control, split, seed) if self.method.atlas else None,
            partial(self._tables.through, split=split, seed=seed),
        )  # fmt: skip
        reference, query = self.method(task)
        _check_shapes(self.method, reference, split.cells[0], query, split.cells[1])
        evidence = None if self.method.evidence is None else self.method.evidence(task)
        return _Embedded(reference, query, time.perf_counter() - started, evidence=evidence)

    def _embed_whole(self, split: Split) -> _Embedded:
        """Embed all cells of a split as they are, whichever are labelled, once for all such splits."""
        cells = np.sort(np.concatenate(split.cells))
        # Only a control's vectors differ from draw to draw.
        key = (split.draw if self.control in CONTROLS else 0, cells.tobytes())
        if key not in self._whole:
            started = time.perf_counter()
            if self.control in CONTROLS:
                self._whole = {k: value for k, value in self._whole.items() if k[0] == key[0]}
            panel = split.sources[0].take(cells)
            bare = panel.without_labels()
            empty = bare.take(np.empty(0, np.int64))
            seed = self._seed(key[0])
            given = self._tables.vectors(self.control, split, self._seed(split.draw))
            assert given is not None  # noqa: S101 -- only draws of several panels lack some
            task = Task(given, bare, empty, None, seed, self._gene_scale, self._refined)
            vectors, _ = self.method(task)
            _check_shapes(self.method, vectors, cells)
            seconds = time.perf_counter() - started
            self._whole[key] = vectors, self._clusters(vectors, panel), seconds
        vectors, clusters, seconds = self._whole[key]
        reference, query = (vectors[np.searchsorted(cells, side)] for side in split.cells)
        return _Embedded(reference, query, seconds, clusters)

    def _clusters(self, vectors: NDArray[np.float32], panel: Panel) -> dict[str, float]:
        labels = panel.labels
        if labels is None:
            return {}
        scores = cluster_scores(vectors, labels, self.protocol.seed)
        return scores | (scib_scores(vectors, labels, panel.batch) if self.protocol.scib else {})

    def _judge(self, name: str, split: Split, embedded: _Embedded) -> list[list[Record]]:
        labels, true = split.labels
        clusters = embedded.clusters or self._clusters(embedded.query, split.query)
        records: list[list[Record]] = [[] for _ in self.methods]
        for kind in CLASSIFIERS:
            classes, alone = probabilities(
                embedded.reference, labels, embedded.query, kind, self.protocol.seed
            )
            if embedded.evidence is not None:
                alone = alone * embedded.evidence + _LEAST
                alone /= alone.sum(axis=1, keepdims=True)
            for method, judged in zip(self.methods, records, strict=True):
                mixed = method.mixture
                found = _mixed(alone, classes, name, split, embedded, self._tables) if mixed else alone
                scores = score(true, classes[found.argmax(axis=1)])
                judged.append(self._record(method, name, split, kind, scores, embedded.seconds, clusters))
        return records

    def _record(
        self,
        method: Method,
        name: str,
        split: Split,
        kind: ClassifierName,
        scores: Scores,
        seconds: float,
        clusters: Mapping[str, float],
    ) -> Record:
        return Record(
            data=name,
            scenario=split.scenario,
            setting=split.setting,
            draw=split.draw,
            method=method.name,
            control=self.control,
            transductive=method.transductive,
            classifier=kind,
            reference_cells=len(split.cells[0]),
            query_cells=len(split.cells[1]),
            classes=len(np.unique(split.labels[1])),
            accuracy=scores.accuracy,
            macro_f1=scores.macro_f1,
            rare_f1=scores.rare_f1,
            clusters=dict(clusters),
            seconds=seconds,
        )


def _mixed(
    found: NDArray[np.float64],
    classes: NDArray[np.str_],
    name: str,
    split: Split,
    embedded: _Embedded,
    tables: Tables,
) -> NDArray[np.float64]:
    """Hold cells that look alike to be of one class.

    Where both sides are cells of one data set that see the same genes, in their own vectors and by both
    classifiers, and labelled cells keep their class; elsewhere in the components of the query alone.
    """
    if not split.one_source:
        trust = 2.0 if embedded.evidence is None else 1.0  # a product says things twice
        return mix(found, tables.components(name, split), trust=trust)
    known = np.full(sum(map(len, split.cells)), -1)
    known[: len(split.cells[0])] = np.searchsorted(classes, split.labels[0])
    spread = spread_labels(np.vstack([embedded.reference, embedded.query]), known, seed=tables.seed)
    return spread.probability[len(split.cells[0]) :]


def _splits(
    panel: Panel, query: Panel | None, label_map: Mapping[str, str] | None, protocol: CellProtocol
) -> tuple[list[Split], list[Skipped]]:
    splits: list[Split] = []
    skipped: list[Skipped] = []
    for scenario in protocol.scenarios:
        if scenario == "few-shot":
            drawn, small = few_shot_splits(panel, protocol.n, protocol.draws, protocol.seed)
        elif scenario == "disjoint":
            drawn, small = disjoint_splits(
                panel, protocol.panels, protocol.seed, n_genes=protocol.n_genes, least=protocol.least
            )
        elif scenario == "partial":
            drawn, small = partial_splits(panel, protocol.panels, protocol.seed, least=protocol.least)
        elif scenario == "batches":
            drawn, small = batch_splits(panel)
        elif scenario == "described" or query is None:
            continue
        else:
            drawn, small = transfer_splits(panel, query, protocol.draws, protocol.seed, names=label_map)
        splits += drawn
        skipped += small
    return splits, skipped


def _check_shapes(method: Method, *pairs: Any) -> None:
    for vectors, cells in zip(pairs[::2], pairs[1::2], strict=True):
        if np.ndim(vectors) != 2 or len(vectors) != len(cells):
            msg = f"the method {method.name!r} gave {np.shape(vectors)} for {len(cells)} cells"
            raise InputError(msg)


def _tell_skipped(skipped: Sequence[tuple[str, Skipped]], listener: Listener) -> None:
    groups: dict[tuple[str, str, int | None, int], list[str]] = {}
    for data, s in skipped:
        groups.setdefault((data, s.scenario, s.n, s.needed), []).append(f"{s.label} ({s.cells})")
    for (data, scenario, n, needed), classes in groups.items():
        place = f"{data}, {scenario}" + ("" if n is None else f" n={n}")
        why = {
            "transfer": "not a class of the reference",
            "batches": "in one batch only",
            "described": "no sentence has such a name",
        }.get(scenario, f"fewer than {needed} cells")
        listener(Note(f"{place}: classes skipped, {why}: {', '.join(classes)}"))
