"""``lexicell export``: each command has the options of its format, and what is typed arrives."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import typer
from tests.engine.cli.test_twins import Called, Option

import lexicell
from lexicell.cli._app import app
from lexicell.cli.export import command_of
from lexicell.exports import FORMATS

FUNCTION = inspect.signature(lexicell.export)
COMMANDS = typer.main.get_command(app)
#: Parameters of `lexicell.export` that no command has.
ONLY_CALLED = {"format", "listener", "options"}


def options(name: str) -> list[Option]:
    found = []
    for key, one in inspect.signature(command_of(name, FORMATS[name])).parameters.items():
        hint, info = get_args(one.annotation)
        parts = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
        found.append(Option(key, one.default, parts, info))
    return found


@pytest.fixture
def arrived(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def record(*args: Any, **given: Any) -> None:
        bound = FUNCTION.bind(*args, **given)
        bound.apply_defaults()
        raise Called({**bound.arguments, **bound.arguments.get("options", {})})

    def run(name: str, *words: str) -> dict[str, Any]:
        monkeypatch.setattr("lexicell.exports.export", record)
        with pytest.raises(Called) as ended:
            COMMANDS(["export", name, *words], standalone_mode=False)
        return dict(ended.value.given)

    return run


@pytest.mark.parametrize("name", FORMATS)
def test_a_command_has_the_options_of_its_format(name: str) -> None:
    form = FORMATS[name]
    typed = {one.name: one.default for one in options(name)}
    unused = {"container"} if form.container is None else set()
    unused |= set() if form.by_lexicon else {"genes"}
    called = FUNCTION.parameters
    own = {field.name: field.default for field in fields(form.options)}
    assert typed.keys() == (called.keys() - ONLY_CALLED - unused) | own.keys() | {"as_json"}
    for key, default in own.items():
        expected = inspect.Parameter.empty if default is MISSING else None if default == () else default
        assert typed[key] == expected, key
    for key in called.keys() & typed.keys():
        default = called[key].default
        assert typed[key] == (None if default == () else default), key


@pytest.mark.parametrize("name", FORMATS)
def test_every_option_is_told(name: str) -> None:
    for one in options(name):
        assert one.info.help, one.name
        assert one.info.help.endswith((".", ")")), one.info.help
        assert "`" not in one.info.help, one.info.help


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_typed_arrives(name: str, arrived) -> None:
    least, required = [], {}
    for one in options(name):
        if one.required:
            typed, required[one.name] = one.other(name)
            least += typed
    for asked in options(name):
        key, words, expected = asked.name, least, dict(required)
        if key == "as_json":
            continue
        if key not in expected:
            typed, expected[key] = asked.other(name)
            words = [*least, *typed]
        given = arrived(name, *words)
        assert str(given[key]) == str(expected[key]), key
        # What is not typed is left to the function, and to the options' own defaults.
        for one in options(name):
            if one.name not in expected and one.name in FUNCTION.parameters:
                assert given[one.name] == FUNCTION.parameters[one.name].default, (key, one.name)


def test_the_list_has_a_line_for_each_format(lexicell) -> None:
    ended = lexicell("export", "--list")
    assert ended.code == 0
    assert all(f"\n{name} " in ended.out for name in FORMATS)


def test_an_unknown_format_names_the_nearest(lexicell) -> None:
    ended = lexicell("export", "genformer", "a", "b")
    assert ended.code == 2
    assert "did you mean geneformer" in ended.err
    assert ended.err.count("\n") == 1


def test_what_counts_consumers_lose_is_printed(lexicell, h5ad, tmp_path) -> None:
    ended = lexicell("export", "counts", h5ad, tmp_path / "out.h5ad")
    assert ended.code == 0, ended.err
    assert "TranscriptFormer: " in ended.err
    assert ended.out.startswith("120 cells -> ")
    looked = lexicell("export", "vectors", h5ad, tmp_path / "never", "--dry-run")
    assert looked.code == 0
    assert "likely bytes" in looked.out
    assert not (tmp_path / "never").exists()
