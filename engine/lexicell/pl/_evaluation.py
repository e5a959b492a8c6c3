"""Scores of an evaluation: curves over labelled cells, and bars where there is no such number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lexicell._say import listed
from lexicell.errors import InputError
from lexicell.pl.canvas import figure_of, panels, side_legend
from lexicell.pl.style import CONTROLS, DASHES, INK, MUTED, PALETTE, PEER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Evaluated", "ScoreLine", "evaluation"]

#: Methods that use text, in the order in which they can be told apart as lines.
_COLOURS = tuple(PALETTE[i] for i in (4, 0, 2, 6, 5, 9))
_FEW = "few-shot"


class Mean(Protocol):
    """A mean and where it could be; the ends are NaN where there was one draw."""

    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class ScoreLine(Protocol):
    """A method in one setting; see `lexicell.evaluation.cells.report.Line`."""

    @property
    def data(self) -> str: ...
    @property
    def scenario(self) -> str: ...
    @property
    def setting(self) -> str: ...
    @property
    def classifier(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def control(self) -> str: ...
    @property
    def is_control(self) -> bool: ...
    @property
    def label(self) -> str: ...
    @property
    def scores(self) -> Mapping[str, Mean]: ...


class Drawn(Protocol):
    """One of the draws that scores are means of."""

    @property
    def scenario(self) -> str: ...
    @property
    def draw(self) -> int: ...


class Evaluated(Protocol):
    """What has scores: a `lexicell.evaluation.Evaluation`."""

    @property
    def records(self) -> Sequence[Drawn]:
        """One for each draw and method."""

    def lines(self) -> Sequence[ScoreLine]:
        """All methods in all settings."""


def evaluation(
    found: Evaluated,
    *,
    scenario: str | None = None,
    score: str = "macro_f1",
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> list[Axes]:
    """Draw the scores of one scenario with their 95 % intervals, a panel for each data set and classifier.

    "few-shot" is drawn as curves over the number of labelled cells, of the best methods, "paper", what reads
    no text, and the controls of the best; other scenarios as bars. Controls are grey.

    Parameters
    ----------
    found
        A `lexicell.evaluation.Evaluation`.
    scenario
        Which of its scenarios; by default the first.
    score
        "macro_f1", "accuracy", "rare_f1" or another that its lines have.
    ax
        As many axes as panels; by default a figure of its own.
    show, save
        See `lexicell.pl.embedding`.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each panel.

    Raises
    ------
    InputError
        There is no such scenario or score; the message lists those that are.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The file cannot be written.
    """
    every = found.lines()
    there = list(dict.fromkeys(line.scenario for line in every))
    if not there or (scenario is not None and scenario not in there):
        msg = f"there are no scores of the scenario {scenario!r} (there: {listed(there) or 'nothing'})"
        raise InputError(msg)
    scenario = scenario or there[0]
    lines = [line for line in every if line.scenario == scenario]
    unknown = next((line for line in lines if score not in line.scores), None)
    if unknown is not None:
        msg = f"{unknown.label} has no score {score!r} (there: {listed(unknown.scores)})"
        raise InputError(msg)
    few = scenario == _FEW
    lines = _few(lines, score) if few else lines
    shown = list(dict.fromkeys((line.data, line.classifier) for line in lines))
    styles = _styles(lines)
    columns = min(2, len(shown))
    longest = max(len([line for line in lines if (line.data, line.classifier) == panel]) for panel in shown)
    height = 3.6 if few else max(0.25 * longest + 1.2, 2.4)
    size = ((5.2 if few else 6.4) * columns + 2.4 * few, height * -(-len(shown) // columns) + 0.4)
    name = score.replace("macro_f1", "macro-F1").replace("_f1", " F1")
    with panels(ax, len(shown), size, columns=columns, show=show, save=save) as axes:
        for axis, panel in zip(axes, shown, strict=True):
            mine = [line for line in lines if (line.data, line.classifier) == panel]
            (_draw_curves if few else _draw_bars)(axis, mine, styles, score)
            axis.set_title(", ".join(filter(None, panel)))
            (axis.set_ylabel if few else axis.set_xlabel)(name)
        if few:
            side_legend(axes[columns - 1])
        if ax is None:
            draws = max(len({one.draw for one in found.records if one.scenario == scenario}), 1)
            title = f"{scenario}: {name}, mean and 95 % interval over {draws} draws; controls in grey"
            figure_of(axes[0]).suptitle(title, x=0.01, ha="left")
    return axes


def _styles(lines: Sequence[ScoreLine]) -> dict[str, dict[str, Any]]:
    """Colours for text, dark dashes for expression alone, greys for vectors without meaning."""
    styles: dict[str, dict[str, Any]] = {}
    text = list(dict.fromkeys(line.label for line in lines if not line.is_control))
    for i, name in enumerate(text):
        dashes = DASHES[i // len(_COLOURS) % len(DASHES)]
        styles[name] = {"color": _COLOURS[i % len(_COLOURS)], "linestyle": dashes, "linewidth": 2.0}
    plain = list(dict.fromkeys(line.label for line in lines if line.is_control and not line.control))
    for i, name in enumerate(plain):
        styles[name] = {"color": MUTED, "linestyle": DASHES[i % len(DASHES)], "linewidth": 1.3}
    for line in lines:
        if line.control:
            dashes = "--" if line.control == "shuffled" else ":"
            colour = CONTROLS.get(line.control, PEER)
            styles[line.label] = {"color": colour, "linestyle": dashes, "linewidth": 1.8}
    return styles


def _few(lines: Sequence[ScoreLine], score: str) -> list[ScoreLine]:
    """Lines that fit into a figure of curves: the best methods, and the controls of the best one.

    `paper`, where every comparison starts, and what reads no text are always there.
    """
    means: dict[str, list[float]] = {}
    for line in lines:
        if not line.is_control:
            means.setdefault(line.method, []).append(line.scores[score].mean)
    ranked = sorted(means, key=lambda name: -sum(means[name]) / len(means[name]))
    best = ranked[0] if ranked else ""
    shown = {*ranked[: len(_COLOURS)], "paper"}
    return [
        line
        for line in lines
        if (line.method == best if line.control else line.is_control or line.method in shown)
    ]


def _draw_curves(
    axes: Axes, lines: Sequence[ScoreLine], styles: Mapping[str, Mapping[str, Any]], score: str
) -> None:
    for name in sorted(dict.fromkeys(line.label for line in lines), key=list(styles).index):
        mine = [line for line in lines if line.label == name]
        n = [_n(line) for line in mine]
        scores = [line.scores[score] for line in mine]
        axes.plot(n, [of.mean for of in scores], marker="o", markersize=3, label=name, **styles[name])
        axes.fill_between(
            n, [of.low for of in scores], [of.high for of in scores],
            color=styles[name]["color"], alpha=0.12, linewidth=0,
        )  # fmt: skip
    ticks = sorted({_n(line) for line in lines})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("labelled cells of each class")


def _n(line: ScoreLine) -> int:
    return int(line.setting.partition("=")[2])


def _draw_bars(
    axes: Axes, lines: Sequence[ScoreLine], styles: Mapping[str, Mapping[str, Any]], score: str
) -> None:
    several = len({line.setting for line in lines}) > 1
    names = [f"{line.label} ({line.setting})" if several else line.label for line in lines]
    for place, line in enumerate(lines):
        of = line.scores[score]
        axes.barh(place, of.mean, color=styles[line.label]["color"], height=0.7)
        known = of.low == of.low
        if known:
            axes.plot([of.low, of.high], [place, place], color=INK, linewidth=1.2)
        end = max(of.mean, of.high) if known else of.mean
        axes.text(min(max(end, 0), 1) + 0.01, place, f"{of.mean:.3f}", va="center", fontsize=8)
    axes.set_yticks(range(len(lines)), names)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(min([0.0, *(line.scores[score].mean for line in lines)]), 1)
