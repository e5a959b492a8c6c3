"""The figures: how much faster, where the time goes, what scales, and what changed from run to run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench.record import same_machine
from bench.report.select import STAGES, Curve, Group, Point, Trend, Whole
from bench.report.style import ACCENT, INK, LINE, MUTED, OURS, PAPER, PEER, STAGE_COLOURS
from bench.report.words import code, factor, percent, round_to, verdict

__all__ = ["bottleneck", "scaling", "speed", "trend"]

_OTHERS = STAGE_COLOURS[2:6]
_AXIS_WORDS = {"cells": "cells", "threads": "threads", "k": "genes of a cell (k)", "p": "dimensions (p)"}


def speed(figure: Figure, group: Group, title: str = "") -> None:
    """One bar for each peer: how many times lexicell's time it takes, on a logarithmic axis."""
    axes = figure.subplots()
    if title:
        figure.suptitle(title, x=0.0055, ha="left", fontsize=11)
    peers = sorted(group.peers, key=lambda row: row["ratio"] or 0, reverse=True)
    ratios = [row["ratio"] for row in peers if row["ratio"] is not None]
    for place, row in enumerate(peers):
        axes.annotate(
            row["label"], (1, place - 0.24), xytext=(2, 0), textcoords="offset points", va="bottom", color=INK
        )
        ratio = row["ratio"]
        if ratio is None:
            axes.text(1.02, place + 0.06, "no number", va="center", color=MUTED)
            continue
        colour = OURS if ratio >= 1 else ACCENT
        axes.barh(place + 0.06, ratio - 1, left=1, height=0.42, color=colour)
        axes.text(
            max(ratio, 1) * 1.06, place + 0.06, verdict(ratio), va="center", color=INK, fontweight="bold"
        )
    if min(ratios, default=1) < 1:
        axes.axvline(1, color=MUTED, linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(min([1, *ratios]), max([2, *ratios]))
    axes.set_ylim(len(peers) - 0.55, -0.75)
    tens = [10**power for power in range(5) if 10**power <= max([2, *ratios])]
    axes.set_xticks(tens, ["equal", *(f"{ten:,}x" for ten in tens[1:])])
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def bottleneck(figure: Figure, whole: Whole) -> None:
    """Where the seconds of all workers went, above the rates of the parts and of the whole."""
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.35))[:, 0]
    top, bottom = (part.subplots() for part in parts)
    spent = sum(whole.stages.values())
    colours = dict(zip(STAGES, STAGE_COLOURS, strict=True))
    left = 0.0
    for stage, seconds in whole.stages.items():
        share, colour = seconds / spent, colours.get(stage, LINE)
        label = f"{stage} {percent(share)}"
        top.barh(0, share, left=left, color=colour, edgecolor=PAPER, label=label)
        left += share
    top.set_xlim(0, 1)
    top.set_axis_off()
    top.set_title("seconds of all workers", color=MUTED, fontsize=9)
    top.legend(
        loc="upper left", bbox_to_anchor=(0, 0), ncols=4, handlelength=0.8, handleheight=0.8,
        columnspacing=1.2, handletextpad=0.5, borderaxespad=0.3, borderpad=0,
    )  # fmt: skip

    unit = whole.run["unit"]
    bars = [
        ("reading alone", whole.read["rate"] if whole.read else None, PEER),
        ("computing alone", whole.compute["rate"] if whole.compute else None, PEER),
        ("one after the other", whole.limit, PEER),
        ("whole run", whole.run["rate"], OURS),
    ]
    shown = [(name, value, colour) for name, value, colour in bars if value is not None]
    for place, (_, value, colour) in enumerate(shown):
        bottom.barh(place, value, height=0.62, color=colour)
        said = round_to(value) + (f", {whole.share:.0%} of that" if colour == OURS and whole.share else "")
        bottom.annotate(
            said, (value, place), xytext=(4, 0), textcoords="offset points", va="center",
            color=INK, fontweight="bold" if colour == OURS else "normal", annotation_clip=False,
        )  # fmt: skip
    bottom.set_yticks(range(len(shown)), [name for name, *_ in shown], color=INK)
    bottom.set_ylim(len(shown) - 0.5, -0.6)
    bottom.set_xlim(0, max(value for _, value, _ in shown) * 1.3)
    bottom.set_xticks([])
    bottom.tick_params(axis="y", length=0)
    bottom.spines["bottom"].set_visible(False)
    bottom.set_title(f"{unit}/s", color=MUTED, fontsize=9)


