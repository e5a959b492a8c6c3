"""Brings the stand-in for CuPy in and takes it out again; runs scripts with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["FOLDER", "environment", "run_script", "stand_in"]

FOLDER = Path(__file__).parent / "standin"
_MODULES = ("cupy", "cupyx", "lexicell_kernels.cuda")


@contextmanager
def stand_in() -> Iterator[ModuleType]:
    """Let ``import cupy`` find the stand-in, and the GPU backend be imported afresh.

    Yields
    ------
    module
        ``cupy``.
    """
    before = _taken_out()
    sys.path.insert(0, str(FOLDER))
    try:
        import cupy

        yield cupy
    finally:
        sys.path.remove(str(FOLDER))
        _taken_out()
        sys.modules.update(before)


def _taken_out() -> dict[str, ModuleType]:
    taken = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if any(name == m or name.startswith(f"{m}.") for m in _MODULES)
    }
    for name in taken:
        package, _, attribute = name.rpartition(".")
        if package in sys.modules and package not in taken:  # `from package import module` looks there first
            vars(sys.modules[package]).pop(attribute, None)
    return taken


def environment(**more: str) -> dict[str, str]:
    """Environment of a process that finds the stand-in."""
    path = os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **more}


def run_script(code: str, *arguments: str, timeout: float | None = None, **more: str) -> str:
    """Run `code` in a Python of its own, with the stand-in, and return what it prints.

    Where it fails, AssertionError shows what it wrote to stderr. `more` are environment variables.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
