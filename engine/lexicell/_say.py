"""What is said to people: lists of names, and names that a terminal or a spreadsheet would obey."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RunFacts",
    "listed",
    "printable",
    "silent",
    "spreadsheet_cell",
    "spreadsheet_cells",
    "without_mark",
]

# Control characters but tab and new line; marks that turn the direction of writing; halves of characters,
# which cannot be written at all.
_OBEYED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message: the first `most` of them, and three dots where there are more."""
    listing = list(names)
    return ", ".join(listing[:most]) + (", ..." if len(listing) > most else "")


def silent(*_: object) -> None:
    """Ignore a note or progress: the default where no callback is given."""


def printable(text: str) -> str:
    """Return text with every character that a terminal would obey written out, ESC as a backslash and x1b."""
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def spreadsheet_cell(value: Any) -> Any:
    """Return what may stand in a CSV file: text that a spreadsheet would run as a formula begins with ``'``.

    Numbers, also as text, stay as they are.
    """
    if not (isinstance(value, str) and value.startswith(_FORMULA)):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def without_mark(value: Any) -> Any:
    """Undo `spreadsheet_cell`."""
    marked = isinstance(value, str) and value[:1] == "'" and spreadsheet_cell(value[1:]) == value
    return value[1:] if marked else value


def spreadsheet_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose names and texts have passed `spreadsheet_cell`."""
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    safe = table.assign(**{name: table[name].map(spreadsheet_cell) for name in texts})
    return safe.rename(index=spreadsheet_cell, columns=spreadsheet_cell)


class RunFacts:
    """What runs tell alike: their plan, and how fast they were."""

    cells: int
    resumed_cells: int
    seconds: float
    plan: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for ``--json``."""
        return {**self.plan, **{name: value for name, value in vars(self).items() if name != "plan"}}

    @property
    def cells_per_second(self) -> float:
        """Speed of this run."""
        return (self.cells - self.resumed_cells) / self.seconds
