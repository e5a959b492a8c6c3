"""Cells as points in two dimensions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexicell._say import listed
from lexicell.arrays import to_host
from lexicell.errors import InputError
from lexicell.pl import _datashade
from lexicell.pl._tables import column_of
from lexicell.pl.canvas import colour_bar, drawing, side_legend, write_note
from lexicell.pl.style import MISSING, NUMBERS, PEER, colours

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["DATASHADER_ABOVE", "RASTERISED_ABOVE", "embedding"]

#: More points than this are counted pixel by pixel, by datashader.
DATASHADER_ABOVE = 1_000_000
#: More points than this are pixels in an SVG or PDF, which else takes a reader minutes to open.
RASTERISED_ABOVE = 20_000
#: Where cells are counted, categories of fewer are drawn as points, on top: else they would be mixed away.
RARE_BELOW = 1_000
#: Categories below each other in the margin.
_LINES = 24


@dataclass(frozen=True)
class Categories:
    """What cells are called.

    Attributes
    ----------
    names
        ``[C]`` those that occur, in their order.
    codes
        ``[N]`` which of them; -1 where it is missing.
    colours
        ``[C]``.
    """

    names: list[str]
    codes: NDArray[np.intp]
    colours: list[str]


def embedding(
    adata: AnnData | ArrayLike,
    basis: str = "X_umap",
    *,
    color: str | ArrayLike | None = None,
    palette: Mapping[str, str] | Sequence[str] | None = None,
    cmap: str | None = None,
    size: float | None = None,
    title: str | None = None,
    note: str = "",
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw cells as points, coloured by what they are called or by a number.

    Each category stands in the margin with the number of its cells; the rare ones are drawn last, so that
    they are seen. Cells without a value are light grey. More than 1,000,000 cells are counted pixel by pixel
    by datashader: a pixel then has the mixed colour of its cells, or the mean of their numbers; categories of
    fewer than 1,000 cells stay points on top.

    Parameters
    ----------
    adata
        ``N`` cells, or their positions, ``[N, 2]``.
    basis
        Key of ``adata.obsm``; "umap" means "X_umap" where there is no "umap". It names the axes.
    color
        Column of ``adata.obs``, or ``[N]`` values. Text, booleans and categories have a colour each, numbers
        a colour map.
    palette
        Colours by category, or in the order of the categories. By default such as colour-blind people tell
        apart; beyond 24 categories they return lighter, then darker.
    cmap
        Colour map of numbers; by default viridis.
    size
        Of a point, in square points; by default the smaller, the more cells there are.
    title, note
        Above and, small, below. By default the title is the name of the column.
    ax
        Where to draw; by default a figure of its own.
    show
        Whether to show the figure; by default one of its own that is not saved, at a prompt.
    save
        File to write, ``.png``, ``.svg`` or ``.pdf``, replaced if it exists.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.

    Raises
    ------
    InputError
        There is no such basis, column or colour (the message lists those that are), or shapes differ.
    MissingExtraError
        matplotlib, or for many cells datashader, is not installed.
    WriteError
        The file cannot be written.
    """
    key, points = _points(adata, basis)
    name, values = _values(adata, color, len(points))
    shaded = len(points) > DATASHADER_ABOVE
    if shaded:
        _datashade.require()
    kinds = None if values is None or _is_number(values) else _categories(values, palette)
    with drawing(ax, (7.2 if kinds else 6.0, 4.8), show=show, save=save) as axes:
        size = min(max(24_000 / max(len(points), 1), 0.4), 24.0) if size is None else size
        style: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": len(points) > RASTERISED_ABOVE}
        if values is None:
            _datashade.draw_plain(axes, points, PEER) if shaded else _dots(axes, points, PEER, style)
        elif kinds is not None:
            _draw_categories(axes, points, kinds, style, shaded=shaded)
        else:
            label = "" if title is None else name
            _draw_numbers(axes, points, values, cmap or NUMBERS, label, style, shaded=shaded)
        axes.set_title(name if title is None else title)
        _name_axes(axes, key)
        write_note(axes, note, below=20)
    return axes


def _points(adata: Any, basis: str) -> tuple[str, NDArray[Any]]:
    """Return the key of the positions, and their first two columns."""
    key = basis
    if hasattr(adata, "obsm"):
        if key not in adata.obsm and f"X_{key}" in adata.obsm:
            key = f"X_{key}"
        if key not in adata.obsm:
            msg = f"obsm has no {basis!r} (there: {listed(map(str, adata.obsm)) or 'nothing'})"
            raise InputError(msg)
        adata = adata.obsm[key]
    points = np.asarray(to_host(adata) if hasattr(adata, "get") else adata)
    if points.ndim != 2 or points.shape[1] < 2 or points.dtype.kind not in "fiu":
        msg = f"positions are numbers of the shape [N, 2], not {points.dtype} {list(points.shape)}"
        raise InputError(msg)
    return key, points[:, :2]


