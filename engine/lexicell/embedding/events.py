"""What a run tells while it runs. Bars and logs are listeners; the pipeline knows neither."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Advanced", "Event", "Listener", "Note", "ignore", "log"]

_LOGGER = logging.getLogger("lexicell")


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know about how the input was understood.

    Attributes
    ----------
    text
        One sentence.
    serious
        Whether the result means something else than usual.
    """

    text: str
    serious: bool = False


@dataclass(frozen=True, slots=True)
class Advanced:
    """Cells embedded so far."""

    done: int
    total: int


Event = Note | Advanced
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


def log(event: Event) -> None:
    """Send notes to the logger ``lexicell``: serious ones as warnings, which Python shows by default."""
    if isinstance(event, Note):
        _LOGGER.log(logging.WARNING if event.serious else logging.INFO, event.text)
