"""What a run would cost: shards, bytes, memory, and a time from two seconds of the real work."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lexicell.counts import MAX_NNZ, Scratch, fingerprint
from lexicell.embedding.inputs import DTYPES, Inputs, Output
from lexicell.embedding.plan import Plan
from lexicell.embedding.run import Embedded, layout_of
from lexicell_kernels.cpu import available_cpus

__all__ = ["foresee"]

_SECONDS = 2.0
#: Bytes of a stored value and its column while they are embedded, at most.
_VALUE_BYTES = 8
#: Copies of a shard while it is written: the rows, the encoded ones, and those on their way to the file.
_SHARD_COPIES = 3


def foresee(plan: Plan, output: Output, inputs: Inputs | None, workers: int | None) -> Embedded:
    """Tell what a run would do.

    For a ``.zarr``, shards from all over the input are read and embedded for two seconds by as many threads
    as the run would have, and thrown away; writing them is not measured.

    Parameters
    ----------
    plan, output, inputs, workers
        As for `lexicell.embedding.run.run_to_store`.

    Returns
    -------
    Embedded
        Its `plan` also has shards, workers, bytes and the expected time; sizes are bytes.
    """
    cells = plan.cells
    itemsize = np.dtype(DTYPES[output.dtype]).itemsize
    facts = {**plan.describe(itemsize), "output": str(output.path)}
    if not output.is_h5ad:
        layout = layout_of(plan, output)
        crew = max(1, min(workers or available_cpus(), layout.n_shards))
        spread = np.linspace(0, layout.n_shards - 1, min(64, layout.n_shards)).astype(int).tolist()
        shares = [[layout.rows(number) for number in spread[first::crew]] for first in range(crew)]
        with ThreadPoolExecutor(crew) as pool:
            rate = sum(pool.map(lambda shards: _rate(plan, shards), shares))
        read = {} if inputs is None else {
            "read_bytes": fingerprint(inputs.paths, follow_links=inputs.follow_links).bytes
        }  # fmt: skip
        facts |= {
            "shards": layout.n_shards,
            "shard_cells": layout.shard_rows,
            "workers": crew,
            **read,
            "worker_bytes": MAX_NNZ * _VALUE_BYTES
            + _SHARD_COPIES * layout.shard_rows * layout.dim * itemsize,
            "probed_cells_per_second": round(rate),
            "expected_seconds": round(cells.source.n_cells / rate, 1),
        }
    return Embedded(output.path, cells.source.n_cells, plan.dim, 0.0, 0, cells.coverage, plan=facts)


def _rate(plan: Plan, shards: list[tuple[int, int]]) -> float:
    """Cells that one thread reads and embeds in a second: the first block of each shard in turn."""
    source, embedder, scratch = plan.cells.source, plan.embedder, Scratch()

    def embed(first: int, last: int) -> int:
        embedder.embed(source.read(first, last, scratch), first, source.names, 1)
        return last - first

    spans = [next(source.spans(MAX_NNZ, *rows)) for rows in shards]
    embed(*spans[0])  # opens files and compiles
    cells, started = 0, time.perf_counter()
    for span in itertools.cycle(spans):
        cells += embed(*span)
        if (seconds := time.perf_counter() - started) > _SECONDS:
            break
    return cells / seconds
