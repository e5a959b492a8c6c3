"""What a run tells while it runs. Bars and logs are listeners; the pipeline knows neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Advanced", "Event", "Listener", "Note", "ignore"]


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know about how the input was understood."""

    text: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """Cells embedded so far."""

    done: int
    total: int


Event = Note | Advanced
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
