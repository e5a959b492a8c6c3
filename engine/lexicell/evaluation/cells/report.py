"""What an evaluation found: lines for machines, tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell.evaluation.cells.intervals import Comparison, Interval, compare, mean_interval
from lexicell.evaluation.cells.methods import Method
from lexicell.evaluation.cells.panels import Panel
from lexicell.evaluation.cells.report_files import csv_of, interval_text, plain, write_report
from lexicell.evaluation.cells.splits import Skipped
from lexicell.evaluation.controls import BAGS, CONTROLS
from lexicell.lexicon import Lexicon

if TYPE_CHECKING:
    from lexicell.evaluation.cells.protocol import CellProtocol

__all__ = ["Evaluation", "Line", "Record"]


@dataclass(frozen=True)
class Record:
    """One method on one draw, read by one classifier.

    Attributes
    ----------
    data, scenario, setting, draw
        What was classified; see `lexicell.evaluation.cells.splits.Split`.
    method, control
        What embedded or named it, and whose vectors or likenesses it was given: "" for the lexicon's,
        "shuffled" or "random".
    transductive
        Whether it learned from the unlabelled query cells.
    classifier
        "knn" or "logistic"; "" where cells are named without vectors (scenario "described"); "lr", "knn" or
        "rf" where cz-benchmarks classified them ("cz").
    reference_cells, query_cells, classes
        Sizes; the classes are the query's. Sentences have no reference.
    accuracy, macro_f1, rare_f1
        See `lexicell.evaluation.cells.metrics.Scores`.
    clusters
        See `lexicell.evaluation.cells.metrics.cluster_scores`: of all cells where a method's vectors do not
        depend on the draw, of the query otherwise. Those that begin with "cz_" are what cz-benchmarks
        calls so.
    seconds
        That embedding or naming took; for all draws with the same vectors together.
    auroc
        Mean over the classes of the area under the ROC curve of a class's score; NaN where cells have no
        such scores, which is everywhere but in "described" and "cz".
    """

    data: str
    scenario: str
    setting: str
    draw: int
    method: str
    control: str
    transductive: bool
    classifier: str
    reference_cells: int
    query_cells: int
    classes: int
    accuracy: float
    macro_f1: float
    rare_f1: float
    clusters: Mapping[str, float]
    seconds: float
    auroc: float = float("nan")


@dataclass(frozen=True)
class Line:
    """A method in one setting, over all draws.

    Attributes
    ----------
    data, scenario, setting, classifier, method, control, transductive
        As in `Record`.
    is_control
        Whether it uses a control's vectors, or expression alone.
    scores
        Score -> mean and interval.
    against
        What any other method is compared with ("best control: ...", "random", "shuffled", bags of words) ->
        the difference in macro-F1 on the same draws.
    """

    data: str
    scenario: str
    setting: str
    classifier: str
    method: str
    control: str
    transductive: bool
    is_control: bool
    scores: Mapping[str, Interval]
    against: Mapping[str, Comparison]

    @property
    def label(self) -> str:
        """Method and control in one."""
        return _label((self.method, self.control), self.scenario)

    @property
    def where(self) -> str:
        """Setting and classifier in one."""
        return _where(self.setting, self.classifier)


@dataclass(frozen=True)
class Evaluation:
    """What `lexicell.evaluate` found.

    Attributes
    ----------
    records
        One for each data set, draw, method, control and classifier.
    skipped
        Data set and class that was left out.
    settings, data, versions
        How, of what and with what it was made: plain values.
    """

    records: tuple[Record, ...]
    skipped: tuple[tuple[str, Skipped], ...]
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    versions: Mapping[str, str]

    @classmethod
    def of(
        cls,
        records: Sequence[Record],
        skipped: Sequence[tuple[str, Skipped]],
        panels: Mapping[str, Panel],
        query: Panel | None,
        lexicon: Lexicon,
        methods: Sequence[Method],
        protocol: CellProtocol,
        described: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """Put records and their circumstances together.

        `described` has what sentences and markers there were, and as "methods" what named cells by them.
        """
        from importlib.metadata import version

        settings: dict[str, Any] = {
            **asdict(protocol),
            "lexicon": {"name": lexicon.name, "identity": lexicon.identity},
            "methods": {
                method.name: {
                    "source": method.source,
                    "text": method.text,
                    "transductive": method.transductive,
                    "given": method.given,
                }
                for method in methods
            },
        }
        if described is not None:
            settings["methods"] |= described["methods"]
            settings["described"] = {name: of for name, of in described.items() if name != "methods"}
        everything = dict(panels) if query is None else {**panels, "query": query}
        data = {name: _describe(panel) for name, panel in everything.items()}
        packages = ("lexicell", "numpy", "scipy", "scikit-learn")
        return cls(tuple(records), tuple(skipped), settings, data, {name: version(name) for name in packages})

    def lines(self) -> list[Line]:
        """All methods in all settings; in each the methods in the order in which they ran."""
        return [line for group in self._groups() for line in _summarise(*group, self._judged())]

    def _judged(self) -> frozenset[str]:
        """What is no control: it reads text, or its vectors are from elsewhere."""
        methods = self.settings["methods"].items()
        return frozenset(name for name, facts in methods if facts["text"] or facts.get("given"))

    def _groups(self) -> Iterator[tuple[tuple[str, str, str, str], list[Record]]]:
        groups: dict[tuple[str, str, str, str], list[Record]] = {}
        for record in self.records:
            key = record.data, record.scenario, record.setting, record.classifier
            groups.setdefault(key, []).append(record)
        yield from groups.items()

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON; what was not measured is None."""
        content = {
            "settings": self.settings,
            "data": self.data,
            "versions": self.versions,
            "skipped": [{"data": name, **asdict(skip)} for name, skip in self.skipped],
            "lines": [asdict(line) for line in self.lines()],
            "records": [asdict(record) for record in self.records],
        }
        return plain(content)

    def csv(self) -> str:
        """Records in long format, one a line, what was not measured left empty.

        Text that a spreadsheet would run as a formula begins with ``'``.
        """
        clusters = sorted({name for record in self.records for name in record.clusters})
        rows = []
        for record in self.records:
            row = asdict(record)
            measured = row.pop("clusters")
            rows.append(row | {name: measured.get(name) for name in clusters})
        return csv_of(rows)

    def markdown(self) -> str:
        """A table for each data set and scenario: macro-F1, mean and 95 % interval over draws."""
        tables = []
        lines = self.lines()
        for data, scenario in dict.fromkeys((line.data, line.scenario) for line in lines):
            shown = [line for line in lines if (line.data, line.scenario) == (data, scenario)]
            tables.append(f"### {data}, {scenario}\n\n{_table(shown)}")
            head, rows = self.cz_table(data)
            if scenario == "cz":
                tables.append(_markdown([head, ["---", *["---:"] * (len(head) - 1)], *rows]))
        return "\n\n".join(tables) + "\n"

    def cz_table(self, data: str) -> tuple[list[str], list[list[str]]]:
        """Titles and rows of what cz-benchmarks says of a data set's vectors, whatever the classifier."""
        lines = [line for line in self.lines() if (line.data, line.scenario) == (data, "cz")]
        lines = sorted(lines, key=lambda line: line.is_control)
        measured = dict.fromkeys(name for line in lines for name in line.scores if name.startswith("cz_"))
        names = [name for name in measured if name not in {"cz_precision", "cz_recall"}]
        rows = {line.label: [_row_title(line), *(_cell(line, name) for name in names)] for line in lines}
        return ["method", *(name.removeprefix("cz_").replace("_", " ") for name in names)], [*rows.values()]

    def write(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write ``scores.csv``, ``evaluation.json`` and ``tables.md`` into a folder, made if need be.

        Raises
        ------
        OutputExistsError
            One of them exists and is not to be replaced.
        WriteError
            The disk is full, or the folder may not be written to.
        """
        return write_report(folder, self.csv(), self.as_dict(), self.markdown(), overwrite=overwrite)


def _summarise(key: tuple[str, str, str, str], records: list[Record], judged: frozenset[str]) -> list[Line]:
    rows: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        rows.setdefault((record.method, record.control), []).append(record)
    for drawn in rows.values():
        drawn.sort(key=lambda record: record.draw)
    f1 = {name: _values(drawn, "macro_f1") for name, drawn in rows.items()}
    controls = {name for name in rows if name[1] or name[0] not in judged}
    best = max(controls, key=lambda name: f1[name].mean(), default=None)
    lines = []
    for name, drawn in rows.items():
        rivals = {}
        if name not in controls:
            sizes = [(record.query_cells, record.reference_cells) for record in drawn]
            share = float(np.mean([query / reference if reference else np.nan for query, reference in sizes]))
            named = {control: (name[0], control) for control in (*CONTROLS[::-1], *BAGS)}
            if best is not None:
                named[f"best control: {_label(best, key[1])}"] = best
            rivals = {
                title: compare(f1[name], f1[rival], test_over_train=share)
                for title, rival in named.items()
                if rival in f1 and len(f1[rival]) == len(f1[name])
            }
        measured = ["accuracy", "macro_f1", "rare_f1"]
        measured += [] if np.isnan(drawn[0].auroc) else ["auroc"]
        scores = {score: mean_interval(_values(drawn, score)) for score in measured}
        for score in drawn[0].clusters:
            scores[score] = mean_interval(np.array([record.clusters[score] for record in drawn], np.float64))
        data, scenario, setting, classifier = key
        lines.append(
            Line(
                data,
                scenario,
                setting,
                classifier,
                *name,
                drawn[0].transductive,
                name in controls,
                scores,
                rivals,
            )
        )
    return lines


def _values(records: Sequence[Record], score: str) -> NDArray[np.float64]:
    return np.array([getattr(record, score) for record in records], np.float64)


def _label(name: tuple[str, str], scenario: str) -> str:
    method, control = name
    if control in CONTROLS:
        control += " likenesses" if scenario == "described" else " vectors"
    return f"{method}, {control}" if control else method


def _where(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _table(lines: Sequence[Line]) -> str:
    """Methods down, settings and classifiers across; controls below what they control."""
    columns = list(dict.fromkeys((line.setting, line.classifier) for line in lines))
    cells = {(line.label, line.setting, line.classifier): line for line in lines}
    order = dict.fromkeys(line.label for line in sorted(lines, key=lambda line: line.is_control))
    header = ["method", *(_where(*column) for column in columns)]
    rows = [header, ["---", *("---:" for _ in columns)]]
    for label in order:
        line = next(line for line in lines if line.label == label)
        rows.append([_row_title(line), *(_cell(cells.get((label, *column))) for column in columns)])
    best = ["*difference to the best control*"]
    for column in columns:
        compared = [line for line in lines if (line.setting, line.classifier) == column and line.against]
        top = max(compared, key=lambda line: line.scores["macro_f1"].mean, default=None)
        rival = (
            None if top is None else next((v for k, v in top.against.items() if k.startswith("best")), None)
        )
        if top is None or rival is None:
            best.append("")
        else:
            best.append(f"{top.method}: {interval_text(rival.difference, sign='+')}")
    rows.append(best)
    return _markdown(rows)


def _row_title(line: Line) -> str:
    return line.label + " (control)" * line.is_control + " (transductive)" * line.transductive


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell(line: Line | None, score: str = "macro_f1") -> str:
    return "" if line is None or score not in line.scores else interval_text(line.scores[score])


def _describe(panel: Panel) -> dict[str, Any]:
    return {
        "cells": panel.n_cells,
        "genes_described": len(panel.rows),
        "columns": int(panel.all_counts.shape[1]),
        "classes": panel.classes(),
        "identity": panel.identity,
    }
