"""Gene sets that make groups of cells what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lexicell.errors import InputError
from lexicell.pl._tables import HasPathways, chosen, table_of
from lexicell.pl.canvas import colour_bar, drawing
from lexicell.pl.style import INK, MUTED, amounts

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["pathways"]

#: Letters of a name.
_LONGEST = 52
_LEAST_P = 1e-300
#: Colours end here, or where the smallest p-value does: chance is pale in every picture.
_DARKEST = 2.0


def pathways(
    found: AnnData | HasPathways,
    *,
    key: str = "lexicell_explain",
    groups: str | Sequence[str] | None = None,
    n_pathways: int = 5,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the gene sets that contribute most to groups of cells.

    A bar is as long as the contribution, the darker the more significant, and followed by the number of
    genes. A set that says the same as a stronger one (``redundant_with``) is left out.

    Parameters
    ----------
    found
        What `lexicell.tl.explain` has written into, or an object with the table ``pathways`` (columns
        ``group``, ``pathway``, ``n_genes``, ``contribution`` and ``p_adjusted``; ``redundant_with`` where
        there is).
    key
        Where an AnnData has it, in ``.uns``.
    groups
        Which groups, in which order; by default all.
    n_pathways
        Gene sets of each group, those that contribute most, in either direction.
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
        There is no such key, table, column or group; the message lists those that are.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The file cannot be written.
    """
    if n_pathways < 1:
        msg = f"n_pathways is 1 or more, not {n_pathways}"
        raise InputError(msg)
    needed = ("group", "pathway", "n_genes", "contribution", "p_adjusted")
    table = table_of(found, key, "pathways", needed)
    table = table.assign(group=table["group"].astype(str))
    rows = chosen(groups, list(dict.fromkeys(table["group"])))
    best = {row: _best(table[table["group"] == row], n_pathways) for row in rows}
    n_lines = sum(len(of) + 1 for of in best.values())
    with drawing(ax, (7.4, max(0.24 * n_lines + 1.0, 2.6)), show=show, save=save) as axes:
        _draw(axes, best)
        axes.set_title(title or "")
    return axes


def _best(table: pd.DataFrame, n: int) -> pd.DataFrame:
    if "redundant_with" in table:
        table = table[table["redundant_with"].fillna("").astype(str) == ""]
    order = np.argsort(-table["contribution"].abs().to_numpy(), kind="stable")
    return table.iloc[order[:n]]


def _draw(axes: Axes, best: dict[str, pd.DataFrame]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    strengths = {
        row: -np.log10(of["p_adjusted"].clip(lower=_LEAST_P).to_numpy(float)) for row, of in best.items()
    }
    most = max((float(np.nanmax(of)) for of in strengths.values() if np.isfinite(of).any()), default=1.0)
    scale, cmap = Normalize(0, max(most, _DARKEST)), amounts()
    values = np.concatenate([of["contribution"].to_numpy(float) for of in best.values()])
    room = 0.012 * (float(np.ptp([0.0, *values])) or 1.0)
    ticks: list[int] = []
    names: list[str] = []
    heads: list[int] = []
    line = 0
    for row, table in best.items():
        heads.append(line)
        ticks.append(line)
        names.append(row)
        for (_, of), strength in zip(table.iterrows(), strengths[row], strict=True):
            line += 1
            value, n = float(of["contribution"]), int(of["n_genes"])
            colour = cmap(scale(np.nan_to_num(strength)))
            axes.barh(line, value, height=0.7, color=colour, edgecolor=MUTED, linewidth=0.4)
            axes.text(
                max(value, 0) + room,
                line,
                f"{n:,} gene{'s' * (n != 1)}",
                va="center",
                fontsize=7.5,
                color=MUTED,
            )
            ticks.append(line)
            names.append(_short(str(of["pathway"])))
        line += 1
    axes.set_yticks(ticks, names)
    for head in heads:
        label = axes.get_yticklabels()[ticks.index(head)]
        label.set_fontweight("bold")
        label.set_color(INK)
    axes.set_ylim(line - 0.4, -0.7)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.margins(x=0.14)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0] if values.min() < 0 else 0.0))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("contribution to the group, beyond that to the rest")
    colour_bar(
        axes, ScalarMappable(scale, cmap), "−log10 of\nadjusted p", bottom=0.0, height=min(0.4, 9 / line)
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip()}…"
