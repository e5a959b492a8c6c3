"""Genes that make groups of cells what they are: dots of many groups, or the sum of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lexicell.errors import InputError
from lexicell.pl._tables import Explained, chosen, table_of
from lexicell.pl.canvas import colour_bar, drawing, side_legend
from lexicell.pl.style import ACCENT, INK, LINE, MUTED, OURS, PEER, around_zero

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["contributions"]

#: Square points of a dot whose gene every cell uses.
LARGEST_DOT = 110.0
#: Genes of a waterfall contribute at least this share of the largest contribution.
_LEAST = 0.01
#: Inches of a column and of a line of dots.
_COLUMN, _LINE = 0.25, 0.3


def contributions(
    found: AnnData | Explained,
    *,
    key: str = "lexicell_explain",
    kind: Literal["dots", "waterfall"] = "dots",
    groups: str | Sequence[str] | None = None,
    n_genes: int = 5,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the genes that make groups of cells, or one cell, what they are.

    Parameters
    ----------
    found
        What `lexicell.tl.explain` has written into, or an object with the tables ``genes`` (columns
        ``group``, ``gene``, ``contribution``; ``in_group`` and ``share_of_cells`` where there are) and
        ``groups`` (the groups as index, columns ``score`` and ``bias``).
    key
        Where an AnnData has them, in ``.uns``.
    kind
        "dots": a line for each group, a column for each of the genes that contribute most to each group in
        turn, of those that count more in it (``more``, where there is). The size of a dot is the share of the
        group's cells that use the gene, its colour the gene's mean contribution in that group. Without these
        columns dots are equal in size, and coloured by the contribution beyond that in the rest.
        "waterfall": how the contributions in one group add up to its score.
    groups
        Which groups, in which order; of a waterfall the one. By default all.
    n_genes
        Genes of each group; of a waterfall so many above zero, and so many below.
    title
        Above. A waterfall has the name of the group by default.
    ax, show, save
        See `lexicell.pl.embedding`.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.

    Raises
    ------
    InputError
        There is no such key, table, column or group (the message lists those that are), or a waterfall is
        asked for of several groups.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The file cannot be written.
    """
    if kind not in {"dots", "waterfall"} or n_genes < 1:
        msg = f"kind is dots or waterfall, n_genes 1 or more; not {kind!r} and {n_genes}"
        raise InputError(msg)
    genes = table_of(found, key, "genes", ("group", "gene", "contribution"), stored="contributions")
    genes = genes.assign(group=genes["group"].astype(str), gene=genes["gene"].astype(str))
    there = list(dict.fromkeys(genes["group"]))
    if kind == "waterfall":
        totals = table_of(found, key, "groups", ("score", "bias"))
        asked = chosen(groups, there)
        if len(asked) != 1:
            msg = f"a waterfall is of one group; name one of {', '.join(there)}"
            raise InputError(msg)
        if asked[0] not in map(str, totals.index):
            msg = f"the table 'groups' has no line for {asked[0]!r}"
            raise InputError(msg)
        of = [str(group) for group in totals.index].index(asked[0])
        score, bias = (float(totals[name].to_numpy()[of]) for name in ("score", "bias"))
        steps = _steps(genes[genes["group"] == asked[0]], score, bias, n_genes)
        with drawing(ax, (5.6, 0.27 * len(steps) + 1.1), show=show, save=save) as axes:
            _draw_waterfall(axes, steps, score)
            axes.set_title(asked[0] if title is None else title)
        return axes
    rows = chosen(groups, there)
    columns = [(row, gene) for row in rows for gene in _top(genes[genes["group"] == row], n_genes)]
    if not columns:
        msg = f"no gene contributes more to {', '.join(rows)} than to the rest: there are no dots to draw"
        raise InputError(msg)
    longest = max(len(row) for row in rows)
    turned = any(0.34 * len(row) > sum(of == row for of, _ in columns) for row in rows)
    above = 22 + 4.2 * longest * turned  # points that the names need
    size = (_COLUMN * len(columns) + 0.085 * longest + 1.9, max(_LINE * len(rows), 2.1) + 0.8 + above / 72)
    with drawing(ax, size, show=show, save=save) as axes:
        _draw_dots(axes, genes, rows, columns)
        _bracket(axes, [row for row, _ in columns], turned=turned)
        if title:
            axes.set_title(title, pad=above)
    return axes


def _top(genes: pd.DataFrame, n: int) -> list[str]:
    """Return the genes that contribute most beyond what they do in the rest."""
    used = genes[genes["contribution"] > 0]
    if "more" in used:  # others contribute by counting less
        used = used[used["more"].astype(bool)]
    best = used.sort_values("contribution", ascending=False, kind="stable")
    return list(dict.fromkeys(best["gene"]))[:n]


