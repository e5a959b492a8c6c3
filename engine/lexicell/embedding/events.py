"""What a run tells while it runs. Bars and logs are listeners; the pipeline knows neither."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Advanced", "Committed", "Event", "Listener", "Note", "Started", "ignore", "log"]

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
class Started:
    """A run begins, or goes on.

    Attributes
    ----------
    cells, done
        All cells, and those that an earlier run has embedded.
    shards
        Shards to do.
    workers
        Threads or processes that share them.
    """

    cells: int
    done: int
    shards: int
    workers: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """Cells embedded so far.

    Attributes
    ----------
    done, total
        Cells, those of earlier runs included.
    decoded
        Bytes of counts read since the run began, as they are in memory.
    """

    done: int
    total: int
    decoded: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """A shard is on disk, and has its receipt.

    Attributes
    ----------
    shard
        Its number.
    done, total
        Shards on disk, those of earlier runs included, and all.
    """

    shard: int
    done: int
    total: int


#: What a listener is told.
Event = Note | Started | Advanced | Committed
#: Whoever wants to know how a run goes; by default notes go to the logger ``lexicell``.
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


def log(event: Event) -> None:
    """Send notes to the logger ``lexicell``: serious ones as warnings, which Python shows by default."""
    if isinstance(event, Note):
        _LOGGER.log(logging.WARNING if event.serious else logging.INFO, event.text)
