"""What is shown of the records: groups, whole runs beside their parts, curves, trends. Nothing here draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from statistics import median
from typing import Any

from bench.record import runs

__all__ = [
    "AXES",
    "STAGES",
    "Curve",
    "Group",
    "Point",
    "Record",
    "Trend",
    "Whole",
    "curves",
    "find_group",
    "groups",
    "latest",
    "lost",
    "one_curve",
    "readme_groups",
    "readme_run",
    "trends",
    "wholes",
]

Record = dict[str, Any]

#: Groups that vary one column of the scenario, which has the name of the group.
AXES = ("cells", "threads", "k", "p")
STAGES = ("plan", "read", "decode", "copy", "kernel", "write", "wait", "finish")
#: Suites and groups of the README.
_README = (
    ("kernel", "synthetic"),
    ("ranking", "sentences"),
    ("ranking", "tokens"),
    ("read", "packed"),
    ("read", "zarr"),
    ("read", "h5ad"),
    ("embed", "packed"),
    ("embed", "peers"),
    ("models", "synthetic"),
    ("tokens", "synthetic"),
)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that were timed in turn.

    Attributes
    ----------
    headline
        What the others were held against.
    others
        In the order of the table.
    """

    suite: str
    name: str
    headline: Record
    others: tuple[Record, ...]

    @property
    def rows(self) -> tuple[Record, ...]:
        """All, the headline first."""
        return (self.headline, *self.others)

    @property
    def peers(self) -> tuple[Record, ...]:
        """Those that are not ours."""
        return tuple(row for row in self.others if row["peer"])


@dataclass(frozen=True, slots=True)
class Whole:
    """A run from file to vectors, beside its parts alone.

    Attributes
    ----------
    stages
        Stage -> seconds of all workers together.
    read, compute
        The parts, or None where they have no times.
    limit
        Cells/s of reading and then computing: ``1 / (1 / read + 1 / compute)``; None where one is missing.
    share
        What the run reaches of it: median over the rounds of quotients within a round.
    """

    run: Record
    stages: dict[str, float]
    read: Record | None
    compute: Record | None
    limit: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement of a curve or a trend.

    Attributes
    ----------
    at
        Place on the axis; infinite for ``all``, which lies right of every number.
    value, low, high
        Median and quartiles.
    """

    at: float
    value: float
    low: float
    high: float
    record: Record


@dataclass(frozen=True, slots=True)
class Curve:
    """How a rate, or the cost of a unit, changes with one column.

    Attributes
    ----------
    axis
        One of `AXES`.
    lines
        Name -> points from left to right; units/s along ``threads``, else microseconds of a unit.
    """

    suite: str
    axis: str
    unit: str
    lines: dict[str, list[Point]]


@dataclass(frozen=True, slots=True)
class Trend:
    """A scenario's ratio over the runs; `Point.at` counts the runs of all records."""

    record: Record
    points: list[Point]


def groups(run: Sequence[Record]) -> list[Group]:
    """Groups of a run, in the order in which they were measured."""
    found: dict[tuple[str, str], list[Record]] = {}
    for row in run:
        found.setdefault((row["scenario"]["suite"], row["scenario"]["group"]), []).append(row)
    return [Group(suite, name, rows[0], tuple(rows[1:])) for (suite, name), rows in found.items()]


def find_group(run: Sequence[Record], suite: str, name: str) -> Group | None:
    """One group of a run, if it has times at all."""
    for group in groups(run):
        if (group.suite, group.name) == (suite, name) and not group.headline["empty"]:
            return group
    return None


def latest(records: Sequence[Record]) -> list[Record]:
    """Records of the last run."""
    return list(runs(records).values())[-1]


def lost(run: Sequence[Record]) -> list[Record]:
    """Peers that are faster than lexicell."""
    return [row for row in run if row["peer"] and row["ratio"] is not None and row["ratio"] < 1]


def readme_run(records: Sequence[Record]) -> list[Record]:
    """The run for the README: of those with most of its suites the last one without changes, else the last.

    A run of one suite therefore doesn't take the others' rows away. Empty if no run has any.
    """
    found = list(runs(records).values())
    width = [len({group.suite for group in readme_groups(run)}) for run in found]
    fullest = [run for run, suites in zip(found, width, strict=True) if suites == max(width) > 0]
    clean = [run for run in fullest if not run[0]["dirty"]]
    return (clean or fullest or [[]])[-1]


