"""What each command of ``commands.txt`` says that goes wrong."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from pathlib import Path

from lexicell.cli import main

from .inputs import write_inputs

__all__ = ["GOLDEN", "say"]

#: A command on a line, and below it its exit code and the sentence that it ends with.
GOLDEN = Path(__file__).parent / "messages.txt"
_COMMANDS = Path(__file__).parent / "commands.txt"


def say(folder: Path) -> str:
    """Run all commands in an empty `folder`, and give what `GOLDEN` should hold."""
    write_inputs(folder)
    commands = [line for line in _COMMANDS.read_text(encoding="utf-8").splitlines() if line]
    with contextlib.chdir(folder):
        return "\n".join(f"$ lexicell {command}\n{_end(command, folder)}\n" for command in commands)


def _end(command: str, folder: Path) -> str:
    err = io.StringIO()
    code: object = 0
    before = set(os.listdir())  # noqa: PTH208  # names are enough
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        try:
            main(shlex.split(command))
        except SystemExit as ended:
            code = ended.code
    assert code, f"{command} works"
    assert set(os.listdir()) == before, f"{command} leaves something behind"  # noqa: PTH208
    said = err.getvalue().replace(str(folder.resolve()), "HERE").replace(str(folder), "HERE")
    last = said.splitlines()[-1] if said else ""
    return re.sub(r"process \d+", "process N", f"{code} {last.removeprefix('lexicell: error: ')}")
