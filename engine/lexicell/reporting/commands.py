"""The commands that make a store and its page again, as they are typed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lexicell.embedding import DEFAULT_RECIPE, RECIPES
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.remake import is_imported
from lexicell.reporting.content import Command
from lexicell.reporting.opened import OpenedRun

__all__ = ["commands_of", "name_of"]

#: Options of `lexicell.report` whose values are files, of which only the name is told.
_FILES = {"annotation", "evaluation", "profile", "projection", "genes", "data", "lexicon", "sets"}
#: Those that are typed otherwise than they are called.
_TYPED = {"color_genes": "--color-gene", "obs_columns": "--obs-column"}
#: Those of `lexicell.embed` too.
_OF_EMBED = ("lexicon", "projection", "genes", "layer", "use_raw", "modality", "follow_links")


def name_of(label: Any) -> str:
    """Name of a file without its folders, which are the user's own."""
    return str(label).rstrip("/").rpartition("/")[2] or str(label)


def commands_of(
    run: OpenedRun, store: Any, output: Path, options: Mapping[str, Any], gene_column: str | None
) -> tuple[Command, ...]:
    """What makes the store and the page again; nothing for what is in memory only, which can't be typed.

    Parameters
    ----------
    run, store
        The store, opened and as it was given.
    output
        The page.
    options
        Of `lexicell.report`, those that are not the default.
    gene_column
        Column of ``var`` that the run was told to read genes from.
    """
    if not isinstance(store, str | Path):
        return ()
    commands = [] if run.counts is not None and "data" not in options else [_embed(run, options, gene_column)]
    if all(_is_typed(value) for value in options.values()):
        words = ["lexicell", "report", name_of(store), output.name, *_words(options)]
        commands.append(Command("Makes this page again", shlex.join(words)))
    return tuple(commands)


def _embed(run: OpenedRun, options: Mapping[str, Any], gene_column: str | None) -> Command:
    facts, name = run.facts, name_of(run.label)
    if is_imported(facts):
        what = "The vectors were imported, with the cells for DATA and what a model wrote for FILES"
        return Command(what, f"lexicell import-embedding FILES {shlex.quote(name)} --data DATA --from KIND")
    data = options.get("data")
    inputs = [name_of(part) for part in _list(data)] if data is not None and _is_typed(data) else ["IN"]
    words = ["lexicell", "embed", *inputs, name]
    preset = RECIPES.get(str(facts["recipe"]))
    if preset is not None and preset.name != DEFAULT_RECIPE:
        words += ["--recipe", preset.name]
    top_k, weight = int(facts["top_k"]) or None, str(facts["weight"])
    if top_k and (preset is None or top_k != preset.top_k):
        words += ["--top-k", str(top_k)]
    if preset is None or weight != str(preset.weight):
        words += ["--weight", weight]
    for mask in str(facts["genes"]["mask"]).split(","):
        words += [] if mask in {"none", "projection"} else ["--mask-genes", mask]
    words += ["--values", str(facts["values"]), "--organism", str(facts["genes"]["organism"])]
    words += [] if gene_column is None else ["--gene-column", gene_column]
    words += ["--dtype", "f16"] if run.dtype == "float16" else []
    words += _words({"obs_columns": run.kept} | {key: options[key] for key in _OF_EMBED if key in options})
    if "lexicon" not in options and str(facts["lexicon"]["name"]) != DEFAULT_LEXICON:
        words += ["--lexicon", str(facts["lexicon"]["name"])]
    known = inputs != ["IN"]
    return Command(
        f"Makes the store again{'' if known else ', with the cells in place of IN'}", shlex.join(words)
    )


def _words(options: Mapping[str, Any]) -> Iterable[str]:
    for name, value in options.items():
        option = _TYPED.get(name, f"--{name.replace('_', '-')}")
        if value is True:
            yield option
            continue
        for part in _list(value):
            yield option
            yield name_of(part) if name in _FILES else str(part)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _is_typed(value: Any) -> bool:
    """Whether a value can be typed: text, a number, or several of these."""
    return all(isinstance(part, str | Path | int | float) for part in _list(value))