def readme_groups(run: Sequence[Record]) -> list[Group]:
    """The groups of a run that the README shows, in its order; and of all others the rows that we lose."""
    fitting = [group for group in groups(run) if group.peers and not group.headline["empty"]]
    shown = [group for chosen in _README for group in fitting if (group.suite, group.name) == chosen]
    others = [replace(group, others=tuple(lost(group.rows))) for group in fitting if group not in shown]
    return [*shown, *(group for group in others if group.others)]


def wholes(run: Sequence[Record]) -> list[Whole]:
    """Rows that know their stages, beside reading and computing alone of the same cells in their group."""
    found = []
    for group in groups(run):
        for row in group.rows:
            stages = row["facts"].get("stages")
            if not stages or row["empty"]:
                continue
            read = _part(group, "read", row, ("data", "cells", "storage", "cache"))
            compute = _part(group, "compute", row, ("data", "cells", "k", "p", "counts", "table"))
            limit = share = None
            if read is not None and compute is not None:
                limit = 1 / (1 / read["rate"] + 1 / compute["rate"])
                share = _share(row, read, compute)
            known = {name: stages[name] for name in (*STAGES, *stages) if stages.get(name, 0) > 0}
            found.append(Whole(row, known, read, compute, limit, share))
    return found


def _part(group: Group, what: str, run: Record, alike: Sequence[str]) -> Record | None:
    """The row of `what` with times that is like `run` in some columns."""
    for row in group.rows:
        scenario = row["scenario"]
        same = all(scenario[column] == run["scenario"][column] for column in alike)
        if scenario["what"] == what and same and not row["empty"]:
            return row
    return None


def _share(run: Record, read: Record, compute: Record) -> float:
    each = [[s / one["n"] for s in one["seconds"]] for one in (run, read, compute)]
    return float(median((alone + work) / whole for whole, alone, work in zip(*each, strict=False)))


def curves(run: Sequence[Record]) -> list[Curve]:
    """Curves of the groups that have the name of a column and at least two places along it."""
    found = []
    for group in groups(run):
        if group.name not in AXES:
            continue
        lines: dict[tuple[str, ...], dict[float, Point]] = {}
        for row in group.rows:
            if row["empty"]:
                continue
            # A costly row may have fewer cells; that makes no line of its own.
            apart = (group.name, "cells")
            key = tuple(value for column, value in row["scenario"].items() if column not in apart)
            point = _point(row, group.name)
            lines.setdefault(key, {}).setdefault(point.at, point)  # "all" threads may be 2
        named = {
            name: sorted(points.values(), key=lambda point: point.at)
            for name, points in zip(_names(list(lines)), lines.values(), strict=True)
            if len(points) > 1
        }
        if named:
            found.append(Curve(group.suite, group.name, group.headline["unit"], named))
    return found


def one_curve(found: Sequence[Curve], axis: str) -> Curve | None:
    """All curves along one column as one, their lines named by suite; None if there are none."""
    fitting = [curve for curve in found if curve.axis == axis]
    if not fitting:
        return None
    lines = {
        curve.suite if len(curve.lines) == 1 else f"{curve.suite}, {name}": points
        for curve in fitting
        for name, points in curve.lines.items()
    }
    return Curve(fitting[0].suite, axis, fitting[0].unit, lines)


def _names(keys: Sequence[tuple[str, ...]]) -> list[str]:
    """The columns in which lines differ; the only line is called lexicell."""
    differing = [place for place, values in enumerate(zip_longest(*keys)) if len(set(values)) > 1]
    return [" ".join(key[place] for place in differing) or "lexicell" for key in keys]


def _point(row: Record, axis: str) -> Point:
    low, high = row["rate_iqr"]
    value = row["rate"]
    if axis != "threads":
        value, low, high = 1e6 / value, 1e6 / high, 1e6 / low
    return Point(_place(row, axis), value, low, high, row)


def _place(row: Record, axis: str) -> float:
    if axis == "cells":
        return float(row["n"])
    said = row["scenario"][axis]
    if said == "all":
        return float(len(row["affinity"]) or row["machine"]["cpus"]) if axis == "threads" else math.inf
    return float(said)


def trends(records: Sequence[Record], shown: Sequence[Record]) -> list[Trend]:
    """Ratios over all runs of the scenarios of one run; those measured more than once, peers first."""
    number = {run: place for place, run in enumerate(runs(records))}
    points: dict[str, list[Point]] = {}
    for row in records:
        if row["ratio"] is not None:
            low, high = row["ratio_iqr"]
            points.setdefault(row["id"], []).append(
                Point(float(number[row["run"]]), row["ratio"], low, high, row)
            )
    rows = sorted(shown, key=lambda row: not row["peer"])
    return [Trend(row, points[row["id"]]) for row in rows if len(points.get(row["id"], ())) > 1]
