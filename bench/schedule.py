"""What Dask costs a run: the scheduler's work for a shard, the balance of an atlas, processes and threads.

``python -m bench.schedule [--step load balance pair] [--cells 100000000] [--workers 64] [--store IN.zarr]``

*load* and *balance* run the client, scheduler and workers as they are, all in this process and over TCP, with
workers whose shards take no time (*load*) or sleep (*balance*): what is left is messages. *balance* also goes
through the same schedule in virtual time at several speeds. *pair* embeds a store by two threads and by two
Dask processes in turn, the start of the processes not included, and reports the ratio.
"""

from __future__ import annotations

import argparse
import heapq
import pickle
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
from distributed import LocalCluster, Worker, WorkerPlugin
from distributed.comm.tcp import TCP

from bench import machine
from lexicell.counts import Values
from lexicell.embedding import (
    Advanced,
    BlockEmbedder,
    CandidateGenes,
    FoldedTable,
    Options,
    dask_worker,
    make_plan,
)
from lexicell.embedding.distributed import own_processes, run_distributed
from lexicell.embedding.events import Event, Started
from lexicell.embedding.inputs import Inputs
from lexicell.embedding.local import run_local
from lexicell.embedding.recipe import resolve_recipe
from lexicell.embedding.shards import EmbedShards, ShardJob
from lexicell.store import EmbeddingSink, Layout, Receipt, ShardWriter, Written, create_store
from lexicell_kernels import GeneTable

__all__ = ["main"]

#: Columns of an atlas, genes that a lexicon describes of them, and dimensions.
_COLUMNS, _GENES, _DIM = 36_000, 19_500, 256
_IDLE = 5.0  # seconds that an idle cluster is watched


def atlas_job(n_cells: int) -> ShardJob:
    """A job as large as that of an atlas; its inputs are not there."""
    rng = np.random.default_rng(0)
    rank = np.full(_COLUMNS, -1, np.int32)
    rank[rng.choice(_COLUMNS, _GENES, replace=False)] = rng.permutation(_GENES)
    table = GeneTable(rng.standard_normal((_GENES, _DIM)).astype(np.float16), rank)
    names = pd.Index([f"ENSG{i:011d}" for i in range(_COLUMNS)])
    folded = FoldedTable(table, CandidateGenes(rank, np.arange(_GENES, dtype=np.int32), None))
    embedder = BlockEmbedder(folded, resolve_recipe("paper", 128, None), Values.COUNTS, "cpu", "atlas", names)
    layout = Layout.of(n_cells, _DIM, "float16")
    return ShardJob(
        Inputs(("atlas.zarr",)), EmbedShards(embedder), ShardWriter("out.zarr.partial", EmbeddingSink(layout))
    )


class IdlePlugin(WorkerPlugin):
    """Stands for `ShardPlugin`: the same job and the same receipts, but shards take `seconds` of sleep."""

    seconds: Callable[[int], float] = staticmethod(lambda _: 0.0)

    def __init__(self, job: ShardJob) -> None:
        self._job = job

    def setup(self, worker: Worker) -> None:
        """Nothing is opened."""

    def make(self, number: int) -> tuple[Receipt, int]:
        """Give a receipt as large as a real one."""
        time.sleep(type(self).seconds(number))
        names = ("obsm/X_lexicell/c/{}/0", "obs/lexicell_n_genes/c/{}", "obs/lexicell_coverage/c/{}",
                 "obs/lexicell_n_tied/c/{}")  # fmt: skip
        objects = tuple(Written(name.format(number), 33_554_432, "0" * 64) for name in names)
        return Receipt(number, objects, {"n_empty": 0, "coverage": 60_000.0}), 1_500_000_000