def _draw_dots(
    axes: Axes, genes: pd.DataFrame, rows: Sequence[str], columns: Sequence[tuple[str, str]]
) -> None:
    from matplotlib.cm import ScalarMappable

    shade = "in_group" if "in_group" in genes else "contribution"
    of = genes.drop_duplicates(["group", "gene"]).set_index(["group", "gene"])
    cells = [(row, gene) for row in rows for _, gene in columns]
    colour = of[shade].reindex(cells).to_numpy(np.float64)
    share = np.ones(len(cells))
    if "share_of_cells" in of:
        share = of["share_of_cells"].reindex(cells).to_numpy(np.float64)
    known = np.isfinite(colour) & np.isfinite(share)
    y, x = (place.ravel() for place in np.indices((len(rows), len(columns))))
    cmap, scale = around_zero(float(colour[known].min()), float(colour[known].max()))
    axes.scatter(
        x[known], y[known], s=LARGEST_DOT * share[known], c=colour[known], cmap=cmap, norm=scale,
        linewidths=0.4, edgecolors=MUTED, zorder=3,
    )  # fmt: skip
    axes.set_xlim(-0.7, len(columns) - 0.3)
    axes.set_ylim(len(rows) - 0.3, -0.7)
    axes.set_xticks(
        range(len(columns)), [gene for _, gene in columns], rotation=90, fontsize=8, style="italic"
    )
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, pad=4)
    axes.spines[["left", "bottom"]].set_visible(False)
    label = "mean contribution" if shade == "in_group" else "contribution\nbeyond the rest"
    if "share_of_cells" in of:
        handles = [
            axes.scatter([], [], s=LARGEST_DOT * of_all, color=PEER, label=f"{of_all:.0%}")
            for of_all in (0.25, 0.5, 1.0)
        ]
        side_legend(axes, handles=handles, title="cells that use it", labelspacing=0.7, handletextpad=0.4)
    colour_bar(axes, ScalarMappable(scale, cmap), label, bottom=0.0, height=0.36)


def _bracket(axes: Axes, of: Sequence[str], *, turned: bool) -> None:
    """Name the groups whose genes the columns are, above them."""
    above = axes.get_xaxis_transform()
    names = list(dict.fromkeys(of))
    for name in names:
        left, right = of.index(name), of.index(name) + of.count(name) - 1
        axes.plot(
            [left - 0.35, right + 0.35], [1.015, 1.015], color=MUTED, linewidth=1.2, transform=above,
            clip_on=False, solid_capstyle="butt",
        )  # fmt: skip
        axes.axvline(right + 0.5, color=LINE, linewidth=0.6, zorder=0)
        axes.annotate(
            name, (left if turned else (left + right) / 2, 1.03), xycoords=above,
            xytext=(0, 2), textcoords="offset points", ha="left" if turned else "center", va="bottom",
            rotation=45 if turned else 0, rotation_mode="anchor", fontsize=8.5, annotation_clip=False,
        )  # fmt: skip


def _steps(genes: pd.DataFrame, score: float, bias: float, n: int) -> list[tuple[str, float]]:
    """Return what is added, in turn; the sum is the score."""
    ranked = genes.sort_values("contribution", ascending=False, kind="stable")
    least = _LEAST * ranked["contribution"].abs().max()
    up = ranked[ranked["contribution"] >= max(least, 1e-300)].head(n)
    down = ranked[ranked["contribution"] <= -max(least, 1e-300)].tail(n)
    shown = [
        (str(gene), float(value))
        for part in (up, down)
        for gene, value in zip(part["gene"], part["contribution"], strict=True)
    ]
    rest = score - bias - sum(value for _, value in shown)
    n_others = len(genes) - len(shown)
    others = f"{n_others:,} other gene{'s' * (n_others != 1)}" if n_others else "all other genes"
    return [*shown, (others, rest), ("bias", bias)]


def _draw_waterfall(axes: Axes, steps: Sequence[tuple[str, float]], score: float) -> None:
    values = np.array([value for _, value in steps])
    ends = np.cumsum(values)
    starts = ends - values
    bars: list[tuple[str, float, float, float, str]] = []
    for i, (name, value) in enumerate(steps):
        plain = i >= len(steps) - 2
        colour = PEER if plain else OURS if value > 0 else ACCENT
        bars.append((name, starts[i], value, ends[i], colour))
    bars.append(("score", 0.0, score, score, INK))
    least = min([abs(value) for _, value in steps[:-2]], default=abs(score))
    digits = min(max(1 - math.floor(math.log10(max(least, 1e-12))), 0), 8)
    room = 0.012 * max(float(np.ptp([0.0, *starts, *ends, score])), 1e-12)
    for place, (_, start, value, end, colour) in enumerate(bars):
        axes.barh(place, value, left=start, height=0.68, color=colour)
        text = f"{value:{'+' if place < len(steps) else ''}.{digits}f}".replace("-", "−")
        axes.text(max(start, end) + room, place, text, va="center", fontsize=8, color=INK)
        if place < len(steps):
            axes.plot([end, end], [place - 0.34, place + 1.34], color=MUTED, linewidth=0.7, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
    for label in axes.get_yticklabels()[: len(steps) - 2]:
        label.set_fontstyle("italic")
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.margins(x=0.16)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("contribution, added up")
