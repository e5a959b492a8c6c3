"""Runs from files to a store, as `lexicell embed` makes them, and how their results are checked."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp
import zarr
from numpy.typing import NDArray

from bench.measure import GateError, Taken
from bench.peers.pipelines import block_of
from bench.scenario import Scenario
from bench.suites._reading import open_group
from lexicell.embedding import Options, make_plan
from lexicell.embedding.inputs import Inputs, Output
from lexicell.embedding.plan import Plan
from lexicell.embedding.run import layout_of, run_to_store
from lexicell.errors import LexicellError
from lexicell.store import verify
from lexicell_kernels import CsrBlock, reference, select_topk

__all__ = ["Rounds", "Run", "check_vectors", "opened", "ranges"]

#: Cells that are held against the reference.
SAMPLE = 200
_TOLERANCE = {"float16": 2e-3, "float32": 1e-5}


class Rounds:
    """Seconds for a cell, round by round, of the cases of a group that are held against each other."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    def timed(self, what: str, n: int, run: Callable[[], object]) -> Callable[[], object]:
        """Have the seconds of `run`, which does `n` cells, kept under a name."""
        kept = self._seconds.setdefault(what, [])

        def once() -> object:
            started = time.perf_counter()
            own = run()
            seconds = own.seconds if isinstance(own, Taken) else time.perf_counter() - started
            kept.append(seconds / n)
            return own

        return once

    def of(self, what: str) -> NDArray[np.float64]:
        """Seconds of the rounds that count, so without the first; none where it was not run."""
        return np.array(self._seconds.get(what, ())[1:])


@dataclass(frozen=True, slots=True)
class Run:
    """One input, or several copies of it, and where its vectors go.

    Attributes
    ----------
    path
        The file or store. Where there are several inputs, each is the same.
    """

    path: Path
    inputs: Inputs
    plan: Plan
    output: Output
    workers: int

    def __call__(self, **more: Any) -> None:
        """Embed everything; to a store that is not there, see `clear`."""
        run_to_store(self.plan, self.output, self.inputs, workers=self.workers, **more)

    def clear(self) -> None:
        """Remove the output."""
        shutil.rmtree(self.output.path, ignore_errors=True)

    def gate(self, **more: Any) -> dict[str, Any]:
        """Run, and hold a sample of the store against the reference, of all shards if they are few enough."""
        self.clear()
        self(**more)
        try:
            verify(self.output.path)
        except LexicellError as error:
            raise GateError(str(error)) from error
        rows = self.sample()
        made: Any = zarr.open_group(self.output.path, mode="r")
        quality = {name: made[f"obs/lexicell_{name}"].oindex[rows] for name in ("n_genes", "n_tied")}
        return check_vectors(self.plan, self.counts(rows), made["obsm/X_lexicell"].oindex[rows], quality)

    def sample(self) -> list[int]:
        """Rows of the store: some that follow one another in each shard, at another place in each."""
        layout = layout_of(self.plan, self.output)
        each = -(-SAMPLE // layout.n_shards)
        found: list[int] = []
        for shard in range(layout.n_shards):
            start, stop = layout.rows(shard)
            first = start + (shard * 997) % max(1, stop - start - each)
            found += range(first, min(first + each, stop))
        return found

    def counts(self, rows: Sequence[int]) -> CsrBlock:
        """Counts of rows of the store, as anndata reads them from the file."""
        n = self.plan.cells.source.n_cells // len(self.inputs.paths)
        return _stored_rows(self.path, tuple(row % n for row in rows))


def _options(row: Scenario) -> Options:
    """What the row asks of `lexicell.embed`."""
    return Options(recipe="genept-w") if row.k == "all" else Options(recipe="paper", top_k=int(row.k))


@contextmanager
def opened(path: Path, row: Scenario, out: Path, workers: int, copies: int = 1) -> Iterator[Run]:
    """Plan a run with a table of the row's dimensions, as a projection to so many would make it.

    Parameters
    ----------
    copies
        How many times all cells of `path` are embedded, as so many stores, whose files are links.
    """
    paths = [str(path)]
    if copies > 1:
        places = [out.with_name(f"{out.stem}-{number}{path.suffix}") for number in range(copies)]
        for place in places:
            shutil.copytree(path, place, copy_function=os.link)
        paths = [str(place) for place in places]
    inputs = Inputs(tuple(paths))
    with inputs.open() as source:
        plan = make_plan(source, _options(row))
        table = plan.folded.table
        narrow = replace(table, vectors=np.ascontiguousarray(table.vectors[:, : int(row.p)]))
        plan = replace(plan, folded=replace(plan.folded, table=narrow))
        run = Run(path, inputs, plan, Output(out, "f16"), workers)
        try:
            yield run
        finally:
            run.clear()


@lru_cache(maxsize=4)
def _stored_rows(path: Path, rows: tuple[int, ...]) -> CsrBlock:
    """Counts of some rows, as anndata reads them."""
    x = ad.io.sparse_dataset(open_group(path)["X"])
    return block_of(sp.csr_matrix(sp.vstack([x[start:stop] for start, stop in ranges(rows)])))


def ranges(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges ``(first, last + 1)`` of rows that follow one another."""
    breaks = [i for i in range(1, len(rows)) if rows[i] != rows[i - 1] + 1]
    ends = zip([0, *breaks], [*breaks, len(rows)], strict=True)
    return [(rows[a], rows[b - 1] + 1) for a, b in ends]


def check_vectors(
    plan: Plan, counts: CsrBlock, vectors: Any, quality: dict[str, Any], stored: str = "float16"
) -> dict[str, Any]:
    """Hold embedded cells against the definition; GateError where they differ.

    Parameters
    ----------
    counts
        Of these cells, ``[n, v]``.
    vectors
        ``[n, p]``, in the type `stored`.
    quality
        ``n_genes`` and ``n_tied`` of them, ``[n]``.
    """
    block, table, k = plan.cells.genes.counts(counts, plan.cells.values), plan.folded.table, plan.recipe.top_k
    defined = reference.embed_rows(block, table, k=k, weight=plan.recipe.weight)
    off = float(np.abs(defined.vectors - vectors.astype(np.float64)).max())
    if not off <= _TOLERANCE[stored]:
        msg = f"{plan.cells.source.label}: vectors are off by {off:.2g}"
        raise GateError(msg)
    for name, values in quality.items():
        if not np.array_equal(getattr(defined, name), values):
            msg = f"{plan.cells.source.label}: {name} differ"
            raise GateError(msg)
    if k is not None and not np.array_equal(
        reference.select_topk(block, table, k=k).genes, select_topk(block, table, k=k).genes
    ):
        msg = f"{plan.cells.source.label}: other genes are selected"
        raise GateError(msg)
    return {"reference": "lexicell_kernels.reference, float64", "max_error": off, "cells": block.n_rows}
