"""Who may import what: nobody a private module of another package, and some packages by their door alone."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = {"lexicell": "engine", "lexicell_kernels": "kernels", "bench": ".", "studies": "."}
#: What others use of these is imported from the package itself, so that its modules are free to change.
DOORS = ("lexicell.counts", "lexicell.store", "lexicell.packing")


@cache
def modules(package: str) -> dict[str, Path]:
    folder = ROOT / PLACES[package]
    paths = sorted((folder / package).rglob("*.py"))
    return {".".join(path.relative_to(folder).with_suffix("").parts): path for path in paths}


def imports(package: str) -> Iterator[tuple[str, str, str]]:
    """What each module of a package imports: itself, the other, and the name that is taken from that."""
    for importer, path in modules(package).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((importer, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{importer} has a relative import"
                yield from ((importer, str(node.module), alias.name) for alias in node.names)


def is_private(module: str) -> bool:
    name = module.rpartition(".")[2]
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("package", PLACES)
def test_nobody_imports_a_private_module_of_another_package(package: str) -> None:
    private = {module for place in PLACES for module in modules(place) if is_private(module)}
    assert private
    broken = [
        f"{importer}: {found}"
        for importer, module, name in imports(package)
        for found in private & {module, f"{module}.{name}"}
        if not importer.startswith(found.rpartition(".")[0] + ".")
    ]
    assert broken == []


@pytest.mark.parametrize("door", DOORS)
def test_what_others_use_of_a_room_is_what_its_door_offers(door: str) -> None:
    offered = importlib.import_module(door).__all__
    broken = [
        f"{importer}: {module}.{name}"
        for package in PLACES
        for importer, module, name in imports(package)
        if not importer.startswith(f"{door}.")
        and (module.startswith(f"{door}.") or (module == door and name not in offered))
    ]
    assert broken == []
