"""A plan becomes a store: which way it is written, what identifies the run, and what a failure leaves.

A ``.zarr`` is made shard by shard; an ``.h5ad`` is one file, written in order, so it can't be continued.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lexicell._say import RunFacts
from lexicell._trace import stage
from lexicell.counts import CountSource, is_mudata
from lexicell.embedding.continuing import settle
from lexicell.embedding.events import Committed, Listener, Note, ignore
from lexicell.embedding.inputs import DTYPES, Inputs, Output
from lexicell.embedding.local import run_local
from lexicell.embedding.pipeline import embed_source
from lexicell.embedding.plan import Plan
from lexicell.embedding.profile import Profile
from lexicell.embedding.shards import EmbedShards, ShardJob, ShardMaker
from lexicell.errors import GpuMemoryError, PartialError, ResourceError, WriteError
from lexicell.store import (
    QUALITY,
    EmbeddingSink,
    Layout,
    Receipt,
    ShardedStore,
    Sink,
    check_columns,
    create_h5ad,
    create_store,
    write_obs,
)

__all__ = ["Embedded", "layout_of", "run_sharded", "run_to_store", "tell_empty"]


@dataclass(frozen=True)
class Embedded(RunFacts):
    """What a run did.

    Attributes
    ----------
    output
        Where the vectors are.
    cells, dim
        Their shape, ``[N, p]``.
    seconds
        Wall time from the first block to the finished file.
    empty_cells
        Cells without any described gene: zero rows.
    coverage
        Mean share of a cell's counts that lies in described genes.
    resumed_cells
        Cells that earlier runs had embedded.
    plan
        What was decided, as plain values.
    """

    output: Path | str
    cells: int
    dim: int
    seconds: float
    empty_cells: int
    coverage: float
    resumed_cells: int = 0
    plan: Mapping[str, Any] = field(default_factory=dict)


def layout_of(plan: Plan, output: Output) -> Layout:
    """How a ``.zarr`` of this plan is cut into shards."""
    return Layout.of(plan.cells.source.n_cells, plan.dim, DTYPES[output.dtype])


def run_to_store(
    plan: Plan,
    output: Output,
    inputs: Inputs | None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    listener: Listener = ignore,
    profile: Profile | None = None,
) -> Embedded:
    """Carry out a plan.

    Parameters
    ----------
    plan
        What to do.
    output
        Where to write it.
    inputs
        What ``plan.cells.source`` was opened from; None for what is in memory only.
    workers
        Threads, or with `scheduler` processes; None for as many as there are CPUs.
    scheduler
        Address of a Dask scheduler, or ``"local"`` for processes of this machine; None for threads.
    listener
        Is told the progress.
    profile
        Records where the time goes.

    Raises
    ------
    PartialError
        The run could not go on, but what is done can be continued.
    LexicellError
        See `lexicell.embed`.
    """
    copied = _copied(output, inputs)
    if copied:
        plan.cells.source.read_obs(output.obs_columns, 0, 0)  # they are there
    else:
        check_columns(plan.cells.source, output.obs_columns, present=QUALITY)
    with nullcontext() if profile is None else profile.here():
        if output.is_h5ad:
            done = _run_in_order(plan, output, copied, listener)
        else:
            done = _run_shards(plan, output, inputs, workers, scheduler, listener)
    tell_empty(done.empty_cells, listener)
    return replace(done, plan=plan.describe(np.dtype(DTYPES[output.dtype]).itemsize))


def tell_empty(n: int, listener: Listener) -> None:
    """Tell how many cells have a zero row."""
    if n:
        listener(
            Note(
                f"{n:,} cells have no described gene: their rows are zero, and lexicell_n_genes is 0 there",
                serious=True,
            )
        )


def _copied(output: Output, inputs: Inputs | None) -> str | None:
    """The one h5ad that the output is a copy of, with every column that it has, if it is one."""
    only = inputs.paths[0] if inputs is not None and len(inputs.paths) == 1 else ""
    return only if output.is_h5ad and only.endswith(".h5ad") and not is_mudata(only) else None


def _run_in_order(plan: Plan, output: Output, copied: str | None, listener: Listener) -> Embedded:
    """Write an h5ad, first row to last."""
    source, started = plan.cells.source, time.perf_counter()
    with ExitStack() as written:
        file = written.enter_context(
            create_h5ad(
                output.path,
                n_cells=source.n_cells,
                dim=plan.dim,
                dtype=DTYPES[output.dtype],
                copy_of=copied,
                overwrite=output.mode == "overwrite",
            )
        )
        quality = embed_source(source, plan.embedder, file.append, listener=listener)
        with stage("finish"):
            obs = source.read_obs(() if copied else output.obs_columns, 0, source.n_cells)
            for name, column in quality.columns("lexicell").items():
                obs[name] = column
            file.finish(obs, plan.provenance())
            written.close()  # here, since it takes its time to get its name
    return Embedded(
        output.path,
        source.n_cells,
        plan.dim,
        time.perf_counter() - started,
        quality.n_empty,
        float(quality.coverage.mean()),
    )


def _run_shards(
    plan: Plan,
    output: Output,
    inputs: Inputs | None,
    workers: int | None,
    scheduler: str | None,
    listener: Listener,
) -> Embedded:
    """Write a Zarr store shard by shard."""
    source, started = plan.cells.source, time.perf_counter()
    layout = layout_of(plan, output)
    with stage("plan"):
        run = settle(plan, output, inputs, layout)
    with run_sharded(
        EmbeddingSink(layout),
        EmbedShards(run.embedder, run.arithmetic),
        source,
        output,
        inputs,
        run.identity,
        table=run.table,
        workers=workers,
        scheduler=scheduler,
        listener=listener,
    ) as (store, resumed):
        if not store.complete:
            with stage("finish"):
                store.finish(
                    lambda root: write_obs(root, source, output.obs_columns, present=QUALITY),
                    plan.provenance() | {"projection": run.identity["projection"]},
                )
        facts = list(store.facts.values())
    return Embedded(
        output.path,
        source.n_cells,
        plan.dim,
        time.perf_counter() - started,
        sum(int(of["n_empty"]) for of in facts),
        sum(float(of["coverage"]) for of in facts) / source.n_cells,
        resumed,
    )


@contextmanager
def run_sharded(
    sink: Sink,
    maker: ShardMaker,
    source: CountSource,
    output: Output,
    inputs: Inputs | None,
    identity: Mapping[str, Any],
    *,
    table: bytes | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    listener: Listener = ignore,
) -> Iterator[tuple[ShardedStore, int]]:
    """Make all shards that are missing, in threads or on a cluster; the block then finishes the store.

    Parameters
    ----------
    sink, maker
        What is written, and what makes it.
    source, inputs
        The opened counts, and where they are; None for what is in memory only.
    output
        Where to write.
    identity, table
        See `lexicell.store.create_store`.
    workers, scheduler, listener
        See `run_to_store`.

    Yields
    ------
    tuple
        The store, and the cells that earlier runs had made.

    Raises
    ------
    PartialError
        The run could not go on, but what is done can be continued.
    """
    layout = sink.layout
    with ExitStack() as opened:
        with stage("plan"):
            keep = inputs is not None
            store = opened.enter_context(
                create_store(output.path, sink, identity, mode=output.mode, keep=keep, table=table)
            )
        opened.enter_context(_telling_what_is_kept(store, layout, listener))
        resumed = sum(stop - start for start, stop in map(layout.rows, store.facts))

        def commit(receipt: Receipt) -> None:
            with stage("write"):
                store.commit(receipt)
            listener(Committed(receipt.shard, len(store.facts), layout.n_shards))

        job = ShardJob(inputs, maker, store.writer)
        if store.pending and scheduler is None:
            run_local(job, source, store.pending, workers=workers, commit=commit, listener=listener)
        elif store.pending:
            from lexicell.embedding.distributed import run_distributed

            run_distributed(
                job,
                store.pending,
                address=None if scheduler == "local" else scheduler,
                workers=workers,
                commit=commit,
                listener=listener,
            )
        yield store, resumed


@contextmanager
def _telling_what_is_kept(store: ShardedStore, layout: Layout, listener: Listener) -> Iterator[None]:
    """Say what an early end leaves, and make a failure to write one that can be continued."""
    try:
        yield
    except BaseException as error:
        if not store.facts or not store.keep:
            raise
        kept = f"{len(store.facts):,} of {layout.n_shards:,} shards are kept: go on with --resume"
        if isinstance(error, WriteError | GpuMemoryError | ResourceError):
            msg = f"{error}; {kept}"
            raise PartialError(msg) from error
        listener(Note(kept, serious=True))
        raise
