"""How ``docs/explain.md`` writes numbers and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from studies.explain.cells import SETS

__all__ = ["KINDS", "TITLES", "joined", "number", "signed", "table"]

#: What people call the data sets.
TITLES = {key: title for key, (title, _) in SETS.items()}
#: What is done to genes.
KINDS = {"deletion": "taken out", "insertion": "put back"}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]).replace("|  |", "| |")


def joined(names: Iterable[str]) -> str:
    """Names with commas and an "and"."""
    *others, last = list(names) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def number(value: float) -> str:
    """Two decimals, without a leading 0."""
    text = f"{value:.2f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def signed(value: float) -> str:
    """The same, with its sign."""
    return ("-" if value < 0 else "+") + number(abs(value))
