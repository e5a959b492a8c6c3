"""Kill a run again and again, going on each time, until it is done; then compare it with an unharmed one."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.process import Kill, run, steps_of

__all__ = ["Campaign", "content", "every_step", "first_times"]


def content(store: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {
        file.relative_to(store).as_posix(): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file()
    }


def committed(store: Path) -> dict[Path, int]:
    """Receipts of an unfinished store, and when they were written."""
    receipts = Path(f"{store}.partial", ".lexicell", "units").glob("*.json")
    return {receipt.relative_to(f"{store}.partial"): receipt.stat().st_mtime_ns for receipt in receipts}


def first_times(steps: Sequence[str]) -> list[Kill]:
    """The first time that a run comes to each of its steps, in that order."""
    return [Kill(step=name) for name in dict.fromkeys(steps)]


def every_step(steps: Sequence[str]) -> list[Kill]:
    """The first, a middle and the last time that a run comes to each of its steps."""
    counts = Counter(steps)
    return [Kill(step=name, time=time) for name, n in counts.items() for time in sorted({1, (n + 1) // 2, n})]


@dataclass
class Campaign:
    """Kills of one command.

    Attributes
    ----------
    command
        A verb and its arguments, without the output.
    folder
        For outputs.
    kills
        How many processes were killed so far.
    kept
        How many units outlived a kill, each counted once for each kill; none of them was made again.
    """

    command: list[str]
    folder: Path
    kills: int = 0
    kept: int = 0
    expected: dict[str, bytes] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    seconds: float = 1.0

    def prepare(self) -> None:
        """Make the store that all others are compared with."""
        import time

        whole = self.folder / "whole.zarr"
        self.steps = steps_of([*self.command, str(whole)], self.folder)
        self.expected = content(whole)
        started = time.perf_counter()
        assert run([*self.command, str(whole), "--overwrite"], self.folder).code == 0
        self.seconds = time.perf_counter() - started
        assert content(whole) == self.expected

    def endure(self, kills: Iterator[Kill]) -> None:
        """Kill one run as often as `kills` says, or until it is done in spite of that; then let it end."""
        out = self.folder / "out.zarr"
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(f"{out}.partial", ignore_errors=True)
        command = [*self.command, str(out), "--resume"]
        before: dict[Path, int] = {}
        for kill in kills:
            ended = run(command, self.folder, kill)
            if ended.code == 0:
                break
            assert ended.code == -9, f"killed at {kill}: {ended.said}"
            self.kills += 1
            assert not out.exists() or content(out) == self.expected, f"killed at {kill}"
            if not out.exists():
                kept = committed(out)
                assert before.items() <= kept.items(), f"killed at {kill}"
                before = kept
                self.kept += len(kept)
        ended = run(command, self.folder)
        assert ended.code == 0, ended.said
        assert content(out) == self.expected
        assert all((out / receipt).stat().st_mtime_ns == written for receipt, written in before.items())
        assert not Path(f"{out}.partial").exists()
        assert run(["verify", str(out)], self.folder).code == 0

    def random_instants(self, seed: random.Random) -> Iterator[Kill]:
        """Instants of a run, one after another."""
        while True:
            yield Kill(after=seed.uniform(0.0, 1.1 * self.seconds))