def scaling(figure: Figure, curve: Curve, title: str = "") -> None:
    """A rate along threads, or else microseconds of a unit; medians, quartiles as bars, from zero."""
    axes = figure.subplots()
    if title:
        figure.suptitle(title, x=0.0055, ha="left", fontsize=11)
    axes.set_xscale("log")
    ticks: dict[float, str] = {}
    highest = 0.0
    for (name, points), colour in zip(curve.lines.items(), (OURS, *_OTHERS * len(curve.lines)), strict=False):
        at = _places(points)
        ticks |= {
            x: "all" if math.isinf(point.at) else f"{x:,.0f}" for x, point in zip(at, points, strict=True)
        }
        values = [point.value for point in points]
        off = [
            [point.value - point.low for point in points],
            [point.high - point.value for point in points],
        ]
        axes.errorbar(at, values, yerr=off, color=colour, marker="o", markersize=5, elinewidth=1.2, capsize=3)
        if len(curve.lines) > 1:
            axes.annotate(
                name,
                (at[-1], values[-1]),
                xytext=(0, 8),
                textcoords="offset points",
                ha="right",
                color=colour,
            )
        if curve.axis == "threads":
            axes.plot(
                at, [values[0] * x / at[0] for x in at], color=LINE, linewidth=1, linestyle="--", zorder=0
            )
            highest = max(highest, values[0] * at[-1] / at[0])
        highest = max(highest, *(point.high for point in points))
    axes.set_ylim(0, highest * 1.22)
    axes.set_xticks(sorted(ticks), [ticks[x] for x in sorted(ticks)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(_AXIS_WORDS[curve.axis])
    single = curve.unit.removesuffix("s")
    axes.set_title(
        f"{curve.unit}/s" if curve.axis == "threads" else f"µs for a {single}", color=MUTED, fontsize=9
    )


def _places(points: Sequence[Point]) -> list[float]:
    """Places on the axis; ``all`` is as far right of the last number as that is from the one before."""
    numbers = [point.at for point in points if math.isfinite(point.at)]
    step = numbers[-1] / numbers[-2] if len(numbers) > 1 else 2.0
    return [*numbers, *(numbers[-1] * step if numbers else 1.0 for _ in points[len(numbers) :])]


def trend(figure: Figure, shown: Trend) -> None:
    """Ratios from run to run; a line joins runs of the same machine, other machines are grey."""
    axes = figure.subplots()
    left, colour = shown.points, OURS
    while left:  # the machine of the last point first
        here = left[-1].record
        _trend_line(axes, [point for point in left if same_machine(point.record, here)], colour)
        left, colour = [point for point in left if not same_machine(point.record, here)], PEER
    axes.set_yscale("log")
    values = [value for point in shown.points for value in (point.low, point.high)]
    low, high = min(values), max(values)
    middle = math.sqrt(low * high)
    axes.set_ylim(min(low, middle / 1.25) / 1.05, max(high, middle * 1.25) * 1.05)
    if axes.get_ylim()[0] < 1 < axes.get_ylim()[1]:
        axes.axhline(1, color=ACCENT, linewidth=1, linestyle="--", zorder=0)
    last = shown.points[-1]
    axes.annotate(
        factor(last.value), (last.at, last.value), xytext=(7, 0), textcoords="offset points",
        va="center", fontweight="bold", color=INK, annotation_clip=False,
    )  # fmt: skip
    ends = (shown.points[0], last)
    axes.set_xticks([point.at for point in ends], [code(point.record)[:8] for point in ends])
    axes.set_xlim(ends[0].at - 0.3, last.at + 0.3)
    left_end, right_end = axes.get_xticklabels()
    left_end.set_horizontalalignment("left")
    right_end.set_horizontalalignment("right")
    axes.yaxis.set_major_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.spines["left"].set_visible(False)


def _trend_line(axes: Any, points: Sequence[Point], colour: str) -> None:
    at = [point.at for point in points]
    axes.fill_between(
        at, [point.low for point in points], [point.high for point in points], color=colour, alpha=0.2,
        linewidth=0,
    )  # fmt: skip
    axes.plot(at, [point.value for point in points], color=colour, marker="o", markersize=4)
