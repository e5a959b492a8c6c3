"""The tables of ``docs/quality.md`` that `lexicell evaluate` makes, and the picture of where texts help.

``python -m studies.evaluations [SECTION...] [--into FOLDER] [--reuse]`` evaluates the real data sets of
``$LEXICELL_DATA`` (an hour or two on two cores), keeps what `evaluate` writes in a folder for each, and
puts tables and pictures into the page, between comments that name the section; the rest of the page is prose.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from bench.real_data import data_folder

from lexicell.evaluation import evaluate
from lexicell.evaluation.cells.intervals import mean_interval
from lexicell.pl.canvas import panels, side_legend
from lexicell.pl.style import CONTROLS, MUTED, OURS, PALETTE
from studies.markdown import table, with_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PAGE", "SECTIONS", "gains", "main"]

PAGE = Path(__file__).parents[1] / "docs" / "quality.md"
_IMAGES = PAGE.parent / "images"
_DATA = {
    "PBMC3k": "pbmc3k_raw_labelled.h5ad",
    "Baron": "baron_h1_pancreas.h5ad",
    "MERFISH": "merfish_mouse_brain_1000x1122.h5ad",
}
_PANELS = ("bridge", "bridge+mixture", "bridge+atlas", "bridge+atlas+mixture")
_EXPRESSION, _BOTH = "common genes+mixture", "common genes x bridge+atlas+mixture"
_CURVES = {
    "": {"color": OURS, "marker": "o", "label": "texts and an atlas"},
    "loadings of other data": {"color": PALETTE[2], "marker": "D", "label": "the atlas without texts"},
    "shuffled": {"color": CONTROLS["shuffled"], "marker": "^", "linestyle": ":", "label": "shuffled texts"},
    "random": {"color": CONTROLS["random"], "marker": "s", "linestyle": "--", "label": "random texts"},
}


_PICTURES = {
    "few-shot": "quality-few-shot.png",
    "disjoint": "quality-disjoint.png",
    "partial": "quality-overlap.png",
}
_MIXED, _ATLAS = "bridge+mixture", "bridge+atlas+mixture"
#: Rows of the picture of disjoint panels: label, method, control, colour.
_ROWS = (
    ("texts and an atlas", _ATLAS, "", OURS),
    ("the same, and 10 cells that saw both panels", "bridge+atlas+10 cells+mixture", "", OURS),
    ("texts", _MIXED, "", PALETTE[2]),
    ("words of the texts (LSA)", _MIXED, "LSA of texts", PALETTE[2]),
    ("the atlas without texts", _MIXED, "loadings of other data", MUTED),
    ("10 cells that saw both panels, no text", _MIXED, "co-expression in 10 cells", MUTED),
    ("50 cells that saw both panels, no text", _MIXED, "co-expression in 50 cells", MUTED),
    ("the atlas and shuffled texts", _ATLAS, "shuffled", CONTROLS["shuffled"]),
    ("the atlas and random texts", _ATLAS, "random", CONTROLS["random"]),
    ("shuffled texts", _MIXED, "shuffled", CONTROLS["shuffled"]),
    ("random texts", _MIXED, "random", CONTROLS["random"]),
)


@dataclass(frozen=True)
class Section:
    """What one section of the page is made of.

    Attributes
    ----------
    data
        Names of data sets.
    scenario
        Of `evaluate`.
    methods
        What is compared.
    n
        Labelled cells of each class.
    draws, panels
        Draws for each n, and of panels.
    """

    data: tuple[str, ...]
    scenario: str
    methods: tuple[str, ...]
    n: tuple[int, ...] | None = None
    draws: int = 10
    panels: int = 5


SECTIONS = {
    "few-shot": Section(
        ("PBMC3k", "Baron", "MERFISH"),
        "few-shot",
        (
            "lexicell", "loadings", "loadings+labels", "loadings+mixture", "paper", "whitened", "pca50-all",
            "pca50-hvg", "pca50-hvg+mixture", "pca50-hvg-labelled",
        ),
        (3, 5, 10),
    ),
    "paper": Section(
        ("PBMC3k", "Baron"),
        "few-shot",
        ("paper", "paper+supcon", "pca50-all", "pca50-hvg"),
        (3, 5, 10, 20, 50),
        3,
    ),
    "disjoint": Section(
        ("PBMC3k", "Baron", "MERFISH"),
        "disjoint",
        (*_PANELS, *(f"bridge+atlas+{n} cells+mixture" for n in (10, 50, 200)), "paper", "whitened"),
    ),
    "partial": Section(
        ("PBMC3k", "Baron", "MERFISH"),
        "partial",
        ("common genes", _EXPRESSION, "common genes x bridge+atlas", _BOTH),
        panels=4,
    ),
}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Evaluate, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m studies.evaluations", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--into", type=Path, default=Path("evaluations"), help="folder of what is evaluated")
    parser.add_argument("--reuse", action="store_true", help="take what lies there already")
    asked = parser.parse_args(argv)
    for name in asked.sections or SECTIONS:
        folder = asked.into / name
        if not (asked.reuse and (folder / "scores.csv").exists()):
            _run(SECTIONS[name], folder)
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), name, _tables(name, folder)), "utf-8")
        _pictures(name, folder)
    return 0


def gains(scores: pd.DataFrame, method: str, control: str = "") -> pd.DataFrame:
    """Macro-F1 of a method over expression with a mixture, on the same draws of partial panels.

    Parameters
    ----------
    scores
        Rows of ``scores.csv`` by one classifier.
    method, control
        What is compared.

    Returns
    -------
    pandas.DataFrame
        ``data``, ``kind`` ("300 variable"), ``share`` (per cent in common), and the paired ``gain`` with its
        95 % interval ``low``, ``high``, beside both means.
    """
    rows = scores
    keys = ["data", "setting", "draw"]
    plain = rows[(rows["method"] == _EXPRESSION) & (rows["control"] == "")].set_index(keys)["macro_f1"]
    ours = rows[(rows["method"] == method) & (rows["control"] == control)].set_index(keys)["macro_f1"]
    found: list[dict[str, Any]] = []
    groups: Any = (ours - plain).dropna().groupby(level=[0, 1], sort=False)
    for (data, setting), paired in groups:
        share, _, kind = str(setting).partition("% of ")
        gain = mean_interval(paired.to_numpy())
        here = paired.index
        means = {"expression": plain[here].mean(), "both": ours[here].mean()}
        place = {"data": data, "kind": kind, "share": int(share)}
        found.append({**place, **means, "gain": gain.mean, "low": gain.low, "high": gain.high})
    return pd.DataFrame(found)


def _run(section: Section, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    evaluate(
        {name: data_folder() / "expr" / _DATA[name] for name in section.data},
        label="cell_type",
        methods=section.methods,
        scenarios=[section.scenario],  # type: ignore[list-item]
        n=section.n,
        draws=section.draws,
        panels=section.panels,
        min_coverage=0,  # the mouse's genes are found through their orthologues
        output=folder,
    )


def _tables(name: str, folder: Path) -> str:
    if name != "partial":
        return (folder / "tables.md").read_text(encoding="utf-8").strip()
    scores = pd.read_csv(folder / "scores.csv").fillna({"control": ""})
    scores = scores[scores["classifier"] == "logistic"]
    ours, shuffled = gains(scores, _BOTH), gains(scores, _BOTH, "shuffled")
    parts = []
    for data in ours["data"].unique():
        rows = [
            (
                f"{row.share} % of {row.kind}",
                f"{row.expression:.2f}",
                f"{row.both:.2f}",
                f"{row.gain:+.2f} [{row.low:+.2f}, {row.high:+.2f}]",
                f"{other.gain:+.2f}",
            )
            for row, other in zip(ours.itertuples(), shuffled.itertuples(), strict=True)
            if row.data == data
        ]
        heads = ("common genes", "expression", "x texts and atlas", "gain", "shuffled texts")
        parts.append(f"### {data}, partial panels\n\n{table(heads, rows)}")
    return "\n\n".join(parts)


def _pictures(name: str, folder: Path) -> None:
    if name in ("disjoint", "partial"):
        scores = pd.read_csv(folder / "scores.csv").fillna({"control": ""})
        draw = _draw if name == "partial" else _draw_disjoint
        draw(scores[scores["classifier"] == "logistic"], _IMAGES / _PICTURES[name])
    elif name == "few-shot":
        shutil.copyfile(folder / "few-shot.png", _IMAGES / _PICTURES[name])


def _draw_disjoint(scores: pd.DataFrame, path: Path) -> None:
    """Draw means and intervals of a few rows, a panel for each data set; controls in grey."""
    names = list(scores["data"].unique())
    with panels(
        None, len(names), (3.4 * len(names) + 2.4, 4.2), columns=len(names), show=False, save=path
    ) as axes:
        for axis, name in zip(axes, names, strict=True):
            of_data = scores[scores["data"] == name]
            for place, (_, method, control, colour) in enumerate(_ROWS):
                chosen = (of_data["method"] == method) & (of_data["control"] == control)
                found = mean_interval(of_data.loc[chosen, "macro_f1"].to_numpy())
                axis.plot([found.low, found.high], [place, place], color=colour, linewidth=1.6)
                axis.plot(found.mean, place, marker="o", color=colour)
            axis.set_yticks(
                range(len(_ROWS)), [row[0] for row in _ROWS] if axis is axes[0] else [""] * len(_ROWS)
            )
            axis.set_ylim(len(_ROWS) - 0.5, -0.5)
            axis.set_xlim(0, 1)
            axis.set_title(name)
            axis.set_xlabel("macro-F1")


def _draw(scores: pd.DataFrame, path: Path) -> None:
    """Draw gain over expression against overlap, a panel for each data set; controls in grey."""
    of = {control: gains(scores, _BOTH, control) for control in _CURVES}
    names = list(of[""]["data"].unique())
    with panels(
        None, len(names), (4.6 * len(names) + 2.2, 3.8), columns=len(names), show=False, save=path
    ) as axes:
        for axis, name in zip(axes, names, strict=True):
            for control, style in _CURVES.items():
                _curve(axis, of[control].query("data == @name and kind == '300 variable'"), style)
            axis.axhline(0, color=MUTED, linewidth=1)
            axis.set_title(name)
            axis.set_xlabel("genes of a panel of 300 that the other has too, %")
        axes[0].set_ylabel("macro-F1 over expression of the common genes")
        side_legend(axes[-1])


def _curve(axes: Axes, rows: pd.DataFrame, style: dict[str, Any]) -> None:
    axes.plot(np.arange(len(rows)), rows["gain"], markersize=4, **style)
    axes.fill_between(np.arange(len(rows)), rows["low"], rows["high"], color=style["color"], alpha=0.1)
    axes.set_xticks(np.arange(len(rows)), [str(share) for share in rows["share"]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
