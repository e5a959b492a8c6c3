"""A lexicon's vectors at a glance: AUROCs, spectrum, cosines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexicell.pl.canvas import figure_of, write_note
from lexicell.pl.canvas import panels as axes_for
from lexicell.pl.style import ACCENT, CONTROLS, INK, LINE, OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["AurocPanel", "gene_table"]

#: Ours, then controls in greys.
_COLOURS = {"lexicon": OURS, "name in text": ACCENT, **CONTROLS}


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


def gene_table(
    *,
    title: str,
    panels: Sequence[AurocPanel],
    variance: Mapping[str, NDArray[np.float64]],
    cosines: Mapping[str, NDArray[np.float32]],
    note: str = "",
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> list[Axes]:
    """Draw how good the vectors of genes are: AUROCs per term, cumulative variance and cosines of pairs.

    Parameters
    ----------
    title, note
        Above and below.
    panels
        One for each file of gene sets.
    variance
        Table -> ``[d]`` shares of variance of its principal components, largest first.
    cosines
        Table -> cosines of pairs of genes.
    ax
        As many axes as panels, and two; by default a figure of its own.
    show, save
        See `lexicell.pl.embedding`.

    Returns
    -------
    list of matplotlib.axes.Axes
        Those of `panels`, of the variance and of the cosines.

    Raises
    ------
    InputError
        There are not as many axes as needed, or the file's name is not that of a picture.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The disk is full, or the folder may not be written to.
    """
    n = len(panels) + 2
    with axes_for(ax, n, (3.5 * n, 3.9), show=show, save=save) as axes:
        for axis, panel in zip(axes, panels, strict=False):
            _draw_auroc(axis, panel)
        _draw_variance(axes[-2], variance)
        _draw_cosines(axes[-1], cosines)
        figure = figure_of(axes[0])
        if ax is None:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13)
        write_note(axes[0], note, below=46)
    return axes


def _draw_auroc(axes: Axes, panel: AurocPanel) -> None:
    axes.axhline(0.5, color=LINE, linewidth=1, zorder=0)
    for place, (table, auroc) in enumerate(panel.auroc.items()):
        # Side by side in the order of their values: nothing overlaps, and nothing is random.
        spread = 0.32 * ((np.arange(len(auroc)) * 0.618034) % 1 - 0.5) * 2
        colour = _COLOURS.get(table, INK)
        axes.scatter(place + spread, np.sort(auroc), s=14, linewidths=0, alpha=0.75, color=colour)
        mean = float(auroc.mean())
        axes.hlines(mean, place - 0.4, place + 0.4, color=INK, linewidth=1.6)
        axes.annotate(
            f"{mean:.3f}", (place, 1.0), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9
        )
    lowest = min(float(auroc.min()) for auroc in panel.auroc.values())
    axes.set_ylim(min(0.3, lowest - 0.02), 1.08)
    axes.set_xlim(-0.5, len(panel.auroc) - 0.4)
    axes.set_xticks(range(len(panel.auroc)), [name.replace(" in ", "\nin ") for name in panel.auroc])
    axes.set_ylabel("AUROC of held-out genes, one dot a term")
    axes.set_title(panel.title)


def _draw_variance(axes: Axes, variance: Mapping[str, NDArray[np.float64]]) -> None:
    for table, shares in variance.items():
        axes.plot(
            np.arange(1, len(shares) + 1),
            np.cumsum(shares),
            color=_COLOURS.get(table, INK),
            label=table,
            linewidth=2,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("principal components")
    axes.set_ylabel("share of variance")
    axes.set_title("Spectrum")
    axes.legend(loc="upper left")


def _draw_cosines(axes: Axes, cosines: Mapping[str, NDArray[np.float32]]) -> None:
    drawn = {table: values for table, values in cosines.items() if len(values)}
    low = min((float(values.min()) for values in drawn.values()), default=0.0)
    high = max((float(values.max()) for values in drawn.values()), default=1.0)
    bins = np.linspace(min(low, 0.0), max(high, low + 1e-3, 1e-3), 81).tolist()
    for table, values in drawn.items():
        axes.hist(values, bins, density=True, color=_COLOURS.get(table, INK), alpha=0.7, label=table)
    axes.set_yticks([])
    axes.set_xlabel("cosine of two genes")
    axes.set_ylabel("pairs")
    axes.set_title("Directions")
    if drawn:
        axes.legend()
