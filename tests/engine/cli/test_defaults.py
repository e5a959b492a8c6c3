"""What the command line, Python, docstrings and the README call the default is the default."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lexicell
from lexicell import embedding
from lexicell.cli import embed, pack, train
from lexicell.embedding import DEFAULT_RECIPE, RECIPES, Options
from lexicell.embedding.plan import DEFAULT_LEXICON

#: Verbs and their functions, and what one thing is called in both where that differs.
TWINS = {
    "embed": (embed.embed, lexicell.embed),
    "pack": (pack.pack, lexicell.pack),
    "train": (train.train, lexicell.train),
}
NAMES = {"mask_genes": "mask", "obs_column": "obs_columns"}


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """By the name in Python; nothing given is None, and an empty list is nothing."""
    found = inspect.signature(function).parameters.values()
    given = {NAMES.get(of.name, of.name): of.default for of in found if of.default is not of.empty}
    return {name: None if default in ((), []) else default for name, default in given.items()}


@pytest.mark.parametrize("verb", TWINS)
def test_a_verb_has_the_defaults_of_its_function(verb: str) -> None:
    typed, called = map(defaults, TWINS[verb])
    shared = typed.keys() & called.keys()
    assert {name: typed[name] for name in shared} == {name: called[name] for name in shared}
    assert {"lexicon", "layer", "use_raw", "resume", "overwrite"} <= shared


def test_in_place_and_to_a_file_have_the_same_defaults() -> None:
    ours, files, plain = map(defaults, (lexicell.tl.embed, lexicell.embed, Options))
    for one, other in ((ours, files), (plain, files)):
        shared = one.keys() & other.keys()
        assert {name: one[name] for name in shared} == {name: other[name] for name in shared}
        assert {"lexicon", "recipe", "top_k", "values", "min_coverage", "mask", "device"} <= shared


def named_default(text: str) -> str:
    """The last recipe that is named where a text speaks of the default."""
    about = re.search(r"[Dd]efault[^;.|]*", text)
    assert about
    return re.findall("|".join(RECIPES), about[0])[-1]


def test_help_docstring_and_readme_name_the_recipes_and_the_default(lexicell: Any, repository: Path) -> None:
    shown = lexicell("embed", "--help").out
    documented = inspect.getdoc(embedding.embed) or ""
    readme = (repository / "README.md").read_text(encoding="utf-8")
    says = {
        "help": (shown, r"--recipe (.*?) -k, --top-k"),
        "docstring": (documented, r" recipe, top_k, weight (.*?; `top_k`)"),
        "README": (readme, r" recipes \| (.*?) \|"),
    }
    for where, (text, pattern) in says.items():
        found = re.search(pattern, " ".join(text.split()))
        assert found, where
        assert set(RECIPES) <= set(re.findall(r"[a-z-]+", found[1])), where
        if where == "README":  # there the default is the one before the word
            assert f"`{DEFAULT_RECIPE}`, the default" in found[1]
        else:
            assert named_default(found[1]) == DEFAULT_RECIPE, where


def test_the_default_recipe_is_used(cells: Any) -> None:
    lexicell.tl.embed(cells)
    assert cells.uns["lexicell"]["recipe"] == DEFAULT_RECIPE
    assert cells.uns["lexicell"]["lexicon"]["name"] == DEFAULT_LEXICON
