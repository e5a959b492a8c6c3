"""Millions of points, counted pixel by pixel by datashader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import needing
from lexicell.pl.style import MISSING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

__all__ = ["draw_categories", "draw_numbers", "draw_plain", "require"]

#: Pixels across and up.
_SIZE = (1200, 1000)
#: How opaque a pixel with a single cell is, of 255; one with many is opaque.
_FAINTEST = 120


def require() -> None:
    """Raise `MissingExtraError` where datashader is not installed."""
    with needing("plot", "A picture of more than a million cells"):
        import datashader  # noqa: F401


def draw_plain(axes: Axes, points: NDArray[Any], colour: str) -> None:
    """Draw all points in one colour, the denser the more opaque."""
    canvas, extent = _canvas(points)
    _put(axes, _shaded(canvas.points(_frame(points), "x", "y"), colour), extent)


def draw_categories(
    axes: Axes, points: NDArray[Any], codes: NDArray[np.intp], colours: Sequence[str]
) -> None:
    """Draw points in the colours of their codes, mixed where several share a pixel; those below 0 in grey."""
    import datashader as ds
    import pandas as pd

    canvas, extent = _canvas(points)
    missing = codes < 0
    if missing.any():
        _put(axes, _shaded(canvas.points(_frame(points[missing]), "x", "y"), MISSING), extent)
    frame = _frame(points[~missing])
    frame["kind"] = pd.Categorical.from_codes(
        codes[~missing], categories=pd.Index([str(i) for i in range(len(colours))])
    )
    if len(frame):
        found = canvas.points(frame, "x", "y", ds.by("kind", ds.count()))
        _put(axes, _shaded(found, list(colours)), extent)


def draw_numbers(
    axes: Axes, points: NDArray[Any], numbers: NDArray[np.float64], cmap: str, scale: Normalize
) -> None:
    """Draw the mean number of each pixel; points without a number in grey, below."""
    import datashader as ds

    canvas, extent = _canvas(points)
    known = np.isfinite(numbers)
    if not known.all():
        _put(axes, _shaded(canvas.points(_frame(points[~known]), "x", "y"), MISSING), extent)
    frame = _frame(points[known])
    frame["number"] = numbers[known]
    if len(frame):
        means = canvas.points(frame, "x", "y", ds.mean("number")).to_numpy()
        _put(axes, np.ma.masked_invalid(means), extent, cmap=cmap, norm=scale)


def _canvas(points: NDArray[Any]) -> tuple[Any, tuple[float, float, float, float]]:
    """Return a canvas around all points that are somewhere, and its edges."""
    import datashader as ds

    finite = points[np.isfinite(points).all(axis=1)]
    low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (np.zeros(2), np.ones(2))
    room = np.maximum(0.02 * (high - low), 1e-6)
    (left, bottom), (right, top) = (low - room).tolist(), (high + room).tolist()
    canvas = ds.Canvas(*_SIZE, x_range=(left, right), y_range=(bottom, top))
    return canvas, (left, right, bottom, top)


def _frame(points: NDArray[Any]) -> Any:
    import pandas as pd

    return pd.DataFrame({"x": points[:, 0], "y": points[:, 1]})


def _shaded(counts: Any, colour: str | list[str]) -> NDArray[np.uint8]:
    """Return ``[height, width, 4]`` colours of counts, or of counts by category."""
    from datashader.transfer_functions import shade

    how: dict[str, Any] = {"cmap": [colour, colour]} if isinstance(colour, str) else {"color_key": colour}
    image = shade(counts, how="eq_hist", min_alpha=_FAINTEST, **how)
    pixels: NDArray[np.uint8] = np.ascontiguousarray(image.to_numpy()).view(np.uint8)
    return pixels.reshape(*image.shape, 4)


def _put(
    axes: Axes, pixels: NDArray[Any], extent: tuple[float, float, float, float], **colouring: Any
) -> None:
    axes.imshow(pixels, extent=extent, origin="lower", aspect="auto", **colouring)