@contextmanager
def cluster(workers: int, seconds: Callable[[int], float]) -> Iterator[tuple[str, Counter[str]]]:
    """A cluster of idle workers in this process; gives its address, and counts messages and their bytes."""
    sent: Counter[str] = Counter()
    write, plugin = TCP.write, dask_worker.ShardPlugin

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        n = await write(self, *args, **kwargs)
        sent["messages"] += 1
        sent["bytes"] += n
        return n

    IdlePlugin.seconds = staticmethod(seconds)
    TCP.write, dask_worker.ShardPlugin = counted, IdlePlugin  # type: ignore[assignment,misc,method-assign]
    try:
        with (
            # Each worker would watch all threads of this process.
            dask.config.set({"distributed.worker.profile.enabled": False}),
            LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
                dashboard_address="127.0.0.1:0", memory_limit=0, silence_logs=50,
            ) as running,
        ):  # fmt: skip
            yield running.scheduler_address, sent
    finally:
        TCP.write, dask_worker.ShardPlugin = write, plugin  # type: ignore[misc,method-assign]


def drive(job: ShardJob, address: str, shards: Sequence[int]) -> dict[str, float]:
    """Wall seconds of a run without its beginning and end, and how long it took to begin."""
    times: list[float] = []

    def listener(event: Event) -> None:
        if isinstance(event, Started | Advanced):
            times.append(time.perf_counter())

    begun = time.perf_counter()
    run_distributed(job, shards, address=address, workers=None, commit=lambda _: None, listener=listener)
    return {"begin": times[0] - begun, "run": times[-1] - times[0]}


def load(n_cells: int, workers: int) -> dict[str, Any]:
    """Measure shards/s, CPU time and bytes of messages for a shard, and what the job costs.

    A cluster that has nothing to do sends heartbeats, and here all of it is one process: what that takes in
    the same time is subtracted.
    """
    job = atlas_job(n_cells)
    shards = range(job.writer.layout.n_shards)
    with cluster(workers, lambda _: 0.0) as (address, sent):

        def now() -> Any:
            return np.array([time.perf_counter(), time.process_time(), sent["messages"], sent["bytes"]])

        drive(job, address, shards[: 2 * workers])
        idle = now()
        time.sleep(_IDLE)
        idle = now() - idle
        start = now()
        few = drive(job, address, shards[:workers])
        middle = now()
        whole = drive(job, address, shards)
        end = now()
    # What a run costs once cancels out between a few shards and all of them.
    spent, more = (end - middle) - (middle - start), len(shards) - workers
    net = (spent - idle * spent[0] / idle[0]) / more
    return {
        "shards": len(shards),
        "workers": workers,
        "job_bytes": len(pickle.dumps(job)),
        "begin_s": round(statistics.median((few["begin"], whole["begin"])), 2),
        "shards_per_s": round(more / (whole["run"] - few["run"])),
        "cpu_ms_per_shard": round(1e3 * float(net[1]), 2),
        "messages_per_shard": round(float(net[2]), 1),
        "bytes_per_shard": round(float(net[3])),
        "idle_bytes_per_s_and_worker": round(float(idle[3] / idle[0]) / workers),
    }


def durations(n: int, mean: float, rng: np.random.Generator) -> Any:
    """Seconds of shards: cells differ in how many genes they have, disks in how busy they are."""
    return mean * rng.lognormal(0, 0.25, n)


def makespan(seconds: Any, speeds: Any, overhead: float = 0.0, serial: float = 0.0) -> float:
    """End of a schedule that gives the next shard to the first worker that is free.

    Parameters
    ----------
    seconds
        Of each shard at speed 1.
    speeds
        Of each worker.
    overhead
        Seconds between two shards of a worker.
    serial
        Seconds that the scheduler is busy with a shard.
    """
    free = [(0.0, worker) for worker in range(len(speeds))]
    scheduler = end = 0.0
    for one in seconds:
        at, worker = heapq.heappop(free)
        scheduler = max(scheduler + serial, at)
        end = scheduler + overhead + one / speeds[worker]
        heapq.heappush(free, (end, worker))
    return max(at for at, _ in free)


