"""How much of each cell the lexicon describes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError, needing
from lexicell.pl._tables import column_of
from lexicell.pl.canvas import panels
from lexicell.pl.style import ACCENT, INK, MUTED, OURS, amounts

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["coverage"]

_BINS = 40


def coverage(
    adata: AnnData,
    *,
    groupby: str | None = None,
    prefix: str = "lexicell",
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> list[Axes]:
    """Draw what share of each cell's counts lies in described genes, and how many genes were used.

    Histograms, or a box for each group: quartiles, whiskers from the 5th to the 95th percentile. Cells
    without any described gene, whose vectors are zero, are counted in a warning and left out of boxes and
    bars.

    Parameters
    ----------
    adata
        Cells that `lexicell.tl.embed` has embedded.
    groupby
        Column of ``adata.obs`` with the groups.
    prefix
        Of the columns ``{prefix}_coverage`` and ``{prefix}_n_genes``: the ``key_added`` of the embedding.
    ax
        Two axes; by default a figure of its own.
    show, save
        See `lexicell.pl.embedding`.

    Returns
    -------
    list of matplotlib.axes.Axes
        Those of the coverage and of the number of genes.

    Raises
    ------
    InputError
        There is no such column (the message lists those that are), or no cell.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The file cannot be written.
    """
    covered = column_of(adata, f"{prefix}_coverage").to_numpy(np.float64)
    n_genes = column_of(adata, f"{prefix}_n_genes").to_numpy(np.float64)
    if not len(covered):
        msg = "there is no cell to draw"
        raise InputError(msg)
    names: list[str] = []
    codes = np.zeros(len(covered), np.intp)
    if groupby is not None:
        import pandas as pd

        kinds = pd.Categorical(column_of(adata, groupby))
        names, codes = [str(name) for name in kinds.categories], np.asarray(kinds.codes, np.intp)
    full = n_genes > 0
    with needing("plot", "The picture"):
        from matplotlib.ticker import MaxNLocator
    height = 3.2 if groupby is None else max(0.28 * len(names) + 1.3, 2.6)
    with panels(ax, 2, (8.4, height), show=show, save=save) as axes:
        for axis, values in zip(axes, (covered, n_genes), strict=True):
            if groupby is None:
                _histogram(axis, values[full], whole=values is n_genes)
            else:
                _boxes(axis, values, np.where(full, codes, -1), names)
        axes[0].set_xlabel("share of counts in described genes")
        axes[0].xaxis.set_major_locator(MaxNLocator(5))
        axes[0].xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
        axes[1].set_xlabel("genes used")
        axes[1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes[1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        if groupby is not None:
            axes[1].set_yticklabels([])
        _warn(axes[0], int((~full).sum()), len(full))
    return axes


def _histogram(axes: Axes, values: NDArray[np.float64], *, whole: bool) -> None:
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    few = whole and high - low < _BINS
    axes.hist(values, np.arange(low, high + 2) - 0.5 if few else _BINS, color=OURS)  # type: ignore[arg-type]
    axes.margins(y=0.16)  # for the median
    if few:
        axes.set_xlim(low - 4, high + 4)
    axes.set_ylabel("cells")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if len(values):
        middle = float(np.median(values))
        axes.axvline(middle, color=INK, linewidth=1.2)
        text = f"median {middle:,.0f}" if middle > 1.5 else f"median {middle:.1%}"
        right = middle > np.mean(axes.get_xlim())
        axes.annotate(
            text, (middle, 1), xycoords=axes.get_xaxis_transform(), xytext=(-4 if right else 4, -2),
            textcoords="offset points", ha="right" if right else "left", va="top", fontsize=9,
        )  # fmt: skip


def _boxes(axes: Axes, values: NDArray[np.float64], codes: NDArray[np.intp], names: Sequence[str]) -> None:
    of: list[Any] = [values[codes == i] for i in range(len(names))]
    axes.boxplot(
        of, orientation="horizontal", whis=(5, 95), showfliers=False, patch_artist=True, widths=0.6,
        boxprops={"facecolor": amounts()(0.35), "edgecolor": OURS}, medianprops={"color": INK},
        whiskerprops={"color": MUTED}, capprops={"color": MUTED},
    )  # fmt: skip
    labels = [f"{name} ({len(part):,})" for name, part in zip(names, of, strict=True)]
    axes.set_yticks(range(1, len(names) + 1), labels)
    axes.set_ylim(len(names) + 0.6, 0.4)
    axes.tick_params(axis="y", length=0)


def _warn(axes: Axes, n_empty: int, n: int) -> None:
    if not n_empty:
        return
    are, theirs = ("cell has", "its vector is") if n_empty == 1 else ("cells have", "their vectors are")
    text = f"{n_empty:,} of {n:,} {are} no described gene: {theirs} zero"
    axes.set_title(text, loc="left", color=ACCENT, fontsize=9, fontweight="bold")
