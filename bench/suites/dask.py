"""One store by threads of this process and by as many Dask processes, whose start is not timed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.measure import Case, Taken
from bench.scenario import Scenario
from bench.suites._kinds import Kind, Parts
from bench.suites._runs import Rounds, Run, opened
from bench.workbench import Missing, Workbench
from lexicell.embedding.distributed import own_processes

__all__ = ["cases"]


class _Group:
    """What both rows share."""

    def __init__(self, bench: Workbench) -> None:
        self.bench, self.stack = bench, ExitStack()
        self.folder, self.rounds = bench.folder / "dask", Rounds()

    def run_of(self, row: Scenario) -> Run:
        path = self.bench.path(row.data, row.storage, self.bench.cells(row))
        self.folder.mkdir(exist_ok=True)
        out = self.folder / f"{row.what}.zarr"
        return self.stack.enter_context(opened(path, row, out, self.bench.threads(row)))


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Threads and processes."""
    group = _Group(bench)
    with group.stack:
        group.stack.callback(shutil.rmtree, group.folder, ignore_errors=True)
        yield [_KINDS[row.what].case(group, row) for row in rows]


def _threads(group: _Group, row: Scenario) -> Parts:
    run, n = group.run_of(row), group.bench.cells(row)
    timed = group.rounds.timed("threads", n, run)
    return {"n": n, "run": timed, "gate": run.gate, "before": run.clear}


def _processes(group: _Group, row: Scenario) -> Parts:
    if find_spec("distributed") is None:
        msg = "needs Dask: pip install lexicell[distributed]"
        raise Missing(msg)
    from distributed import Client

    new_client: Any = Client
    run, n = group.run_of(row), group.bench.cells(row)
    cluster = group.stack.enter_context(own_processes(run.workers))
    client = group.stack.enter_context(new_client(cluster, set_as_default=False))
    address = cluster.scheduler_address

    def by_processes() -> Taken:
        busy, started = _cpu_seconds(client), time.perf_counter()
        run(scheduler=address)
        seconds = time.perf_counter() - started
        return Taken(seconds, _cpu_seconds(client) - busy)

    def facts() -> dict[str, float]:
        threads, processes = (group.rounds.of(what) for what in ("threads", "processes"))
        return {"share": float(np.median(threads / processes))} if len(threads) else {}

    return {
        "n": n,
        "run": group.rounds.timed("processes", n, by_processes),
        "gate": lambda: run.gate(scheduler=address),
        "before": run.clear,
        "facts": facts,
    }


def _cpu_seconds(client: Any) -> float:
    """Of this process and of the workers."""
    return time.process_time() + float(sum(client.run(time.process_time).values()))


_KINDS: dict[str, Kind[_Group]] = {
    "threads": Kind("lexicell, whole run, threads", _threads),
    "processes": Kind("lexicell, whole run, as many Dask processes", _processes),
}
