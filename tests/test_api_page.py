"""docs/api.md has every public name, as its docstring is now."""

from __future__ import annotations

import importlib
import logging
import re
import runpy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from anndata import AnnData

import lexicell

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "api.md").read_text(encoding="utf-8")
#: With which heading people find a name.
NAMES = re.findall(r"(?m)^### `(.+)`$", PAGE)
MODULES = ("lexicell", "lexicell.tl", "lexicell.errors", "lexicell.lexicon", "lexicell_kernels")


def imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def is_told(path: str) -> bool:
    """By this name, or by the one of another module that has it too."""
    return path in NAMES or (
        callable(imported(path)) and any(imported(name) is imported(path) for name in NAMES)
    )


def classes(hint: Any) -> Iterator[type]:
    """What a hint is made of, as far as it is ours."""
    if isinstance(hint, type) and hint.__module__.startswith("lexicell"):
        yield hint
    for part in hint if isinstance(hint, list) else get_args(hint):
        yield from classes(part)


def test_the_page_is_what_the_docstrings_say(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("griffe")
    with caplog.at_level(logging.WARNING):
        made = runpy.run_path(str(DOCS / "make_api.py"))["page"]()
    assert not caplog.messages, "a docstring is not what its signature says"
    stale = next((line for line in made.splitlines() if line not in PAGE.splitlines()), "fewer lines")
    assert made == PAGE, f"docs/api.md is stale, from {stale!r} on: `make api` makes it anew"


@pytest.mark.parametrize("module", MODULES)
def test_no_public_name_is_missing(module: str) -> None:
    public = [f"{module}.{name}" for name in importlib.import_module(module).__all__]
    assert not [path for path in public if not is_told(path)], (
        "name them in docs/make_api.py, then `make api`"
    )


def test_what_functions_take_and_return_is_there() -> None:
    functions = [getattr(module, name) for module in (lexicell, lexicell.tl) for name in module.__all__]
    hints = [get_type_hints(of, localns={"AnnData": AnnData}) for of in functions if hasattr(of, "__code__")]
    used = {one for of in hints for hint in of.values() for one in classes(hint)}
    assert len(used) >= 12
    assert not used - {imported(name) for name in NAMES if name != "lexicell.__version__"}


def test_names_can_be_imported_and_say_something() -> None:
    for name in NAMES:
        imported(name)
    told = re.findall(r"(?m)^- \[`(.+)`\]\(#.*\): *(\S.*)$", PAGE.partition("\n## ")[2].partition("\n## ")[0])
    assert [name for name, _ in told] == NAMES


def test_links_lead_to_one_heading_each() -> None:
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", PAGE))
    anchors = Counter(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    assert not set(re.findall(r"\]\(#(.+?)\)", PAGE)) - anchors.keys()
    assert [anchor for anchor, times in anchors.items() if times > 1] == []
