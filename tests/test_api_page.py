"""docs/api.md has every public name, and the site makes a page of each docstring."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from anndata import AnnData

import lexicell

REPOSITORY = Path(__file__).parents[1]
NAMES = re.findall(r"(?m)^   (lexicell\S+)$", (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8"))
MODULES = (
    "lexicell",
    *(f"lexicell.{name}" for name in ("tl", "pl", "errors", "lexicon")),
    "lexicell_kernels",
)
#: Modules, whose names have parts of their own.
PARTS = {"lexicell.tl", "lexicell.pl", "lexicell.errors", "lexicell.__version__"}


def imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def is_listed(path: str) -> bool:
    """By this name, or by the one of another module that has it too."""
    if path in PARTS or path in NAMES:
        return True
    return callable(imported(path)) and any(imported(name) is imported(path) for name in NAMES)


def classes(hint: Any) -> Iterator[type]:
    """What a hint is made of, as far as it is ours."""
    if isinstance(hint, type) and hint.__module__.startswith("lexicell"):
        yield hint
    for part in hint if isinstance(hint, list) else get_args(hint):
        yield from classes(part)


@pytest.mark.parametrize("module", MODULES)
def test_no_public_name_is_missing(module: str) -> None:
    public = [f"{module}.{name}" for name in importlib.import_module(module).__all__]
    assert not [path for path in public if not is_listed(path)], "list them in docs/api.md"


def test_what_functions_take_and_return_is_there() -> None:
    functions = [getattr(module, name) for module in (lexicell, lexicell.tl) for name in module.__all__]
    hints = [get_type_hints(of, localns={"AnnData": AnnData}) for of in functions if hasattr(of, "__code__")]
    used = {one for of in hints for hint in of.values() for one in classes(hint)}
    assert len(used) >= 12
    assert not used - {imported(name) for name in NAMES}


def test_each_name_stands_once_and_can_be_imported() -> None:
    assert len(NAMES) > 150
    assert len(set(NAMES)) == len(NAMES)
    for name in NAMES:
        imported(name)


def test_docstrings_say_what_their_signatures_say(caplog: pytest.LogCaptureFixture) -> None:
    griffe = pytest.importorskip("griffe")
    folders = [REPOSITORY / "engine", REPOSITORY / "kernels"]
    loader = griffe.GriffeLoader(docstring_parser="numpy", search_paths=folders)
    for package in ("lexicell", "lexicell_kernels"):
        loader.load(package)
    loader.resolve_aliases(external=False)
    read = 0
    with caplog.at_level(logging.WARNING):
        for name in NAMES:
            one = loader.modules_collection[name]
            one = one.final_target if one.is_alias else one
            for of in [one, *(one.members.values() if one.is_class else [])]:
                read += bool(of.docstring and of.docstring.parsed)
    assert read > 150
    assert not caplog.messages
