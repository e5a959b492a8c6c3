"""Axes to draw on, the caller's or new ones, and what is done with them: saved, shown, returned."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexicell._files import check_new_file, staged_path
from lexicell.errors import InputError, needing
from lexicell.pl.style import MUTED, RC

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

__all__ = ["check_figure", "colour_bar", "drawing", "panels", "side_legend", "write_note"]

_FORMATS = ("png", "svg", "pdf")
#: Backends that can show nothing.
_BLIND = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
_DPI = {"png": 200, "svg": 300, "pdf": 300}  # of what is drawn in pixels


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
    with needing("plot", "The picture"):
        import matplotlib  # noqa: F401
    return path


@contextmanager
def drawing(
    ax: Axes | None, size: tuple[float, float], *, show: bool | None, save: str | Path | None
) -> Iterator[Axes]:
    """As `panels`, for a single one."""
    with panels(ax, 1, size, show=show, save=save) as axes:
        yield axes[0]


@contextmanager
def panels(
    ax: Axes | Sequence[Axes] | None,
    n: int,
    size: tuple[float, float],
    *,
    columns: int | None = None,
    show: bool | None,
    save: str | Path | None,
) -> Iterator[list[Axes]]:
    """Yield `n` axes in our style; when the block ends well, their figure is saved and shown as asked.

    Parameters
    ----------
    ax
        The caller's axes, or None for a figure of its own, which pyplot knows of only if it is shown.
    size
        Inches of a new figure.
    columns
        Panels side by side in a new figure; by default all.
    show
        Whether to show it; None shows a new figure that is not saved, where someone sits at a prompt.
    save
        File, replaced if it exists; complete or not there.

    Raises
    ------
    InputError
        There are not as many axes as panels, or the file's name is not that of a picture.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The file cannot be written.
    """
    with needing("plot", "The picture"):
        import matplotlib as mpl
        from matplotlib.figure import Figure
    path = None if save is None else check_figure(save, overwrite=True)
    given = None if ax is None else list(ax) if isinstance(ax, Sequence) else _flat(ax)
    if given is not None and len(given) != n:
        msg = f"the picture has {n} panel{'s' * (n != 1)}, ax has {len(given)} Axes; give as many, or none"
        raise InputError(msg)
    seen = _can_be_seen() and given is None and save is None if show is None else show
    own: Figure | None = None
    try:
        with mpl.rc_context(RC):
            if given is None:
                own = _pyplot().figure(figsize=size, layout="constrained") if seen else None
                own = own or Figure(figsize=size, layout="constrained")
                across = min(columns or n, n) or 1
                given = list(own.subplots(-(-n // across), across, squeeze=False).ravel())
                for unused in given[n:]:
                    unused.remove()
                given = given[:n]
            for axes in given:  # the caller's have a box
                axes.spines[["top", "right"]].set_visible(False)
            yield given
            if path is not None:
                _save(figure_of(given[0]), path)
    except BaseException:
        if seen and own is not None:
            _pyplot().close(own)
        raise
    if seen:
        _pyplot().show()


def _flat(ax: Any) -> list[Axes]:
    """One Axes, or the array of them that ``pyplot.subplots`` returns."""
    return list(ax.ravel()) if hasattr(ax, "ravel") else [ax]


def _pyplot() -> Any:
    from matplotlib import pyplot

    return pyplot


def _can_be_seen() -> bool:
    """Whether someone sits at a prompt or in a notebook, before a backend that shows pictures."""
    if not hasattr(sys, "ps1") and not sys.flags.interactive:
        return False
    return str(_pyplot().get_backend()).lower() not in _BLIND


def figure_of(axes: Axes) -> Figure:
    """Return the whole figure that axes belong to."""
    from matplotlib.figure import Figure

    figure: Any = axes.figure
    while not isinstance(figure, Figure):  # a part of a figure
        figure = figure.figure
    return figure


def _save(figure: Figure, path: Path) -> None:
    """Write a figure completely or not at all; the same figure gives the same bytes."""
    kind = path.suffix.lower().removeprefix(".")
    dateless: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with staged_path(path, replace=True) as staging:
        figure.savefig(staging, format=kind, dpi=_DPI[kind], metadata=dateless)


def colour_bar(axes: Axes, drawn: ScalarMappable, label: str, *, bottom: float, height: float) -> Axes:
    """Put a bar of colours into the right margin, from `bottom` on, in shares of the axes' height."""
    width = _inches(axes)
    place = axes.inset_axes((1 + 0.18 / width, bottom, 0.15 / width, height))
    bar = figure_of(axes).colorbar(drawn, cax=place)
    bar.outline.set_visible(False)
    place.tick_params(labelsize=8, length=2)
    place.set_title(label, fontsize=9, loc="left", pad=6)
    return place


def side_legend(axes: Axes, *args: Any, **options: Any) -> None:
    """Put a legend into the right margin."""
    corner = (1 + 0.12 / _inches(axes), 1.0)
    style = {"loc": "upper left", "bbox_to_anchor": corner, "borderaxespad": 0.0, "alignment": "left"}
    axes.legend(*args, **{**style, **options})


def write_note(axes: Axes, note: str, *, below: float = 30) -> None:
    """Write a small line under the axes, so many points below them."""
    if note:
        axes.annotate(
            note, (0, 0), xycoords="axes fraction", xytext=(0, -below), textcoords="offset points",
            ha="left", va="top", fontsize=8, color=MUTED, annotation_clip=False,
        )  # fmt: skip


def _inches(axes: Axes) -> float:
    """Width of axes, before the margins have found their place."""
    return max(axes.get_window_extent().width / figure_of(axes).dpi, 0.1)
