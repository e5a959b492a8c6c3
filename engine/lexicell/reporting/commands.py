"""The commands that make a store and its page again, as they are typed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from lexicell.embedding import DEFAULT_RECIPE, RECIPES
from lexicell.embedding.aligned import DEFAULT_LEXICON
from lexicell.embedding.remake import is_imported
from lexicell.reporting.content import Command
from lexicell.reporting.opened import OpenedRun

__all__ = ["embed_command", "name_of", "report_command"]


def name_of(label: Any) -> str:
    """Name of a file without its folders, which are the user's own."""
    return str(label).rstrip("/").rpartition("/")[2] or str(label)


def embed_command(run: OpenedRun, given: dict[str, Any], *, data: str | None) -> Command:
    """What makes the store again.

    Parameters
    ----------
    run
        The store.
    given
        Options of `lexicell.report` that are options of `lexicell.embed` too.
    data
        Name of the input; None where it is not known.
    """
    facts = run.facts
    if is_imported(facts):
        return Command(
            "The vectors were imported", "lexicell import-embedding DATA VECTORS " + name_of(run.label)
        )
    words = ["lexicell", "embed", data or "IN", name_of(run.label)]
    recipe = str(facts["recipe"])
    preset = RECIPES.get(recipe)
    if preset is not None and recipe != DEFAULT_RECIPE:
        words += ["--recipe", recipe]
    top_k = int(facts["top_k"]) or None
    if preset is None or top_k != preset.top_k:
        words += ["--top-k", str(top_k)] if top_k else []
    if preset is None or str(facts["weight"]) != str(preset.weight):
        words += ["--weight", str(facts["weight"])]
    if str(facts["lexicon"]["name"]) != DEFAULT_LEXICON:
        words += ["--lexicon", str(facts["lexicon"]["name"])]
    masks = [mask for mask in str(facts["genes"]["mask"]).split(",") if mask not in {"none", "projection"}]
    for mask in masks:
        words += ["--mask-genes", mask]
    words += ["--values", str(facts["values"]), "--organism", str(facts["genes"]["organism"])]
    words += _typed(given)
    return Command("Makes the store again", shlex.join(words))


def report_command(run: OpenedRun, output: Path, given: dict[str, Any]) -> Command:
    """What makes the page again; `given` are options as they are typed, None and False for not given."""
    words = ["lexicell", "report", name_of(run.label), output.name, *_typed(given)]
    return Command("Makes this page again", shlex.join(words))


def _typed(given: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, list | tuple):
            for part in value:
                words += [option, str(part)]
        elif value is not None and value is not False:
            words += [option, name_of(value) if isinstance(value, Path) else str(value)]
    return words
