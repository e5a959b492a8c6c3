"""What was made last, kept for whoever asks for the same again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Recent"]

_T = TypeVar("_T")


class Recent:
    """Values by what they were made of, the last few that were asked for.

    A key is the content that decides the value (hashes, options), never the identity of an object that can
    change. Values are shared between callers and threads, so nobody may change them.

    Parameters
    ----------
    entries
        How many are kept.
    most_bytes
        What they may take together; a value that takes more alone is not kept.

    Notes
    -----
    All entries are one tuple, which is replaced and never changed: so there is no lock that a thread could
    wait for, or a forked child inherit. Where two threads make values at once, one may be forgotten.
    """

    def __init__(self, entries: int, most_bytes: int) -> None:
        self._most, self._most_bytes = entries, most_bytes
        self._kept: tuple[tuple[Hashable, Any, int], ...] = ()

    def get(self, key: Hashable, make: Callable[[], _T], size: Callable[[_T], int] = lambda _value: 0) -> _T:
        """Return the value of a key, made where it is not kept.

        Parameters
        ----------
        key
            What the value is made of.
        make
            Makes it.
        size
            Its bytes.
        """
        kept = next((entry for entry in self._kept if entry[0] == key), None)
        value: _T = make() if kept is None else kept[1]
        entry = kept or (key, value, size(value))
        newest: list[tuple[Hashable, Any, int]] = []
        left = self._most_bytes
        for other in (entry, *(other for other in self._kept if other[0] != key)):
            left -= other[2]
            if left < 0 or len(newest) == self._most:
                break
            newest.append(other)
        if newest:
            self._kept = tuple(newest)
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._kept = ()
