"""Learning: from cells, with or without labels, to a projection that folds into the gene table."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lexicell.projection import Projection

if TYPE_CHECKING:
    from lexicell.learn.api import train
    from lexicell.learn.objectives import OBJECTIVES
    from lexicell.learn.settings import TrainSettings

__all__ = ["OBJECTIVES", "Projection", "TrainSettings", "train"]

_LAZY = {
    "OBJECTIVES": "lexicell.learn.objectives",
    "TrainSettings": "lexicell.learn.settings",
    "train": "lexicell.learn.api",
}


def __getattr__(name: str) -> Any:
    """Import names when they are first used: a client of one of them does not need the others."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    message = f"module 'lexicell.learn' has no attribute {name!r}"
    raise AttributeError(message)
