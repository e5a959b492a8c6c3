"""Counts of a file into blocks, and nothing else; ours beside how others read the same file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.measure import Case
from bench.peers.loaders import ANNBATCH_FAIRNESS, LOADERS, Annbatch, Loader
from bench.scenario import Scenario
from bench.suites._kinds import Kind, Parts
from bench.suites._reading import bytes_of, check_sums, read_blocks, sums, sums_of_blocks
from bench.workbench import Missing, Workbench, drop_cache
from lexicell.counts import open_counts

__all__ = ["annbatch", "cases", "loader"]

#: How often a real data set is read in one repeat, since it is small.
_PASSES = 10


@dataclass(slots=True)
class _Files:
    """What the rows of a group share.

    Attributes
    ----------
    stack
        Ends what was started for them.
    """

    bench: Workbench
    stack: ExitStack = field(default_factory=ExitStack)

    def path(self, row: Scenario) -> Path:
        return self.bench.path(row.data, row.storage, self.bench.cells(row))

    def passes(self, row: Scenario) -> int:
        return 1 if self.bench.tiny or row.data == "synthetic" else _PASSES


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Reading of one file, in several ways, or of several files from disk."""
    files = _Files(bench)
    with files.stack:
        yield [_KINDS[row.what].case(files, row) for row in rows]


def _ours(files: _Files, row: Scenario) -> Parts:
    """Each thread reads its share of the rows; opening the file is timed."""
    path, threads = files.path(row), files.bench.threads(row)
    n, passes = files.bench.cells(row), files.passes(row)
    shares = list(pairwise(np.linspace(0, n, threads + 1).astype(int).tolist()))
    from_disk: list[tuple[float, float]] = []  # MB and seconds of each repeat

    def run() -> None:
        before, started = _disk_bytes(), time.perf_counter()
        for _ in range(passes):
            with open_counts(path) as source:
                read_blocks(source, shares, threads)
        from_disk.append(((_disk_bytes() - before) / 1e6, time.perf_counter() - started))

    def gate() -> dict[str, object]:
        with open_counts(path) as source:
            return check_sums(sums_of_blocks(source, shares, threads), row, path, files.bench)

    def facts() -> dict[str, object]:
        known: dict[str, object] = {"bytes_per_cell": bytes_of(path) / n}
        if row.cache == "cold":
            mb, seconds = np.array(from_disk).T
            known |= {"read_mb": float(np.median(mb)), "mb_per_s": float(np.median(mb / seconds))}
        return known

    parts: Parts = {"n": n * passes, "run": run, "gate": gate, "facts": facts}
    return parts | ({"before": lambda: drop_cache(path)} if row.cache == "cold" else {})


def _disk_bytes() -> int:
    """What this process has had the disk read; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


def loader(files: _Files, row: Scenario) -> Parts:
    """One of `LOADERS`."""
    how: Loader = LOADERS[row.what]
    if how.needs and not _is_here(how.needs):
        msg = f"needs the package {how.needs}: pip install {how.needs.replace('.', '-')}"
        raise Missing(msg)
    path, n, passes = files.path(row), files.bench.cells(row), files.passes(row)

    def run() -> None:
        for _ in range(passes):
            for _ in how.load(path):
                pass

    def gate() -> dict[str, object]:
        first, found = 0, np.zeros(4, np.int64)
        for x in how.load(path):
            found += sums(first, x)
            first += x.shape[0]
        return check_sums(found, row, path, files.bench)

    return {"n": n * passes, "run": run, "gate": gate}


def _is_here(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # that which it is a part of
        return False


def annbatch(files: _Files, row: Scenario) -> Parts:
    """annbatch, where there is one."""
    python, path = files.bench.python312, files.path(row)
    running = files.stack.enter_context(Annbatch(python, path))

    def gate() -> dict[str, object]:
        return check_sums(running.sums(), row, path, files.bench)

    return {"n": files.bench.cells(row), "run": running.load, "gate": gate, "facts": running.facts}


_KINDS: dict[str, Kind[_Files]] = {
    "lexicell": Kind("lexicell, {row.storage}, in blocks", _ours),
    "annbatch": Kind("annbatch, in order", annbatch, peer=True, fairness=ANNBATCH_FAIRNESS),
    **{what: Kind(how.label, loader, peer=True, fairness=how.fairness) for what, how in LOADERS.items()},
}
