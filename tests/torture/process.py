"""The command line in processes that die by SIGKILL, at an instant or at a step of the protocol.

A fork server has imported everything once, so a process starts in a fraction of a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "Kill", "run", "steps_of"]

#: The command line, and what it imports on its way.
_PRELOADED = [
    "anndata.io",
    "lexicell.packing.run",
    "lexicell.cli",
    "lexicell.embedding.run",
    "lexicell_kernels.cpu",
    "onnxruntime",
    "pyarrow.parquet",
    "tests.torture.process",
    "zarr.codecs",
]


@dataclass(frozen=True)
class Kill:
    """When a process dies: after some seconds, or the n-th time that it comes to a step, from 1."""

    after: float | None = None
    step: str = ""
    time: int = 1

    def __str__(self) -> str:
        return f"{self.step} {self.time}" if self.after is None else f"{self.after:.3f} s"


@dataclass(frozen=True)
class Ended:
    """How a process ended; -9 by SIGKILL."""

    code: int
    said: str


def run(arguments: Sequence[str], folder: Path, kill: Kill | None = None, *, count: bool = False) -> Ended:
    """Run ``lexicell`` with some arguments.

    Parameters
    ----------
    arguments
        Of the command line.
    folder
        For what the process says.
    kill
        When it dies.
    count
        Write the steps it comes to into ``folder / "steps"``.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    said = folder / "said"
    process = context.Process(
        target=_child,
        args=(
            list(arguments),
            str(said),
            kill if kill and kill.step else None,
            str(folder / "steps") if count else "",
        ),
    )
    process.start()
    if kill is not None and kill.after is not None:
        process.join(kill.after)
        process.kill()
    process.join(120)
    if process.exitcode is None:
        process.kill()
        msg = f"hangs: {arguments}"
        raise TimeoutError(msg)
    return Ended(process.exitcode, said.read_text() if said.exists() else "")


def steps_of(arguments: Sequence[str], folder: Path) -> list[str]:
    """The steps that an uninterrupted run comes to."""
    ended = run(arguments, folder, count=True)
    if ended.code:
        raise RuntimeError(ended.said)
    return (folder / "steps").read_text().split()


def _child(arguments: list[str], said: str, kill: Kill | None, steps: str) -> None:
    from lexicell.cli import main
    from lexicell.store import steps as steps_module

    with Path(said).open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    seen: dict[str, int] = {}

    def step(name: str) -> None:
        seen[name] = seen.get(name, 0) + 1
        if kill is not None and (name, seen[name]) == (kill.step, kill.time):
            os.kill(os.getpid(), signal.SIGKILL)
        if steps:
            with Path(steps).open("a") as file:
                file.write(name + "\n")

    steps_module.step = step
    main(arguments)