def balance(n_cells: int, workers: int, mean: float, serial: float) -> dict[str, Any]:
    """Measure how far a run is from all workers being busy to the end, and work it out for longer shards."""
    rng = np.random.default_rng(1)
    job = atlas_job(n_cells)
    n = job.writer.layout.n_shards
    seconds = durations(n, mean, rng)
    with cluster(workers, lambda number: float(seconds[number])) as (address, _):
        measured = drive(job, address, range(n))["run"]
    even, uneven = np.ones(workers), np.where(np.arange(workers) % 8 == 0, 0.5, 1.0)
    rows = []
    for cells_per_s in (2_000, 20_000, 50_000, 200_000):
        each = durations(n, job.writer.layout.shard_rows / cells_per_s, rng)
        for name, speeds in (("even", even), ("every eighth half as fast", uneven)):
            took = makespan(each, speeds, overhead=0.01, serial=serial)
            rows.append(
                {
                    "cells_per_s_per_worker": cells_per_s,
                    "workers": name,
                    "seconds": round(float(took), 1),
                    "share_of_ideal": round(float(each.sum() / speeds.sum() / took), 3),
                    "shards_per_s": round(float(n / took), 1),
                    "scheduler_busy": round(float(n * serial / took), 4),
                }
            )
    return {
        "shards": n,
        "workers": workers,
        "mean_shard_s": mean,
        "measured_share_of_ideal": round(float(seconds.sum() / workers / measured), 3),
        "virtual_share_of_ideal": round(float(seconds.sum() / workers / makespan(seconds, even)), 3),
        "virtual": rows,
    }


def pair(store: str, rounds: int, workers: int) -> dict[str, Any]:
    """Time two threads and two Dask processes in turn; both write the same shards."""
    inputs, times = Inputs((store,)), []
    with (
        inputs.open() as source,
        tempfile.TemporaryDirectory(dir=Path(store).parent) as folder,
        own_processes(workers) as processes,
    ):
        plan = make_plan(source, Options(top_k=128))
        layout = replace(Layout.of(source.n_cells, plan.dim, "float16"), shard_rows=4096, chunk_rows=2048)

        def run(go: Callable[..., None], **where: Any) -> tuple[float, float]:
            """Seconds of all shards, and seconds for a shard when all workers have made one."""
            at: list[float] = []

            def listener(event: Event) -> None:
                if isinstance(event, Started):
                    at.append(time.perf_counter())

            path = Path(folder) / "out.zarr"
            with create_store(path, EmbeddingSink(layout), {"bench": "schedule"}, mode="new") as out:

                def commit(receipt: Receipt) -> None:
                    out.commit(receipt)
                    at.append(time.perf_counter())

                job = ShardJob(inputs, EmbedShards(plan.embedder), out.writer)
                go(job, shards=out.pending, commit=commit, listener=listener, workers=workers, **where)
            shutil.rmtree(path.with_name("out.zarr.partial"), ignore_errors=True)
            return at[-1] - at[0], (at[-1] - at[workers]) / (layout.n_shards - workers)

        for number in range(rounds + 1):
            both = (
                run(run_local, source=source),
                run(run_distributed, address=processes.scheduler_address),
            )
            if number:  # the first round warms up
                times.append(both)
    return {
        "cells": layout.n_cells,
        "shards": layout.n_shards,
        "threads_s": [round(threads[0], 2) for threads, _ in times],
        "processes_s": [round(others[0], 2) for _, others in times],
        "whole_run": round(statistics.median(a[0] / b[0] for a, b in times), 3),
        "once_under_way": round(statistics.median(a[1] / b[1] for a, b in times), 3),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what Dask costs; print a line for each step and append a record."""
    parser = argparse.ArgumentParser(prog="python -m bench.schedule", description=main.__doc__)
    parser.add_argument("--step", nargs="+", choices=["load", "balance", "pair"], default=["load", "balance"])
    parser.add_argument("--cells", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--mean", type=float, default=2.0, help="seconds of a shard in the step balance")
    parser.add_argument("--store", help="an AnnData-Zarr for the step pair")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=machine.RESULTS / "schedule.jsonl")
    given = parser.parse_args(argv)
    if "pair" in given.step and not given.store:
        parser.error("the step pair needs --store")
    where, found = machine.fingerprint(), {}
    serial = 0.005
    for step in given.step:
        if step == "load":
            found[step] = load(given.cells, given.workers)
            serial = found[step]["cpu_ms_per_shard"] / 1e3
        elif step == "balance":
            found[step] = balance(given.cells, given.workers, given.mean, serial)
        else:
            found[step] = pair(given.store, given.rounds, workers=2)
        print(f"{step}: {found[step]}", flush=True)
    machine.append({"bench": "schedule", "format": 1, "machine": where, **found}, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