def _values(adata: Any, color: Any, n: int) -> tuple[str, pd.Series[Any] | None]:
    """Return title and values of the colours."""
    import pandas as pd

    if color is None:
        return "", None
    if isinstance(color, str):
        if not hasattr(adata, "obs"):
            msg = f"color={color!r} names a column of obs, which positions don't have; give the values"
            raise InputError(msg)
        return color, column_of(adata, color).reset_index(drop=True)
    values = color.reset_index(drop=True) if isinstance(color, pd.Series) else pd.Series(color)
    if len(values) != n:
        msg = f"color has {len(values):,} values, there are {n:,} cells"
        raise InputError(msg)
    return str(getattr(color, "name", None) or ""), values


def _is_number(values: pd.Series[Any]) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return bool(is_numeric_dtype(values) and not is_bool_dtype(values))


def _categories(values: pd.Series[Any], palette: Mapping[str, str] | Sequence[str] | None) -> Categories:
    import pandas as pd

    kinds = pd.Categorical(values).remove_unused_categories()
    if not isinstance(values.dtype, pd.CategoricalDtype):
        kinds = kinds.reorder_categories(sorted(kinds.categories, key=_by_number))
    names = [str(name) for name in kinds.categories]
    if isinstance(palette, Mapping):
        without = [name for name in names if name not in palette]
    else:
        without = names[len(palette) :] if palette is not None else []
    if without:
        msg = f"palette has no colour for {listed(without)}"
        raise InputError(msg)
    if palette is None:
        picked = colours(len(names))
    else:
        picked = [palette[name] for name in names] if isinstance(palette, Mapping) else list(palette)
    return Categories(names, np.asarray(kinds.codes, np.intp), picked[: len(names)])


def _by_number(name: Any) -> list[Any]:
    """Key of an order in which "type 2" comes before "type 10"."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", str(name)))]


def _dots(axes: Axes, points: NDArray[Any], colour: str, style: Mapping[str, Any]) -> None:
    axes.scatter(points[:, 0], points[:, 1], color=colour, **style)


def _draw_categories(
    axes: Axes, points: NDArray[Any], kinds: Categories, style: Mapping[str, Any], *, shaded: bool
) -> None:
    from matplotlib.lines import Line2D

    missing = kinds.codes < 0
    sizes = np.bincount(kinds.codes[~missing], minlength=len(kinds.names))
    as_points = sizes < (RARE_BELOW if shaded else np.inf)
    if shaded:
        counted = missing | ~as_points[kinds.codes]
        _datashade.draw_categories(axes, points[counted], kinds.codes[counted], kinds.colours)
        style = {**style, "s": 4.0}
    elif missing.any():
        _dots(axes, points[missing], MISSING, style)
    for i in np.argsort(-sizes, kind="stable"):  # the rare ones on top
        if as_points[i]:
            _dots(axes, points[kinds.codes == i], kinds.colours[i], style)
    listed_kinds = list(zip(kinds.names, sizes, kinds.colours, strict=True))
    if missing.any():
        listed_kinds.append(("missing", missing.sum(), MISSING))
    dots = [
        Line2D([], [], color=colour, marker="o", linestyle="", markersize=6, label=f"{name} ({n:,})")
        for name, n, colour in listed_kinds
    ]
    side_legend(
        axes, handles=dots, ncols=-(-len(dots) // _LINES), handletextpad=0.1, columnspacing=0.8,
        labelspacing=0.4, fontsize=9 if len(dots) <= _LINES else 7.5,
    )  # fmt: skip


def _draw_numbers(
    axes: Axes, points: NDArray[Any], values: pd.Series[Any], cmap: str, label: str,
    style: Mapping[str, Any], *, shaded: bool,
) -> None:  # fmt: skip
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    numbers = values.to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(numbers)
    low, high = (numbers[known].min(), numbers[known].max()) if known.any() else (0.0, 1.0)
    scale = Normalize(low, high if high > low else low + 1)
    if shaded:
        _datashade.draw_numbers(axes, points, numbers, cmap, scale)
    else:
        if not known.all():
            _dots(axes, points[~known], MISSING, style)
        order = np.flatnonzero(known)[np.argsort(numbers[known], kind="stable")]  # the highest on top
        axes.scatter(points[order, 0], points[order, 1], c=numbers[order], cmap=cmap, norm=scale, **style)
    colour_bar(axes, ScalarMappable(scale, cmap), label, bottom=0.0, height=0.5)
    if not known.all():
        from matplotlib.lines import Line2D

        missing = f"missing ({(~known).sum():,})"
        dot = Line2D([], [], color=MISSING, marker="o", linestyle="", markersize=6, label=missing)
        side_legend(axes, handles=[dot], handletextpad=0.1)


def _name_axes(axes: Axes, key: str) -> None:
    name = key.removeprefix("X_")
    name = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PC", "draw_graph_fa": "FA"}.get(name, name)
    axes.set_xlabel(f"{name} 1", loc="left", fontsize=9)
    axes.set_ylabel(f"{name} 2", loc="bottom", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
