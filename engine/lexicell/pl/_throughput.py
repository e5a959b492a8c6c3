"""How many cells a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.errors import InputError
from lexicell.pl.canvas import drawing
from lexicell.pl.style import INK, MUTED, OURS, PEER

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["throughput"]

#: Rates that are farther apart are drawn on a logarithmic axis.
LOG_ABOVE = 30.0


def throughput(
    rows: pd.DataFrame | Iterable[Mapping[str, Any]],
    *,
    ours: str = "lexicell",
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw rates as bars, the fastest first, and beside each how many times faster ours is.

    The axis is logarithmic where rates are more than 30 times apart.

    Parameters
    ----------
    rows
        Table with columns ``name``, ``cells_per_second`` (above 0) and, where it matters, ``device``.
    ours
        What is compared with all others: a name, or how names begin. With several of these a row is
        compared with the fastest on its own device, or else with the fastest of all.
    title
        Above.
    ax, show, save
        See `lexicell.pl.embedding`.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.

    Raises
    ------
    InputError
        A column is missing, or a rate is no number above 0.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The file cannot be written.
    """
    import pandas as pd

    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    missing = [name for name in ("name", "cells_per_second") if name not in table]
    if missing or table.empty:
        there = ", ".join(map(str, table.columns)) or "nothing"
        msg = f"rows need the columns name and cells_per_second, and a line (there: {there})"
        raise InputError(msg)
    rate = table["cells_per_second"].to_numpy(np.float64)
    if not (np.isfinite(rate) & (rate > 0)).all():
        name = table["name"].to_numpy()[~(np.isfinite(rate) & (rate > 0))][0]
        msg = f"cells_per_second of {name} is no number above 0; leave the line out"
        raise InputError(msg)
    names = table["name"].astype(str).to_numpy()
    device = (table["device"].fillna("") if "device" in table else table["name"].map(lambda _: "")).astype(
        str
    )
    places = device.to_numpy()
    mine = names == ours
    mine = mine if mine.any() else np.array([name.startswith(ours) for name in names])
    order = np.argsort(-rate, kind="stable")
    with drawing(ax, (6.8, 0.36 * len(table) + 1.0), show=show, save=save) as axes:
        low, high = rate.min(), rate.max()
        logarithmic = bool(high / low > LOG_ABOVE)
        if logarithmic:
            axes.set_xscale("log")
        left = 10 ** np.floor(np.log10(low) - 0.3) if logarithmic else 0.0
        for line, i in enumerate(order):
            axes.barh(line, rate[i] - left, left=left, height=0.66, color=OURS if mine[i] else PEER)
            rivals = rate[mine & (places == places[i])]
            rivals = rivals if len(rivals) else rate[mine]
            axes.annotate(
                f"{_rounded(rate[i])}/s", (rate[i], line), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=9, color=INK, fontweight="bold" if mine[i] else "normal",
            )  # fmt: skip
            if len(rivals) and not mine[i]:
                axes.annotate(
                    f"{_factor(rivals.max() / rate[i])} as fast", (1.02, line),
                    xycoords=axes.get_yaxis_transform(), va="center", fontsize=9, color=INK,
                    annotation_clip=False,
                )  # fmt: skip
        labels = [f"{names[i]} ({places[i]})" if places[i] else names[i] for i in order]
        axes.set_yticks(range(len(order)), labels)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(left, high * (high / left) ** 0.18 if logarithmic else high * 1.16)
        axes.xaxis.set_major_formatter(lambda value, _: _rounded(value))
        axes.set_xlabel("cells/s" + ", logarithmic" * logarithmic)
        if mine.any() and not mine.all():
            axes.annotate(
                f"{ours} is", (1.02, 1), xycoords="axes fraction", xytext=(0, 2),
                textcoords="offset points", va="bottom", fontsize=8, color=MUTED, annotation_clip=False,
            )  # fmt: skip
        axes.set_title(title or "")
    return axes


def _rounded(value: float) -> str:
    """Three digits, with the name of a thousand or a million."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{float(f'{value / size:.3g}'):,g} {letter}"
    return f"{float(f'{value:.3g}'):g}"


def _factor(ratio: float) -> str:
    return f"{ratio:.2g}x" if ratio < 9.95 else f"{float(f'{ratio:.3g}'):,.0f}x"
