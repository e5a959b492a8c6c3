"""Open inputs of a ConcatSource: few at a time, since thousands would exceed a process's files."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from lexicell._limits import open_file_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexicell.counts.source import CountSource

__all__ = ["MOST_OPEN", "OpenInputs"]

#: Inputs that are open at a time, unless the process may not open so many files.
MOST_OPEN = 24
#: Files that an open input holds (HDF5's, ours beside it, a row partition), and those that all else needs.
_FILES_EACH, _OTHER_FILES = 3, 32


@dataclass
class _Input:
    """An input that is open, or being opened."""

    lock: Lock = field(default_factory=Lock)
    source: CountSource | None = None
    users: int = 0

    def close(self) -> None:
        with self.lock:
            if self.source is not None:
                self.source.close()
                self.source = None  # what it still holds goes with it


class OpenInputs:
    """Inputs by their number, opened when asked for; those that were used last stay open.

    Parameters
    ----------
    open_input
        Opens the input of a number.
    label
        What the inputs are called together.
    """

    def __init__(self, open_input: Callable[[int], CountSource], label: str) -> None:
        self._open_input, self._label = open_input, label
        self._lock, self._closed = Lock(), False
        self._inputs: OrderedDict[int, _Input] = OrderedDict()

    @contextmanager
    def borrow(self, number: int) -> Iterator[CountSource]:
        """An open input, which stays open until the block ends; opened here if need be."""
        with self._lock:
            if self._closed:
                msg = f"{self._label}: the source is closed"
                raise ValueError(msg)
            borrowed = self._inputs.setdefault(number, _Input())
            self._inputs.move_to_end(number)
            borrowed.users += 1
            idle = [key for key, unused in self._inputs.items() if not unused.users]
            spare = [self._inputs.pop(key) for key in idle[: max(len(self._inputs) - _most_open(), 0)]]
        try:
            for unused in spare:
                unused.close()
            with borrowed.lock:
                if borrowed.source is None:
                    borrowed.source = self._open_input(number)
            yield borrowed.source
        finally:
            with self._lock:
                borrowed.users -= 1

    def close(self) -> None:
        """Release files and temporary space; a second call does nothing."""
        with self._lock:
            self._closed = True
            inputs = list(self._inputs.values())
            self._inputs.clear()
        for held in inputs:
            held.close()


def _most_open() -> int:
    """How many inputs may be open at a time, as ``ulimit -n`` has it now."""
    limit = open_file_limit()
    return MOST_OPEN if limit is None else max(1, min(MOST_OPEN, (limit - _OTHER_FILES) // _FILES_EACH))
