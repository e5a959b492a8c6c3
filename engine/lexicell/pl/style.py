"""One look for all pictures: colours that colour-blind people tell apart, controls in greys, text as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

__all__ = [
    "ACCENT",
    "CONTROLS",
    "DASHES",
    "INK",
    "LINE",
    "MISSING",
    "MUTED",
    "NUMBERS",
    "OURS",
    "PALETTE",
    "PAPER",
    "PEER",
    "RC",
    "amounts",
    "around_zero",
    "colours",
    "ink_on",
]

PAPER, INK, MUTED, LINE = "#ffffff", "#1f2328", "#59636e", "#d1d9e0"
#: The seven of Okabe and Ito in their order, then those that are farthest from all before them, to the eye
#: and to simulated protan-, deuter- and tritanopia (Machado et al. 2009), and can be seen on white.
PALETTE = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#641600",
    "#162c7a", "#7a4e59", "#a6bc90", "#a6430b", "#4e374e", "#214e9b", "#8585e9", "#852c16",
    "#9bde85", "#a64e85", "#43d3ff", "#7ac8c8", "#e9c843", "#906459", "#64436f", "#4e9037",
)  # fmt: skip
OURS, ACCENT = PALETTE[4], PALETTE[5]
PEER, MISSING = "#a3acb5", "#d9dde1"
#: What vectors without meaning look like.
CONTROLS = {"shuffled": "#8b939b", "random": "#b4bac1"}
DASHES = ("-", "--", "-.", ":")
#: Perceptually uniform, for numbers without a zero that matters.
NUMBERS = "viridis"

#: Over the caller's own settings, within a context only.
RC: Any = {
    "svg.hashsalt": "lexicell",  # the same figure, the same bytes
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a label is no formula
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9,
    "figure.facecolor": PAPER,
    "savefig.facecolor": "auto",
    "figure.titlesize": 12,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "lines.linewidth": 1.8,
}


def colours(n: int) -> list[str]:
    """Return `n` colours: the palette; beyond it, its colours lighter, then darker; then they repeat."""
    ways = (1.0, 0.5, -0.4)
    size = len(PALETTE)
    return [_shade(PALETTE[i % size], ways[i // size % len(ways)]) for i in range(n)]


def _shade(colour: str, way: float) -> str:
    """Return a colour itself (1), with so much of it and white (0 to 1), or darker by so much (below 0)."""
    if way == 1:
        return colour
    toward, left = (1.0, way) if way > 0 else (0.0, 1 + way)
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 * (toward + (part - toward) * left)):02x}" for part in parts)


def amounts() -> Colormap:
    """Return a map for amounts from nothing, pale, to much, dark blue; its lightness falls evenly."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("amounts", ["#edf2f6", "#9fc3de", "#3f88bd", OURS, "#10305c"])


def around_zero(low: float, high: float) -> tuple[Colormap, Normalize]:
    """Return map and scale of numbers from `low` to `high`: around 0 where some are below it."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    if low >= 0:
        return amounts(), Normalize(0, high or 1.0)
    both = ["#7a2e00", ACCENT, "#f3b98f", "#f2f3f4", "#9fc3de", OURS, "#10305c"]
    most = max(-low, high)
    return LinearSegmentedColormap.from_list("around zero", both), Normalize(-most, most)


def ink_on(colour: tuple[float, ...]) -> str:
    """Return the colour of text that can be read on `colour`: dark or white."""
    red, green, blue = colour[:3]
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else PAPER
