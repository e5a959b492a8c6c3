"""Commands as processes of their own: their time, that of their CPUs, and their peak memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Taken

__all__ = ["Ended", "lexicell", "run_process"]

#: Run argv, print wall seconds, CPU seconds, peak and wait status. Linux counts the memory of the process
#: that starts another into the other's peak, so this bare interpreter, of 10 MB, stands between.
_WATCH = """
import os, sys, time
start = time.perf_counter()
null = os.open(os.devnull, os.O_WRONLY)
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
_, status, usage = os.wait4(pid, 0)
print([time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, status])
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that did what it should.

    Attributes
    ----------
    taken
        Its times, those of its children included.
    peak_mb
        Largest resident set of the process or of one of its children, in 10**6 bytes.
    """

    taken: Taken
    peak_mb: float


def lexicell(*words: str) -> list[str]:
    """Command line of lexicell; FileNotFoundError where it is not installed."""
    beside = Path(sys.executable).with_name("lexicell")
    program = str(beside) if beside.exists() else shutil.which("lexicell")
    if program is None:
        msg = "there is no lexicell command; run: pip install -e ."
        raise FileNotFoundError(msg)
    return [program, *words]


def run_process(line: Sequence[str]) -> Ended:
    """Run a command to its end; RuntimeError with the end of what it said where it fails."""
    with tempfile.TemporaryFile("w+") as errors:
        watcher = subprocess.run(  # noqa: S603
            [sys.executable, "-IS", "-c", _WATCH, *line],
            stdout=subprocess.PIPE, stderr=errors, text=True, check=True,
        )  # fmt: skip
        errors.seek(0)
        said = errors.read()[-2000:]
    seconds, cpu_seconds, peak, status = json.loads(watcher.stdout)
    if code := os.waitstatus_to_exitcode(status):
        msg = f"{' '.join(line)} ended with {code}: {said}"
        raise RuntimeError(msg)
    return Ended(Taken(seconds, cpu_seconds), peak * (1 if sys.platform == "darwin" else 1024) / 1e6)
