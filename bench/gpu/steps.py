"""Steps of `bench.gpu`: each a process of its own, with a time it may take and a line in the record.

A kernel that faults spoils everything later in its process, and one that hangs never comes back; so a step
can be killed, and the next one starts afresh. They share compiled kernels through CuPy's cache on disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine

__all__ = [
    "FORMAT", "PROGRAM", "ROOT", "Clock", "Journal", "Outcome", "Step", "answer", "ask", "end_with_parent",
    "run", "run_steps", "said", "without_paths",
]  # fmt: skip

FORMAT = 2
ROOT = Path(__file__).parents[2]
#: What Python gets to start this program once more.
PROGRAM: tuple[str, ...] = ("-m", "bench.gpu")
_LEAST = 3.0  # seconds that a step is started for
_RESERVED = 6.0  # seconds before a step is ended, at which it is to finish by itself ...
_SHARE = 0.2  # ... or this share of its time
_LONGEST = 400  # characters of what a failure says
_PR_SET_PDEATHSIG = 1


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
        What the step needs and this machine has not, or that no time was left to begin it.
    ended
        How it ended, where it did not by itself.
    """

    details: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    complete: bool = True
    missing: str = ""
    ended: str = ""

    @property
    def status(self) -> str:
        """One of ``ok``, ``failed``, ``skipped`` and ``timed out``."""
        if self.problems:
            return "failed"
        if self.missing:
            return "skipped"
        return "ok" if self.complete else "timed out"

    @property
    def reason(self) -> str:
        """Why it is not ``ok``, in a sentence; empty where it is."""
        late = "" if self.complete else self.ended or "time was over before all of it was done"
        return "; ".join(self.problems) or self.missing or late

    @property
    def fine(self) -> bool:
        """Whether nothing was wrong and time sufficed."""
        return self.complete and not self.problems


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
    expected
        Seconds that it was foretold to take on an H100.
    run
        Does it, in a process of its own.
    """

    heading: str
    seconds: float
    expected: float
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
            "time": datetime.now(UTC).isoformat(timespec="seconds"),  # the same in all files
            "bench": "gpu",
            "format": FORMAT,
            "run": self.run,
            "device": self.device,
            "step": step,
            "status": outcome.status,
            "reason": outcome.reason,
            "seconds": round(seconds, 2),
            "problems": outcome.problems,
            **outcome.details,
        }
        for path in self.paths:
            machine.append(record, path)


def run_steps(
    steps: Mapping[str, Step],
    journal: Journal,
    command: Sequence[str],
    until: float,
    outcomes: dict[str, Outcome],
) -> None:
    """Run all steps, whatever becomes of one; each has its line in the journal before the next begins.

    Parameters
    ----------
    steps
        By name, in this order.
    journal
        Gets a line for each.
    command
        Arguments behind ``python -m bench.gpu step NAME``.
    until
        When all of them are over, on `time.monotonic`: what one leaves over goes to those after it, up to
        their own limits, and those for which nothing is left are skipped.
    outcomes
        Gets what became of each, by name.

    Raises
    ------
    KeyboardInterrupt
        The running step was ended, and its line says so.
    """
    for i, (name, step) in enumerate(steps.items(), 1):
        print(f"\n== {i} of {len(steps)}: {step.heading}", flush=True)
        start = time.monotonic()
        given = min(step.seconds, until - start)
        try:
            outcome = (
                ask(name, given, command)
                if given >= _LEAST
                else Outcome(missing="no time was left for it", complete=False)
            )
        except KeyboardInterrupt:
            journal.write(name, Outcome(problems=["interrupted"], complete=False), time.monotonic() - start)
            raise
        taken = time.monotonic() - start
        for problem in outcome.problems:
            print(f"   WRONG: {problem}", flush=True)
        reason = "" if outcome.problems or not outcome.reason else f": {outcome.reason}"
        print(f"   {outcome.status}{reason} ({taken:.1f} s)", flush=True)
        journal.write(name, outcome, taken)
        outcomes[name] = outcome


def ask(name: str, seconds: float, command: Sequence[str]) -> Outcome:
    """Run one step as a process and end it when `seconds` are over; what it prints goes to the screen."""
    until = time.monotonic() + seconds - min(_RESERVED, _SHARE * seconds)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.json"
        line = [sys.executable, "-u", *PROGRAM, "step", name, *command]
        line += ["--answer", str(file), "--until", str(until)]
        try:
            ran = run(line, seconds)
        except subprocess.TimeoutExpired:
            return Outcome(complete=False, ended=f"no answer in {seconds:.0f} s: ended")
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
            _end(process.pid)
            raise
    return subprocess.CompletedProcess(line, process.returncode, out, errors)


def _end(pid: int) -> None:
    """End the sessions of a process and of those below it: what a step runs has one of its own."""
    for one in [pid, *_below(pid)]:
        with contextlib.suppress(OSError):
            if os.getpgid(one) == one:
                os.killpg(one, signal.SIGKILL)
            else:
                os.kill(one, signal.SIGKILL)


def _below(pid: int) -> list[int]:
    """All processes that one has started, and theirs; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, open_ = [], [pid]
    while open_:
        below = children.get(open_.pop(), [])
        found += below
        open_ += below
    return found


def end_with_parent() -> None:
    """Let Linux end this process when that which started it ends, however that comes about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def answer(step: Step, until: float, file: Path) -> None:
    """Do a step in this process, and leave its outcome in `file`, all of it or nothing."""
    try:
        outcome = step.run(Clock(until))
    except Exception as error:  # whatever it is belongs into the record
        outcome = Outcome(problems=[said(error)])
    part = file.with_suffix(".part")
    part.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    part.replace(file)


def said(error: Exception) -> str:
    """Put an error into one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_LONGEST] if text else type(error).__name__


def without_paths(text: str) -> str:
    """Leave only the last part of what looks like a path: records name no folders."""
    return " ".join(word if "/" not in word else word.rsplit("/", 1)[-1] for word in text.split())
