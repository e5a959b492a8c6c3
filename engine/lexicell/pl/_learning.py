"""How the loss of a projection fell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lexicell.errors import InputError
from lexicell.pl.canvas import drawing
from lexicell.pl.style import ACCENT, MUTED, OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Learned", "learning"]


class Learned(Protocol):
    """What knows how it was learned: a `lexicell.Projection`."""

    @property
    def card(self) -> Mapping[str, Any]:
        """Facts about the training."""


def learning(
    projection: Learned | Mapping[str, Any],
    *,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the loss of a training, step by step, on training and on validation cells.

    The curves of few labelled cells are in `lexicell.pl.evaluation`.

    Parameters
    ----------
    projection
        A `lexicell.Projection` that was learned step by step, or its card.
    title
        Above; by default what was learned, of how many cells.
    ax, show, save
        See `lexicell.pl.embedding`.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.

    Raises
    ------
    InputError
        There is no curve: the projection was not learned, or in closed form.
    MissingExtraError
        matplotlib is not installed.
    WriteError
        The file cannot be written.
    """
    card: Mapping[str, Any] = projection if isinstance(projection, Mapping) else projection.card
    history = card.get("loss_curve")
    if not history:
        msg = "the card has no loss_curve to draw: this projection was not learned step by step"
        raise InputError(msg)
    steps = [entry["step"] for entry in history]
    style: dict[str, Any] = {"marker": "o" if len(steps) < 3 else "", "markersize": 4}
    with drawing(ax, (5.6, 3.4), show=show, save=save) as axes:
        axes.plot(steps, [entry["loss"] for entry in history], color=OURS, label="training", **style)
        known = [(entry["step"], entry["validation"]) for entry in history if entry["validation"] is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=ACCENT, label="validation cells", **style)
        kept = card.get("step")
        if kept is not None and kept != steps[-1]:
            axes.axvline(kept, color=MUTED, linewidth=0.9, linestyle=":", label=f"weights of step {kept:,}")
        if len(axes.get_lines()) > 1:
            axes.legend()
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.set_title(_title(card) if title is None else title)
    return axes


def _title(card: Mapping[str, Any]) -> str:
    made = ": ".join(str(card[name]) for name in ("name", "objective") if card.get(name))
    return f"{made}, {card['cells']:,} cells" if "cells" in card else made
