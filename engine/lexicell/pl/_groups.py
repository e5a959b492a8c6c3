"""How alike groups of cells are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.pl._tables import HasSimilarity, chosen, table_of
from lexicell.pl.canvas import colour_bar, drawing
from lexicell.pl.style import amounts, around_zero, ink_on

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["groups"]

#: Groups up to which the numbers are written.
_WRITTEN = 15


def groups(
    found: AnnData | HasSimilarity,
    *,
    key: str = "lexicell_explain",
    groups: str | Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw how alike groups of cells are: cosines of their mean vectors, groups that are alike side by side.

    Groups are in the order of the leaves of a hierarchical clustering (mean linkage of 1 - cosine). The
    numbers are written where there are 15 groups or fewer.

    Parameters
    ----------
    found
        What `lexicell.tl.explain` has written into, or an object with the table ``similarity``, ``[G, G]``,
        groups as index and columns.
    key
        Where an AnnData has it, in ``.uns``.
    groups
        Which groups; by default all.
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
        There is no such key, table or group (the message lists those that are), or the table is not one of
        groups by the same groups.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The file cannot be written.
    """
    table = table_of(found, key, "similarity", ())
    there = [str(name) for name in table.index]
    if there != [str(name) for name in table.columns]:
        msg = "the table 'similarity' has other columns than rows; it is groups by the same groups"
        raise InputError(msg)
    places = [there.index(name) for name in chosen(groups, there)]
    cosines = table.to_numpy(np.float64)[np.ix_(places, places)]
    if not np.isfinite(cosines).all():
        msg = "the table 'similarity' has values that are missing; leave out groups without cells"
        raise InputError(msg)
    order = _order(cosines)
    names = [there[places[i]] for i in order]
    side = 0.42 * len(names) if len(names) <= _WRITTEN else 0.22 * len(names)
    beside = 0.08 * max(map(len, names)) + 0.4
    with drawing(ax, (side + beside + 1.1, side + beside), show=show, save=save) as axes:
        _draw(axes, cosines[np.ix_(order, order)], names)
        axes.set_title(title or "")
    return axes


def _order(cosines: NDArray[np.float64]) -> list[int]:
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(cosines) < 3:
        return list(range(len(cosines)))
    apart = np.clip(1 - (cosines + cosines.T) / 2, 0, None)
    np.fill_diagonal(apart, 0)
    return [
        int(i)
        for i in leaves_list(linkage(squareform(apart, checks=False), "average", optimal_ordering=True))
    ]


def _draw(axes: Axes, cosines: NDArray[np.float64], names: Sequence[str]) -> None:
    from matplotlib.colors import Normalize

    low = float(cosines.min())
    if low < 0:
        cmap, scale = around_zero(-1.0, 1.0)
    else:
        cmap, scale = amounts(), Normalize(min(np.floor(low * 20) / 20, 0.95), 1.0)
    drawn: Any = axes.imshow(cosines, cmap=cmap, norm=scale, aspect="equal", interpolation="nearest")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    if len(names) <= _WRITTEN:
        for (i, j), value in np.ndenumerate(cosines):
            colour = ink_on(cmap(scale(value)))
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=colour)
    colour_bar(axes, drawn, "cosine", bottom=0.0, height=0.5)
