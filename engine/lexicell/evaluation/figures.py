"""Pictures of an evaluation: curves over labelled cells, and bars where there is no such number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lexicell._files import check_new_file, staged_path
from lexicell.errors import needing
from lexicell.evaluation.cell_report import Evaluation, Line

__all__ = ["plot_evaluation"]

#: Methods that use text.
_COLOURS = ("#1f6f8b", "#d08c2f", "#7a4b94", "#4c9a5b", "#b8473d", "#8c6d46")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")
#: Vectors without meaning.
_CONTROLS = {"shuffled": {"color": "0.75", "linestyle": "--"}, "random": {"color": "0.6", "linestyle": ":"}}


def plot_evaluation(evaluation: Evaluation, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Draw a PNG for each scenario: macro-F1 with 95 % intervals, a panel for each data set and classifier.

    Parameters
    ----------
    evaluation
        What to draw.
    folder
        Where; made if need be. Files are called after the scenarios.
    overwrite
        Whether files of these names are replaced.

    Returns
    -------
    list
        Paths of the pictures.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    OutputExistsError
        A picture exists and is not to be replaced.
    WriteError
        The disk is full, or the folder may not be written to.
    """
    with needing("evaluate", "The picture"):
        from matplotlib.figure import Figure
    lines = evaluation.lines()
    drawn = []
    for scenario in dict.fromkeys(line.scenario for line in lines):
        path = Path(folder) / f"{scenario}.png"
        check_new_file(path, overwrite=overwrite)
        drawable = [line for line in lines if line.scenario == scenario]
        if scenario == "few-shot":
            drawable = _few(drawable)
        panels = list(dict.fromkeys((line.data, line.classifier) for line in drawable))
        columns = min(2, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(6.4 * columns + 2.4, 4.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        styles = _styles(drawable)
        for axis, (data, classifier) in zip(axes, panels, strict=False):
            shown = [line for line in drawable if (line.data, line.classifier) == (data, classifier)]
            if scenario == "few-shot":
                _draw_curves(axis, shown, styles)
            else:
                _draw_bars(axis, shown, styles)
            axis.set_title(f"{data}, {classifier}".removesuffix(", "), loc="left", fontsize=11)
            axis.spines[["top", "right"]].set_visible(False)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        if scenario == "few-shot":
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)
        draws = max(len({r.draw for r in evaluation.records if r.scenario == scenario}), 1)
        figure.suptitle(
            f"{scenario}: macro-F1, mean and 95 % interval over {draws} draws; controls in grey",
            x=0.01, ha="left", fontsize=12,
        )  # fmt: skip
        with staged_path(path, replace=overwrite) as staging:
            figure.savefig(staging, format="png", dpi=130)
        drawn.append(path)
    return drawn


def _styles(lines: Sequence[Line]) -> dict[str, dict[str, Any]]:
    """Colours for text, black dashes for expression alone, greys for vectors without meaning."""
    styles: dict[str, dict[str, Any]] = {}
    text = list(dict.fromkeys(line.label for line in lines if not line.is_control))
    for i, name in enumerate(text):
        dashes = _DASHES[i // len(_COLOURS) % len(_DASHES)]
        styles[name] = {"color": _COLOURS[i % len(_COLOURS)], "linestyle": dashes, "linewidth": 2.2}
    plain = list(dict.fromkeys(line.label for line in lines if line.is_control and not line.control))
    for i, name in enumerate(plain):
        styles[name] = {"color": "0.25", "linestyle": _DASHES[i % len(_DASHES)], "linewidth": 1.2}
    for line in lines:
        if line.control:
            styles[line.label] = {**_CONTROLS[line.control], "linewidth": 1.8}
    return styles


def _few(lines: Sequence[Line]) -> list[Line]:
    """Lines that fit into a figure of curves: the best methods, and the controls of the best one.

    `paper`, where every comparison starts, and what reads no text are always there.
    """
    means: dict[str, list[float]] = {}
    for line in lines:
        if not line.is_control:
            means.setdefault(line.method, []).append(line.scores["macro_f1"].mean)
    ranked = sorted(means, key=lambda name: -sum(means[name]) / len(means[name]))
    best = ranked[0] if ranked else ""
    shown = {*ranked[: len(_COLOURS)], "paper"}
    return [
        line
        for line in lines
        if (line.method == best if line.control else line.is_control or line.method in shown)
    ]


def _draw_curves(axes: Any, lines: Sequence[Line], styles: dict[str, dict[str, Any]]) -> None:
    for name in sorted(dict.fromkeys(line.label for line in lines), key=list(styles).index):
        mine = [line for line in lines if line.label == name]
        n = [int(line.setting.partition("=")[2]) for line in mine]
        scores = [line.scores["macro_f1"] for line in mine]
        axes.plot(n, [s.mean for s in scores], marker="o", markersize=3, label=name, **styles[name])
        axes.fill_between(
            n, [s.low for s in scores], [s.high for s in scores],
            color=styles[name]["color"], alpha=0.15, linewidth=0,
        )  # fmt: skip
    ticks = sorted({int(line.setting.partition("=")[2]) for line in lines})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("labelled cells of each class")
    axes.set_ylabel("macro-F1")


def _draw_bars(axes: Any, lines: Sequence[Line], styles: dict[str, dict[str, Any]]) -> None:
    several = len({line.setting for line in lines}) > 1
    names = [f"{line.label} ({line.setting})" if several else line.label for line in lines]
    for place, line in enumerate(reversed(lines)):
        score = line.scores["macro_f1"]
        axes.barh(place, score.mean, color=styles[line.label]["color"], height=0.7)
        if score.low == score.low:
            axes.plot([score.low, score.high], [place, place], color="black", linewidth=1.2)
        axes.text(max(score.mean, score.high if score.high == score.high else 0) + 0.01, place,
                  f"{score.mean:.3f}", va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(lines)), names[::-1], fontsize=9)
    axes.set_xlim(0, 1)
    axes.set_xlabel("macro-F1")
