"""What a page says, before it is a page: text, tables and the columns of its cells; knows no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Block",
    "Categories",
    "Cells",
    "Command",
    "Facts",
    "Folded",
    "Genes",
    "Matrix",
    "Numbers",
    "Origin",
    "Page",
    "Section",
    "Sentence",
    "Table",
    "TableColumn",
]

#: Where a column of cells is from.
Origin: TypeAlias = Literal["obs", "annotation", "sentence", "quality"]


@dataclass(frozen=True)
class Sentence:
    """A sentence; `serious` is what a reader should not miss."""

    text: str
    serious: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Command:
    """What to type in a shell, and what for."""

    what: str
    text: str


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes
    ----------
    title
        Its head.
    kind
        "text"; "number"; "bar": a number of 0 or more, or "signed": of either sign, both also drawn as a bar,
        whose full length is the column's largest absolute value, or `full`.
    form
        Format of its numbers.
    full
        What a bar of full length is; None for the column's largest.
    """

    title: str
    kind: Literal["text", "number", "bar", "signed"] = "text"
    form: str = ".3f"
    full: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers; None where there is no value.

    Attributes
    ----------
    title
        What it shows; may be empty.
    columns, rows
        Its contents.
    note
        A sentence below it; may be empty.
    faint
        Numbers of rows that are controls: shown in grey.
    """

    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[str | float | None, ...], ...]
    note: str = ""
    faint: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Matrix:
    """Numbers from -1 to 1 of all pairs of up to 40 groups, ``[g, g]``."""

    title: str
    names: tuple[str, ...]
    values: NDArray[np.float64]
    note: str = ""


@dataclass(frozen=True)
class Folded:
    """Blocks behind a line that opens them.

    Attributes
    ----------
    summary
        The line.
    blocks
        What it opens.
    category
        Name of the category of the page's group whose cells these are about, so that a button can select
        them; "" for none.
    opened
        Whether it is open at first.
    """

    summary: str
    blocks: tuple[Sentence | Facts | Command | Table | Matrix, ...]
    category: str = ""
    opened: bool = False


Block: TypeAlias = Sentence | Facts | Command | Table | Matrix | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page, with a heading; `name` is its anchor."""

    name: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Categories:
    """A column of names.

    Attributes
    ----------
    name, origin
        What it is called, and where it is from.
    names
        ``c`` categories, at most 200 and "other".
    codes
        ``[n]`` int16 number of each cell's category, -1 for none.
    totals
        ``c`` cells of each among all cells, those that are not shown too.
    colours
        ``c`` colours, ``#rrggbb``.
    note
        A sentence about it; may be empty.
    """

    name: str
    origin: Origin
    names: tuple[str, ...]
    codes: NDArray[np.int16]
    totals: tuple[int, ...]
    colours: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Numbers:
    """A column of numbers.

    Attributes
    ----------
    name, origin
        What it is called, and where it is from.
    values
        ``[n]`` float32, or float64 where float32 would lose digits; NaN for none.
    note
        A sentence about it; may be empty.
    """

    name: str
    origin: Origin
    values: NDArray[np.float32] | NDArray[np.float64]
    note: str = ""


@dataclass(frozen=True)
class Genes:
    """What genes contribute to the vectors of cells.

    Attributes
    ----------
    names
        Symbols of ``m`` genes that cells can be coloured by.
    contributions
        ``[m, n]`` float32; 0 where a cell does not use the gene.
    note
        Which genes these are; a sentence.
    all_names
        Symbols of all genes that `top` speaks of.
    top
        ``[n, t]`` uint16 places in `all_names` of the genes that contribute most to each cell, the first the
        most; what is 0 in `top_contributions` is none.
    top_contributions
        ``[n, t]`` float32.
    """

    names: tuple[str, ...]
    contributions: NDArray[np.float32]
    note: str
    all_names: tuple[str, ...]
    top: NDArray[np.uint16]
    top_contributions: NDArray[np.float32]


@dataclass(frozen=True)
class Cells:
    """The ``n`` cells of a page.

    Attributes
    ----------
    names
        ``[n]`` ids.
    positions
        ``[n, 2]`` float32, finite.
    layout
        What the positions are; a sentence.
    total
        Of how many cells these are a sample, or are all.
    columns
        What they can be coloured by.
    group
        Name of the column that they are coloured by at first, and that the page's groups are of; "" for none.
    genes
        None without counts.
    """

    names: Sequence[str]
    positions: NDArray[np.float32]
    layout: str
    total: int
    columns: tuple[Categories | Numbers, ...]
    group: str = ""
    genes: Genes | None = None


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes
    ----------
    title
        What it is about.
    summary
        A few sentences below the title.
    before, after
        Sections above and below the cells.
    cells
        The cells.
    made
        When and with what it was made; the last line.
    """

    title: str
    summary: tuple[Sentence, ...]
    before: tuple[Section, ...]
    cells: Cells
    after: tuple[Section, ...]
    made: str
