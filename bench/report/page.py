"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from bench.report import figures, select, words
from bench.report.select import Curve, Group, Record, Trend, Whole
from bench.report.style import draw, stylesheet

__all__ = ["Drawn", "curve_alt", "render", "speed_alt"]

_SUITES = {
    "kernel": "Kernel: counts in memory to vectors",
    "ranking": "Ranking: the top genes of each cell",
    "lexicon": "Building a lexicon",
    "read": "Reading counts",
    "embed": "Whole runs: file to vectors",
    "models": "Beside other models: file to vectors",
    "tokens": "Tokens: file to file",
    "pack": "Packing an atlas",
    "start": "Starting up",
    "dask": "On a Dask cluster",
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of the page, in words too."""

    svg: Markup
    title: str
    caption: str = ""


def render(records: Sequence[Record]) -> str:
    """Render the last run, with trends over all.

    Parameters
    ----------
    records
        At least one.
    """
    run = select.latest(records)
    groups = select.groups(run)
    main = select.find_group(run, "kernel", "synthetic") or next(
        (group for group in groups if not group.headline["empty"]), groups[0]
    )
    trends = select.trends(records, run)
    environment = Environment(
        loader=PackageLoader("bench.report", ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        name: getattr(words, name)
        for name in (
            "code",
            "day",
            "factor",
            "machine_name",
            "rate",
            "round_to",
            "setting",
            "spread",
            "verdict",
        )
    }
    environment.filters["plain"] = json.dumps
    return environment.get_template("page.html.j2").render(
        css=Markup(stylesheet()),  # noqa: S704
        run=run,
        first=run[0],
        rounds=max(len(row["seconds"]) for row in run),
        main=main,
        speed=_speed(main) if any(row["ratio"] is not None for row in main.peers) else None,
        groups=groups,
        names=_SUITES,
        peers=[row for row in run if row["peer"] and row["ratio"] is not None],
        lost=select.lost(run),
        empty=[row for row in run if row["empty"]],
        wholes=[_whole(number, whole) for number, whole in enumerate(select.wholes(run))],
        curves=[_curve(number, curve) for number, curve in enumerate(select.curves(run))],
        trends=[(_trend(number, trend), trend.record["peer"]) for number, trend in enumerate(trends)],
        runs=len({row["run"] for row in records}),
        sizes=[
            (row, *_bytes(row["facts"])) for row in run if {"peak_mb", "bytes_per_cell"} & row["facts"].keys()
        ],
    )


def _bytes(facts: dict[str, Any]) -> tuple[float | None, float | None]:
    """Bytes of a cell that are read and written; packing gives ``bytes_per_cell`` of what it wrote."""
    if "bytes_per_cell_in" in facts:
        return facts["bytes_per_cell_in"], facts.get("bytes_per_cell")
    return facts.get("bytes_per_cell"), facts.get("bytes_per_cell_out")


def _drawn(
    name: str, alt: str, size: tuple[float, float], paint: Callable[[Figure], Any], title: str, caption: str
) -> Drawn:
    return Drawn(Markup(draw(name, alt, size, paint)), title, caption)  # noqa: S704


def _speed(group: Group) -> Drawn:
    size = (4.9, 0.5 + 0.52 * len(group.peers))
    paint = partial(figures.speed, group=group)
    caption = f"{group.suite}, {group.name}: {words.setting([group.headline])}. Logarithmic axis, medians."
    return _drawn("speed", speed_alt(group), size, paint, "How many times as fast lexicell is", caption)


def speed_alt(group: Group) -> str:
    """The figure of ratios in words."""
    said = [
        f"{row['label']}: "
        + ("no number" if row["ratio"] is None else f"lexicell is {words.verdict(row['ratio'])}")
        for row in group.peers
    ]
    return f"Bars of how many times as fast lexicell is as its peers. {'; '.join(said)}."


def _whole(number: int, whole: Whole) -> Drawn:
    row, spent = whole.run, sum(whole.stages.values())
    said = ", ".join(f"{stage} {words.percent(seconds / spent)}" for stage, seconds in whole.stages.items())
    alt = f"Shares of the workers' time: {said}. The whole run makes {words.rate(row['rate'], row['unit'])}"
    caption = words.setting([row], brief=True)
    if whole.limit is not None and whole.share is not None:
        limit = words.rate(whole.limit, row["unit"])
        caption += f"; {whole.share:.0%} of what reading and then computing would allow, {limit}"
    paint = partial(figures.bottleneck, whole=whole)
    title = f"{row['scenario']['group']}: {row['label']}"
    return _drawn(f"whole{number}", f"{alt}; {caption}.", (4.6, 3.0), paint, title, f"{caption}.")


def _curve(number: int, curve: Curve) -> Drawn:
    along = curve.axis
    title = f"{curve.suite}: {'rate by' if along == 'threads' else 'cost by'} {along}"
    (first, *_) = curve.lines.values()
    shared = words.setting([point.record for point in first])
    caption = f"{shared}. {_flat(curve)}" if along == "cells" else f"{shared}."
    if along == "threads":
        caption += " Dashed: as many times the rate of the first as there are threads."
    paint = partial(figures.scaling, curve=curve)
    return _drawn(f"curve{number}", curve_alt(curve), (4.6, 2.5), paint, title, caption)


def _flat(curve: Curve) -> str:
    """How far the cost of a unit is from being the same everywhere."""
    said = []
    for name, points in curve.lines.items():
        values = [point.value for point in points]
        label = f"{name}: dearest" if len(curve.lines) > 1 else "Dearest"
        said.append(f"{label} / cheapest = {max(values) / min(values):.2f}")
    return "; ".join(said) + "."


def curve_alt(curve: Curve) -> str:
    """A curve in words."""
    what = f"{curve.unit} a second" if curve.axis == "threads" else f"microseconds for one of {curve.unit}"
    said = "; ".join(
        f"{name}: " + ", ".join(f"{words.round_to(p.value)} at {_at(p.at)}" for p in points)
        for name, points in curve.lines.items()
    )
    return f"Curve of {what} along {curve.axis}. {said}."


def _at(place: float) -> str:
    return f"{place:,.0f}" if place < float("inf") else "all"


def _trend(number: int, trend: Trend) -> Drawn:
    label, scenario = trend.record["label"], trend.record["scenario"]
    values = [words.round_to(point.value) for point in trend.points]
    low, high = (words.round_to(end([point.value for point in trend.points])) for end in (min, max))
    since = f"{len(values)} runs since {words.day(trend.points[0].record['time'])}"
    caption = f"{scenario['suite']}: {scenario['group']}; {low} to {high} in {since}"
    alt = f"Ratio of {label} from run to run: {', '.join(values)}."
    paint = partial(figures.trend, shown=trend)
    return _drawn(f"trend{number}", alt, (3.0, 0.95), paint, label, caption)
