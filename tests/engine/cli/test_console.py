"""Whatever a file calls its genes, cells and types, the terminal only shows it."""

from __future__ import annotations

import json
import logging

import pytest

from lexicell.cli import _console

NAME = "\x1b[2J\x1b]0;owned\x07\rB cell\u202e\ud800"
SHOWN = r"\x1b[2J\x1b]0;owned\x07\rB cell\u202e\ud800"

PRINTERS = {
    "result": lambda: _console.result(NAME),
    "facts": lambda: _console.facts({"name": NAME, "cells": 3}),
    "name of a fact": lambda: _console.facts({NAME: 1}),
    "table": lambda: _console.table(("type", "cells"), [(NAME, "3"), ("B", "12")]),
    "header": lambda: _console.table((NAME,), [("3",)]),
    "markdown": lambda: _console.markdown(f"# {NAME}"),
    "note": lambda: _console.note(NAME),
    "table of notes": lambda: _console.table(("type",), [(NAME,)], _console.note),
    "error": lambda: _console.error(NAME),
}


@pytest.mark.parametrize("printer", PRINTERS)
def test_names_are_written_out(capsys, printer):
    PRINTERS[printer]()
    said = "".join(capsys.readouterr())
    assert SHOWN in said
    assert all(character.isprintable() or character == "\n" for character in said)


def test_a_terminal_that_shows_markdown_gets_none_of_it_either(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _console.markdown(f"# {NAME}")
    assert "owned" in (said := capsys.readouterr().out)
    assert not set("\x07\r\u202e") & set(said)


def test_a_row_of_a_table_is_one_line_and_columns_stay_aligned(capsys):
    _console.table(("type", "cells"), [("two\nlines", "3"), ("\x1b[0m", "12")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert {line.rindex(end) + len(end) for line, end in zip(lines[2:], ("3", "12"), strict=True)} == {
        len(lines[2])
    }


def test_json_is_read_back_as_it_was(capsys):
    _console.result_json({"name": NAME + "\x7f"})
    assert json.loads(capsys.readouterr().out) == {"name": NAME + "\x7f"}


def test_a_path_in_an_error_is_written_out(lexicell):
    ended = lexicell("genes", "info", "\x1b[2Jnowhere")
    assert (ended.code, ended.out) == (2, "")
    assert "nowhere" in ended.complaint
    assert "\x1b" not in ended.err


def test_on_a_terminal_a_bar_tells_that_the_kernel_is_compiled(monkeypatch, capsys):
    logger = logging.getLogger("lexicell_kernels")
    for terminal in (True, False):
        monkeypatch.setattr(_console.sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        with _console.bar("embedding", "cells"):
            logger.info("compiling")
        assert ("compiling" in capsys.readouterr().err) == terminal
    assert not logger.handlers
