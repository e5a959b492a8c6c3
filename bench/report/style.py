"""One look for all figures: SVG that follows the reader's light or dark theme, the same bytes each time.

Matplotlib writes colours into each shape, in hexadecimal. A figure is drawn in the light colours of
`COLOURS`, and `stylesheet` exchanges each for its dark partner, in a page and in an SVG file alike.
The light ones are those of `lexicell.pl`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from lexicell.pl.style import ACCENT, CONTROLS, INK, LINE, MUTED, OURS, PALETTE, PAPER, PEER, RC

__all__ = [
    "ACCENT",
    "COLOURS",
    "INK",
    "LINE",
    "MUTED",
    "OURS",
    "PAPER",
    "PEER",
    "STAGE_COLOURS",
    "draw",
    "stylesheet",
]

#: Stages of a run; their order is that of `select.STAGES`.
STAGE_COLOURS = (
    CONTROLS["shuffled"], OURS, PALETTE[2], PALETTE[0], ACCENT, PALETTE[6], CONTROLS["random"], PALETTE[14],
)  # fmt: skip
#: Light -> dark.
COLOURS = {
    PAPER: "#0d1117",
    INK: "#e6edf3",
    MUTED: "#9198a1",
    LINE: "#3d444d",
    OURS: "#58b4d1",
    PEER: "#6e7681",
    ACCENT: "#f0883e",
    CONTROLS["random"]: "#6b727a",
}
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
#: A page has its own lines around figures, so theirs are pale.
_RC = {
    **RC,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 10,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 10,
}


def stylesheet() -> str:
    """CSS that gives figures the reader's font, and their dark colours where dark is wanted."""
    dark = "".join(
        f'svg [style*="{what}: {light}"]{{{what}:{colour}!important}}'
        for light, colour in COLOURS.items()
        for what in ("fill", "stroke")
    )
    return f"svg text{{font-family:{_FONT}!important}}@media (prefers-color-scheme: dark){{{dark}}}"


def draw(
    name: str, alt: str, size: tuple[float, float], paint: Callable[[Figure], Any], *, alone: bool = False
) -> str:
    """Draw a figure.

    Parameters
    ----------
    name
        Unlike that of any other figure on its page: prefix of the ids inside.
    alt
        What a reader who can't see it is told.
    size
        Inches, of 72 units; about as wide as a phone, so that a font of 10 stays readable there.
    paint
        Fills the empty figure.
    alone
        Whether it is to be a file of its own, with its own stylesheet.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    with matplotlib.style.context(["default", _RC]):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Markers are styled where they are used; a style in their definition would stay light.
    svg = re.sub(r'(<path id="[^"]*" d="[^"]*") style="[^"]*"', r"\1", svg)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    own = f"<style>{stylesheet()}</style>" if alone else ""
    return re.sub(r"<svg ([^>]*)>", rf'<svg role="img" aria-label="{_quoted(alt)}" \1>{own}', svg, count=1)


def _quoted(text: str) -> str:
    """Text as an attribute, and as the replacement of a regular expression."""
    return escape(text).replace("\\", r"\\")
