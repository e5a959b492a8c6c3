"""How the text of a gene is put together from the columns of a table."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lexicell._say import listed
from lexicell.errors import InputError
from lexicell.lexicon.text.clean import tidy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lexicell.lexicon.text.columns import Columns

__all__ = ["DEFAULT_RECIPE", "GO_ASPECTS", "RECIPES", "Composed", "TextRecipe", "choose_recipe"]

#: Parts, in the order in which they follow each other in a text.
RECIPES = ("summary", "name+summary", "name", "go", "name+go+summary")
DEFAULT_RECIPE = "name+summary"

#: What the part "go" reads: (role in `Columns`, words before it).
GO_ASPECTS = (
    ("go", "Gene Ontology"),
    ("go_mf", "Molecular function"),
    ("go_bp", "Involved in"),
    ("go_cc", "Located in"),
)
_READS = {
    "name": ("symbol", "name"),
    "go": tuple(role for role, _ in GO_ASPECTS),
    "summary": ("summary",),
}
_SHOWN = {"name": "symbols or names", "go": "GO terms", "summary": "summaries"}

_GO_ID = re.compile(r"\s*\[?\bGO:\d{7}\b\]?")
_SENTENCE_END = (".", "!", "?", '."', ".'", ".)")
# Escaped brackets and braces, a column, a bracket, and what stands between them.
_TOKEN = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{([^{}]*)\}|[\[\]{}]|[^\[\]{}]+")


class Composed(NamedTuple):
    """A text, what it was made of, and whether a summary is in it.

    What it was made of are the parts of a recipe that the row had, "name+summary" or "name", or it is
    "template", or the name of the column that is the text.
    """

    text: str
    made_of: str
    has_summary: bool = False


class TextRecipe(Protocol):
    """Something that makes a text from the columns of a row."""

    @property
    def name(self) -> str:
        """What stands in the manifest of a lexicon."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table that are read."""
        ...

    def compose(self, values: Mapping[str, str]) -> Composed:
        """Make a text of `values`, column -> cleaned text; empty where the row says nothing."""
        ...


def choose_recipe(path: Path, present: Sequence[str], columns: Columns, recipe: str) -> TextRecipe:
    """Return the recipe of that name, or the template, for the table at `path`.

    Parameters
    ----------
    path
        The table, for messages.
    present
        Names of its columns.
    columns
        Which of them holds what.
    recipe
        One of `RECIPES`, or a template.

    Raises
    ------
    InputError
        If there is no such recipe, the template is not well formed, or the table lacks its columns.
    """
    if recipe in RECIPES:
        return _named(path, present, columns, recipe)
    if "{" in recipe:
        return _template(path, present, columns, recipe)
    near = difflib.get_close_matches(recipe, RECIPES, n=2, cutoff=0.5)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    message = (
        f"There is no text recipe {recipe!r}{hint}; there are {', '.join(RECIPES)}, and templates with names "
        "of columns in braces."
    )
    raise InputError(message)


@dataclass(frozen=True)
class _NamedRecipe:
    name: str
    roles: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.roles.values()))

    def compose(self, values: Mapping[str, str]) -> Composed:
        fields = {role: values[column] for role, column in self.roles.items()}
        parts = {part: _sentence(part, fields) for part in self.name.split("+")}
        parts = {part: text for part, text in parts.items() if text}
        return Composed(_joined(list(parts.values())), "+".join(parts), "summary" in parts)


def _named(path: Path, present: Sequence[str], columns: Columns, name: str) -> _NamedRecipe:
    roles: dict[str, str] = {}
    lacking = []
    for part in name.split("+"):
        available = {role: column for role in _READS[part] if (column := getattr(columns, role)) is not None}
        roles.update(available)
        if not available:
            lacking.append(part)
    # Names are only ever a start, and of GO terms and summaries one is enough.
    informative = [part for part in name.split("+") if part != "name"] or ["name"]
    if all(part in lacking for part in informative):
        wanted_parts = " or ".join(_SHOWN[part] for part in informative)
        message = (
            f"{path} has no column of {wanted_parts} by a usual name for the recipe {name!r}; name one in a "
            f"template, in braces: there are {listed(present)}."
        )
        raise InputError(message)
    return _NamedRecipe(name, roles)


def _sentence(part: str, fields: Mapping[str, str]) -> str:
    if part == "summary":
        return fields.get("summary", "")
    if part == "go":
        aspects = ((words, _terms(fields.get(role, ""))) for role, words in GO_ASPECTS)
        return " ".join(f"{words}: {terms}." for words, terms in aspects if terms)
    symbol, name = fields.get("symbol", ""), fields.get("name", "")
    if not symbol or not name or symbol.casefold() == name.casefold():
        return symbol or name
    return f"{symbol} ({name})"


def _terms(text: str) -> str:
    terms = (_GO_ID.sub("", term).strip() for term in re.split(r"[;|]", text))
    return "; ".join(dict.fromkeys(term for term in terms if term))


def _joined(parts: Sequence[str]) -> str:
    *leading, last = parts or ("",)
    return " ".join([*(part if part.endswith(_SENTENCE_END) else f"{part}." for part in leading), last])


@dataclass(frozen=True)
class _Column:
    name: str


@dataclass(frozen=True)
class _Template:
    name: str
    parts: tuple[tuple[str | _Column, ...], ...]  # every second one stands in brackets
    summary: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        names = (piece.name for part in self.parts for piece in part if isinstance(piece, _Column))
        return tuple(dict.fromkeys(names))

    def compose(self, values: Mapping[str, str]) -> Composed:
        if not any(values[column] for column in self.columns):
            return Composed("", "template")
        text = ""
        for number, part in enumerate(self.parts):
            shown = [piece if isinstance(piece, str) else values[piece.name] for piece in part]
            if number % 2 == 0 or all(shown):
                text += "".join(shown)
        return Composed(tidy(text), "template", bool(self.summary and values.get(self.summary)))


def _template(path: Path, present: Sequence[str], columns: Columns, template: str) -> _Template:
    lower = {name.lower(): name for name in reversed(present)}
    parts: list[list[str | _Column]] = [[]]
    for match in _TOKEN.finditer(template):
        token, inside = match.group(), len(parts) % 2 == 0
        if match.group(1) is not None:
            name = match.group(1)
            column = name if name in present else lower.get(name.lower())
            if column is None:
                message = f"{path} has no column {name!r} for the template; there are {listed(present)}."
                raise InputError(message)
            parts[-1].append(_Column(column))
        elif token in {"[[", "]]", "{{", "}}"}:
            parts[-1].append(token[0])
        elif token in {"{", "}"} or token == ("[" if inside else "]"):
            raise _malformed(template, match.start())
        elif token in {"[", "]"}:
            if inside and not any(isinstance(piece, _Column) for piece in parts[-1]):
                raise _malformed(template, match.start())
            parts.append([])
        else:
            parts[-1].append(token)
    if len(parts) % 2 == 0:
        raise _malformed(template, len(template))
    return _Template(template, tuple(tuple(part) for part in parts), columns.summary)


def _malformed(template: str, position: int) -> InputError:
    message = (
        f"The template {template!r} is not well formed at character {position + 1}: columns stand in {{}}, "
        "parts that may be left out, with at least one column, in [], and these characters themselves are "
        "written twice."
    )
    return InputError(message)
