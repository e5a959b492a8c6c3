"""Cells as points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import needing

__all__ = ["plot_scatter"]


def plot_scatter(
    positions: NDArray[np.floating[Any]],
    labels: NDArray[Any],
    path: str | Path,
    *,
    title: str,
    note: str = "",
) -> None:
    """Draw cells coloured by type, each type named in the margin, into a PNG.

    Parameters
    ----------
    positions
        ``[N, 2]``.
    labels
        ``[N]`` cell types.
    path
        File to write.
    title, note
        Above and below the picture.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    with needing("plot", "The picture"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    import matplotlib as mpl

    figure = Figure(figsize=(9.5, 5.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names, codes = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    sizes = np.bincount(codes)
    colours = mpl.colormaps["tab10" if len(names) <= 10 else "tab20"]
    for i in np.argsort(-sizes):  # the rare types on top
        axes.scatter(
            positions[codes == i, 0],
            positions[codes == i, 1],
            s=14,
            linewidths=0,
            alpha=0.85,
            color=colours(int(i) % colours.N),
            label=f"{names[i]} ({sizes[i]:,})",
        )
    axes.set_title(title, loc="left", fontsize=13)
    axes.set_xlabel("UMAP 1")
    axes.set_ylabel("UMAP 2")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside right upper", frameon=False, markerscale=2, fontsize=9)
    if note:
        figure.supxlabel(note, fontsize=9, color="0.35", x=0.01, ha="left")
    figure.savefig(path, dpi=120)
