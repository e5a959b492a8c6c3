"""How studies write numbers, tables and paragraphs into pages in Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

__all__ = ["joined", "number", "signed", "table", "with_tables", "wrapped"]

_WIDTH = 118


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]).replace("|  |", "| |")


def with_tables(page: str, name: str, tables: str) -> str:
    """Put tables into a page in the place of those that are there; nothing else changes.

    Raises
    ------
    ValueError
        The page has no comments for them.
    """
    begin, end = f"<!-- evaluate:{name} -->", f"<!-- /evaluate:{name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        message = f"the page has no place for {name}: {begin} and {end}"
        raise ValueError(message)
    return page[: page.index(begin) + len(begin)] + f"\n\n{tables}\n\n" + page[page.index(end) :]


def wrapped(text: str) -> str:
    """Break the lines of paragraphs and lists anew; headings, tables and code stay."""
    blocks, is_code = [], False
    for block in text.strip().split("\n\n"):
        was_code = is_code
        is_code ^= block.count("```") % 2 == 1
        if was_code or block.startswith(("#", "|", "```")):
            blocks.append(block)
            continue
        items = re.split(r"(?m)^(?=\* |\d\. )", block)
        filled = [
            textwrap.fill(
                " ".join(item.split()),
                _WIDTH,
                subsequent_indent=" " * len((re.match(r"\* |\d\. ", item) or [""])[0]),
                break_long_words=False,
                break_on_hyphens=False,
            )
            for item in items
            if item
        ]
        blocks.append("\n".join(filled))
    return "\n\n".join(blocks)


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
