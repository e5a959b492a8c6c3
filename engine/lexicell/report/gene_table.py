"""A lexicon's vectors at a glance: AUROCs, spectrum, cosines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell._files import check_new_file, staged_path
from lexicell.errors import InputError, needing

__all__ = ["AurocPanel", "check_figure", "plot_gene_table"]

_FORMATS = ("png", "svg", "pdf")
#: Ours, then controls in greys.
_COLOURS = {"lexicon": "#1f6f8b", "name in text": "#d08c2f", "shuffled": "0.45", "random": "0.65"}


@dataclass(frozen=True)
class AurocPanel:
    """AUROCs of some gene sets.

    Attributes
    ----------
    title
        What was predicted.
    auroc
        Table -> AUROC of each term; ``"lexicon"`` is ours.
    """

    title: str
    auroc: Mapping[str, NDArray[np.float64]]


def check_figure(path: str | Path, *, overwrite: bool = False) -> Path:
    """Raise unless a figure can be made at `path`: before the numbers are, which takes minutes.

    Raises
    ------
    InputError
        The name is not that of a picture.
    OutputExistsError
        It exists and is not to be replaced, or is a folder.
    MissingExtraError
        matplotlib is not installed.
    """
    path = Path(path)
    if path.suffix.lower().removeprefix(".") not in _FORMATS:
        msg = f"{path} is not the name of a picture; end it with {', '.join('.' + f for f in _FORMATS)}"
        raise InputError(msg)
    check_new_file(path, overwrite=overwrite)
    with needing("evaluate", "The picture"):
        import matplotlib  # noqa: F401
    return path


def plot_gene_table(
    path: str | Path,
    *,
    title: str,
    panels: Sequence[AurocPanel],
    variance: Mapping[str, NDArray[np.float64]],
    cosines: Mapping[str, NDArray[np.float32]],
    note: str = "",
    overwrite: bool = False,
) -> None:
    """Draw AUROCs per term, cumulative variance and cosines of pairs, completely or not at all.

    Parameters
    ----------
    path
        ``.png``, ``.svg`` or ``.pdf``.
    title, note
        Above and below.
    panels
        One for each file of gene sets.
    variance
        Table -> ``[d]`` shares of variance of its principal components, largest first.
    cosines
        Table -> cosines of pairs of genes.
    overwrite
        Whether a file of that name is replaced.

    Raises
    ------
    InputError, OutputExistsError, MissingExtraError
        See `check_figure`.
    WriteError
        The disk is full, or the folder may not be written to.
    """
    path = check_figure(path, overwrite=overwrite)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    n = len(panels) + 2
    figure = Figure(figsize=(3.9 * n, 4.2), layout="constrained")
    axes = figure.subplots(1, n, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=False):
        _draw_auroc(axis, panel)
    _draw_variance(axes[-2], variance)
    _draw_cosines(axes[-1], cosines)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    if note:
        figure.supxlabel(note, fontsize=9, color="0.35", x=0.01, ha="left")
    kind = path.suffix.lower().removeprefix(".")
    dateless = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with (
        mpl.rc_context({"svg.hashsalt": "lexicell"}),  # the same figure, the same bytes
        staged_path(path, replace=overwrite) as staging,
    ):
        figure.savefig(staging, format=kind, dpi=150, metadata=dateless)


def _draw_auroc(axes: Any, panel: AurocPanel) -> None:
    axes.axhline(0.5, color="0.8", linewidth=1, zorder=0)
    for place, (table, auroc) in enumerate(panel.auroc.items()):
        # Side by side in the order of their values: nothing overlaps, and nothing is random.
        spread = 0.32 * ((np.arange(len(auroc)) * 0.618034) % 1 - 0.5) * 2
        colour = _COLOURS.get(table, "0.3")
        axes.scatter(place + spread, np.sort(auroc), s=14, linewidths=0, alpha=0.75, color=colour)
        mean = float(auroc.mean())
        axes.hlines(mean, place - 0.4, place + 0.4, color="black", linewidth=1.6)
        axes.annotate(
            f"{mean:.3f}", (place, 1.0), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9
        )
    lowest = min(float(auroc.min()) for auroc in panel.auroc.values())
    axes.set_ylim(min(0.3, lowest - 0.02), 1.08)
    axes.set_xlim(-0.5, len(panel.auroc) - 0.4)
    axes.set_xticks(range(len(panel.auroc)), [name.replace(" in ", "\nin ") for name in panel.auroc])
    axes.set_ylabel("AUROC of held-out genes, one dot a term")
    axes.set_title(panel.title, loc="left", fontsize=11)


def _draw_variance(axes: Any, variance: Mapping[str, NDArray[np.float64]]) -> None:
    for table, shares in variance.items():
        axes.plot(
            np.arange(1, len(shares) + 1),
            np.cumsum(shares),
            color=_COLOURS.get(table),
            label=table,
            linewidth=2,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("principal components")
    axes.set_ylabel("share of variance")
    axes.set_title("Spectrum", loc="left", fontsize=11)
    axes.legend(frameon=False, loc="upper left")


def _draw_cosines(axes: Any, cosines: Mapping[str, NDArray[np.float32]]) -> None:
    drawn = {table: values for table, values in cosines.items() if len(values)}
    low = min((float(values.min()) for values in drawn.values()), default=0.0)
    high = max((float(values.max()) for values in drawn.values()), default=1.0)
    bins = np.linspace(min(low, 0.0), max(high, low + 1e-3, 1e-3), 81)
    for table, values in drawn.items():
        axes.hist(values, bins, density=True, color=_COLOURS.get(table), alpha=0.7, label=table)
    axes.set_yticks([])
    axes.set_xlabel("cosine of two genes")
    axes.set_ylabel("pairs")
    axes.set_title("Directions", loc="left", fontsize=11)
    if drawn:
        axes.legend(frameon=False)
