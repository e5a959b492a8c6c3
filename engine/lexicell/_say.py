"""What messages to people share."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["listed", "silent"]


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message: the first `most` of them, and three dots where there are more."""
    found = list(names)
    return ", ".join(found[:most]) + (", ..." if len(found) > most else "")


def silent(*_: object) -> None:
    """Say nothing; for whoever was given nobody to tell."""
