"""Whether a run may go on: what decides its output must be what it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lexicell.errors import InputError

__all__ = ["check_identity"]

_ABSENT = "nothing"


def check_identity(label: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the identities of an earlier run and of this one.

    Parameters
    ----------
    label
        Of the store, for the message.
    before, now
        JSON.

    Raises
    ------
    InputError
        They differ; names each field, and both values.
    """
    differences = list(_differences(before, now, ""))
    if differences:
        msg = (
            f"{label} was begun with other {'; '.join(differences)}: "
            "give the same again to go on, or start over with --overwrite"
        )
        raise InputError(msg)


def _differences(earlier: Any, now: Any, field: str) -> Iterator[str]:
    if isinstance(earlier, dict) and isinstance(now, dict):
        for name in sorted(earlier.keys() | now.keys()):
            dotted = f"{field}.{name}" if field else name
            yield from _differences(earlier.get(name, _ABSENT), now.get(name, _ABSENT), dotted)
    elif earlier != now:
        yield f"{field} ({_shown(earlier)} before, {_shown(now)} now)"


def _shown(value: Any) -> str:
    text = value if value is _ABSENT else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
