"""What a plan tells of the projection that it folds in."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding.events import Listener, Note
from lexicell.embedding.recipe import Recipe
from lexicell.errors import CoverageError
from lexicell.projection import Pooling, Projection

__all__ = ["about", "facts", "tell_chosen", "tell_pooling"]


def about(projection: Projection | None) -> dict[str, str]:
    """Return what the card says of name, label and data, as text."""
    card = {} if projection is None else projection.card
    found = {name: card[name] for name in ("name", "label", "data") if card.get(name)}
    return {name: of if isinstance(of, str) else json.dumps(of, sort_keys=True) for name, of in found.items()}


def facts(projection: Projection | None) -> dict[str, str]:
    """Return what a plan says of a projection, for people and for ``--json``."""
    if projection is None:
        return {"projection": "none"}
    said = {f"projection_{name}": text for name, text in about(projection).items() if name != "name"}
    return {"projection": projection.name, "projection_identity": projection.identity, **said}


def tell_pooling(learned: Pooling | None, recipe: Recipe, listener: Listener) -> None:
    """Tell where cells are pooled otherwise than those that the projection was learned from."""
    if learned is None:
        return
    theirs, ours = (
        f"top_k {of.top_k or 'all'}, weight {of.weight}" + ("" if of.normalise else ", not normalised")
        for of in (learned, recipe)
    )
    if theirs != ours:
        text = f"the projection was learned with {theirs}, and cells are pooled with {ours}"
        listener(Note(text, serious=True))


def tell_chosen(
    label: str, masked: NDArray[np.bool_], here: int, coverage: float, listener: Listener
) -> None:
    """Tell how many of the genes that a projection uses are in a data set.

    Parameters
    ----------
    label
        Name of the data set.
    masked
        ``[G]``, the genes that the projection masks.
    here
        How many of the others the data set has.
    coverage
        Share of the counts that lies in them.
    listener
        Is told; seriously where most of the genes are missing, and the rest holds less than half the counts.

    Raises
    ------
    CoverageError
        There is none.
    """
    used = int((~masked).sum())
    if not here:
        msg = f"{label}: none of the {used:,} genes that the projection uses is in it; use another projection"
        raise CoverageError(msg)
    text = (
        f"{here:,} of the {used:,} genes that the projection uses are here, with {coverage:.0%} of the counts"
    )
    listener(Note(text, serious=2 * here < used and coverage < 0.5))
