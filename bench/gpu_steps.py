"""Steps of `bench.gpu`: each a process of its own, with a time it may take and a line in the record.

A kernel that faults spoils everything later in its process, and one that hangs never comes back; so a step
can be killed, and the next one starts afresh. They share compiled kernels through CuPy's cache on disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import machine

__all__ = ["FORMAT", "ROOT", "Clock", "Journal", "Outcome", "Step", "answer", "run", "run_steps", "said"]

FORMAT = 1
ROOT = Path(__file__).parents[1]
_GRACE = 20.0  # seconds that a step gets beyond its time, before it is killed
_LONGEST = 400  # characters of what a failure says


@dataclass
class Outcome:
    """What a step found.

    Attributes
    ----------
    details
        For the record: numbers by name.
    problems
        One sentence for each thing that is wrong; none where all is well.
    complete
        Whether time sufficed for all of it.
    missing
        What the step needs and this machine has not.
    """

    details: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    complete: bool = True
    missing: str = ""

    @property
    def status(self) -> str:
        """One of ``ok``, ``failed``, ``cut short`` and ``not there``."""
        if self.problems:
            return "failed"
        if self.missing:
            return "not there"
        return "ok" if self.complete else "cut short"


@dataclass(frozen=True)
class Clock:
    """When a step has to end, on `time.monotonic`."""

    end: float

    def __call__(self) -> bool:
        """Whether time is over."""
        return self.left <= 0

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()


@dataclass(frozen=True)
class Step:
    """A part of the run.

    Attributes
    ----------
    heading
        On the screen.
    seconds
        That it may take.
    run
        Does it, in a process of its own.
    """

    heading: str
    seconds: float
    run: Callable[[Clock], Outcome]


@dataclass(frozen=True)
class Journal:
    """Where lines of the record go, as soon as they are known.

    Attributes
    ----------
    paths
        JSON Lines files, appended to.
    run
        Names the run: when it started.
    device
        Name of the GPU.
    """

    paths: Sequence[Path]
    run: str
    device: str

    def write(self, step: str, outcome: Outcome, seconds: float) -> None:
        """Append one line."""
        record = {
            "bench": "gpu",
            "format": FORMAT,
            "run": self.run,
            "device": self.device,
            "step": step,
            "status": outcome.status,
            "seconds": round(seconds, 2),
            "problems": outcome.problems,
            "missing": outcome.missing,
            **outcome.details,
        }
        for path in self.paths:
            machine.append(record, path)


def run_steps(
    steps: Mapping[str, Step], journal: Journal, command: Sequence[str], seconds: float
) -> dict[str, Outcome]:
    """Run all steps, whatever becomes of one.

    Parameters
    ----------
    steps
        By name, in this order.
    journal
        Gets a line for each.
    command
        Arguments behind ``python -m bench.gpu step NAME``.
    seconds
        For all of them together; what one leaves over goes to those after it, up to their own limit.
    """
    end = time.monotonic() + seconds
    outcomes = {}
    for i, (name, step) in enumerate(steps.items(), 1):
        print(f"\n== {i} of {len(steps)}: {step.heading}", flush=True)
        start = time.monotonic()
        given = min(step.seconds, end - start)
        outcome = ask(name, given, command) if given > 1 else Outcome(complete=False)
        taken = time.monotonic() - start
        for problem in outcome.problems:
            print(f"   WRONG: {problem}", flush=True)
        missing = f": {outcome.missing}" if outcome.missing else ""
        print(f"   {outcome.status}{missing} ({taken:.1f} s)", flush=True)
        journal.write(name, outcome, taken)
        outcomes[name] = outcome
    return outcomes


def ask(name: str, seconds: float, command: Sequence[str]) -> Outcome:
    """Run one step as a process; what it prints goes to the screen."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.json"
        line = [sys.executable, "-u", "-m", "bench.gpu", "step", name, *command]
        line += ["--answer", str(file), "--seconds", str(seconds)]
        try:
            ran = run(line, seconds + _GRACE)
        except subprocess.TimeoutExpired:
            return Outcome(problems=[f"no answer in {seconds + _GRACE:.0f} s: ended"])
        if not file.exists():
            return Outcome(problems=[f"ended without an answer, exit status {ran.returncode}"])
        return Outcome(**json.loads(file.read_text(encoding="utf-8")))


def run(line: Sequence[str], seconds: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository; when time is over, end it with all that it started.

    Raises
    ------
    subprocess.TimeoutExpired
        Time is over.
    """
    with subprocess.Popen(line, cwd=ROOT, text=True, start_new_session=True, **options) as process:  # noqa: S603
        try:
            out, errors = process.communicate(timeout=seconds)
        except BaseException:  # an interrupt does not reach another session
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(line, process.returncode, out, errors)


def answer(step: Step, seconds: float, file: Path) -> None:
    """Do a step in this process, and leave its outcome in `file`."""
    try:
        outcome = step.run(Clock(time.monotonic() + seconds))
    except Exception as error:  # whatever it is belongs into the record
        outcome = Outcome(problems=[said(error)])
    file.write_text(json.dumps(asdict(outcome)), encoding="utf-8")


def said(error: Exception) -> str:
    """Put an error into one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_LONGEST] if text else type(error).__name__
