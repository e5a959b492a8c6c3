"""From a file to a finished store, its tables and ``COMPLETE`` included; and reading and computing alone.

If nothing overlapped and nothing else cost time, a run would reach ``1 / (1 / read + 1 / compute)`` cells/s:
`share` is what it reaches of that.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure import Case, GateError
from bench.peers.counts import Counts, in_threads
from bench.peers.dense_topk import topk_by_argpartition
from bench.peers.loaders import ANNBATCH_FAIRNESS, LOADERS, Annbatch
from bench.peers.pipelines import embed_by_argpartition, embed_by_scanpy
from bench.process import lexicell, run_process
from bench.scenario import Scenario
from bench.suites._kinds import Kind, Parts
from bench.suites._reading import bytes_of, read_blocks
from bench.suites._runs import Rounds, Run, check_vectors, opened, ranges
from bench.workbench import Missing, Workbench, drop_cache
from lexicell.counts import MAX_NNZ, concat_rows
from lexicell.embedding.plan import Plan
from lexicell.embedding.profile import Profile
from lexicell.embedding.run import layout_of
from lexicell_kernels import CsrBlock, GeneTable, embed_rows, reference

__all__ = ["cases"]

#: Cells of the largest file that is made; more cells are several times the same.
BASE = 100_000
#: Blocks in memory for computing alone, more than any cache holds, and how often each is embedded.
_BLOCKS, _PASSES = 12, 4
#: From so many cells on, a run takes ten seconds, and so few rounds count.
_MANY, _ROUNDS = 1_000_000, 3


class _Group:
    """What the rows of a group share: plans, since each takes a second, and times of a run and its parts."""

    def __init__(self, bench: Workbench, name: str) -> None:
        self.bench, self.stack = bench, ExitStack()
        self.folder = bench.folder / f"embed-{name}"
        self._runs: dict[tuple[str, ...], Run] = {}
        self.rounds = Rounds()

    def path(self, row: Scenario) -> Path:
        return self.bench.path(row.data, row.storage, self.bench.cells(row) // _copies(row))

    def run_of(self, row: Scenario) -> Run:
        key = (row.data, row.cells, row.storage, row.k, row.p, row.threads)
        if key not in self._runs:
            self.folder.mkdir(exist_ok=True)
            out = self.folder / f"out-{len(self._runs)}.zarr"
            plan = opened(self.path(row), row, out, self.bench.threads(row), _copies(row))
            self._runs[key] = self.stack.enter_context(plan)
        return self._runs[key]

    def share(self) -> dict[str, float]:
        """What a run reaches of what its parts allow; empty where not all of them were timed."""
        run, read, compute = (self.rounds.of(what) for what in ("run", "read", "compute"))
        if not len(run) == len(read) == len(compute) > 0:
            return {}
        return {"share": float(np.median((read + compute) / run))}


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Runs, their parts, and what others do."""
    group = _Group(bench, rows[0].group)
    with group.stack:
        group.stack.callback(shutil.rmtree, group.folder, ignore_errors=True)
        yield [_KINDS[row.what].case(group, row) for row in rows]


def _copies(row: Scenario) -> int:
    """How many times the cells of a file make the cells of the row."""
    return max(1, int(row.cells) // BASE) if row.cells.isdigit() else 1


def _run(group: _Group, row: Scenario) -> Parts:
    """Each repeat writes a new store."""
    run, n = group.run_of(row), group.bench.cells(row)
    cold = row.cache == "cold"

    def before() -> None:
        run.clear()
        if cold:
            drop_cache(run.path)

    def facts() -> dict[str, object]:
        known: dict[str, object] = {
            "bytes_per_cell": bytes_of(run.path) * _copies(row) / n,
            "bytes_per_cell_out": bytes_of(Path(run.output.path)) / n,
        }
        if row.group == "cells":
            known["peak_mb"] = _peak(run, row)
        if not cold and (share := group.share()):
            run.clear()
            profile = Profile()
            run(profile=profile)
            known |= {"stages": profile.stages(), **share}
        return known

    timed = run if cold else group.rounds.timed("run", n, run)
    rounds = _ROUNDS if n >= _MANY else None
    return {"n": n, "run": timed, "gate": run.gate, "before": before, "facts": facts, "rounds": rounds}


def _peak(run: Run, row: Scenario) -> float:
    """Peak of the same run as a command, with all dimensions of the lexicon."""
    run.clear()
    line = lexicell(
        "embed",
        *run.inputs.paths,
        str(run.output.path),
        "--recipe",
        "paper",
        "--top-k",
        row.k,
        "--dtype",
        "f16",
    )
    return run_process(line).peak_mb


def _read(group: _Group, row: Scenario) -> Parts:
    """Threads that read whole shards, as a run does, and throw them away."""
    run, n = group.run_of(row), group.bench.cells(row)
    source, layout = run.plan.cells.source, layout_of(run.plan, run.output)
    shards = [layout.rows(shard) for shard in range(layout.n_shards)]

    def read() -> None:
        read_blocks(source, shards, run.workers)

    def gate() -> dict[str, object]:
        rows = run.sample()
        stored = run.counts(rows)
        got = concat_rows([source.read(*ends) for ends in ranges(rows)])
        for name in ("data", "indices", "indptr"):
            if not np.array_equal(getattr(got, name), getattr(stored, name)):
                msg = f"{run.path.name}: {name} of a sample are not what anndata reads"
                raise GateError(msg)
        return {"reference": "anndata", "max_error": 0.0, "cells": len(rows)}

    return {"n": n, "run": group.rounds.timed("read", n, read), "gate": gate}


def _compute(group: _Group, row: Scenario) -> Parts:
    """Threads that embed blocks which lie in memory, one block each at a time."""
    run = group.run_of(row)
    plan, workers = run.plan, run.workers
    spans = list(itertools.islice(plan.cells.source.spans(MAX_NNZ), _BLOCKS))
    blocks = [plan.cells.source.read(*ends) for ends in spans]
    n = _PASSES * sum(block.n_rows for block in blocks)

    def gate() -> dict[str, object]:
        rows = run.sample()
        counts = run.counts(rows)
        made = plan.embedder.embed(counts, 0, plan.cells.source.names, 1)
        return check_vectors(plan, counts, made.vectors, {"n_genes": made.n_genes, "n_tied": made.n_tied})

    def embed(block: CsrBlock) -> None:
        plan.embedder.embed(block, 0, plan.cells.source.names, 1)

    all_blocks = in_threads(embed, blocks * _PASSES, workers)
    return {"n": n, "run": group.rounds.timed("compute", n, all_blocks), "gate": gate}


def _loader(group: _Group, row: Scenario) -> Parts:
    path = group.path(row)

    def load() -> None:
        for _ in LOADERS[row.what].load(path):
            pass

    return {"n": group.bench.cells(row), "run": load}


def _annbatch(group: _Group, row: Scenario) -> Parts:
    running = group.stack.enter_context(Annbatch(group.bench.python312, group.path(row)))
    return {"n": group.bench.cells(row), "run": running.load, "facts": running.facts}


def _scanpy(group: _Group, row: Scenario) -> Parts:
    if find_spec("scanpy") is None:
        msg = "needs scanpy: pip install scanpy"
        raise Missing(msg)
    run, out = group.run_of(row), group.folder / "scanpy.npy"
    counts = Counts(run.counts(run.sample()), _columns_once(run.plan))

    def embed() -> None:
        embed_by_scanpy(run.path, counts.by_column, out)

    def gate() -> dict[str, object]:
        embed()
        ours = embed_rows(counts.block, counts.table, k=None)
        return _close(np.load(out)[run.sample()], ours.vectors, 1e-4, "lexicell's genept-w")

    return {"n": group.bench.cells(row), "run": embed, "gate": gate}


def _argpartition(group: _Group, row: Scenario) -> Parts:
    run, out, k = group.run_of(row), group.folder / "argpartition.npy", int(row.k)
    counts = Counts(run.counts(run.sample()), _columns_once(run.plan)).without_ties()

    def embed() -> None:
        embed_by_argpartition(run.path, counts.table, k, out)

    def gate() -> dict[str, object]:
        embed()
        if np.load(out).shape != (group.bench.cells(row), counts.table.dim):
            msg = f"{out.name} has not a vector for each cell"
            raise GateError(msg)
        picked = np.concatenate([picked.vectors for picked in topk_by_argpartition(counts, k, 1)()])
        defined = reference.embed_rows(counts.block, counts.table, k=k)
        return _close(picked, defined.vectors, 1e-4, "lexicell_kernels.reference, of counts without ties")

    return {"n": group.bench.cells(row), "run": embed, "gate": gate}


def _columns_once(plan: Plan) -> GeneTable:
    """The table of a plan, but each gene is one column: peers don't sum those that are the same gene."""
    table = plan.folded.table
    rank = np.full_like(table.rank, -1)
    genes, first = np.unique(table.rank, return_index=True)
    rank[first] = genes
    return replace(table, rank=rank)


def _close(found: NDArray[Any], expected: NDArray[Any], most: float, reference: str) -> dict[str, object]:
    off = float(np.abs(found - expected).max())
    if not off <= most:
        msg = f"vectors are off by {off:.2g} from {reference}"
        raise GateError(msg)
    return {"reference": reference, "max_error": off, "cells": len(found)}


_ONLY_LOADS = "Only loads, embeds nothing: "

_KINDS: dict[str, Kind[_Group]] = {
    "run": Kind("lexicell, whole run, {row.cache} cache", _run),
    "genept-w": Kind("lexicell, whole run, all genes (genept-w)", _run),
    "read": Kind("lexicell, reading alone", _read),
    "compute": Kind("lexicell, computing alone", _compute),
    "annbatch": Kind(
        "annbatch, only loads", _annbatch, peer=True,
        fairness=_ONLY_LOADS + "less than a run of ours does. " + ANNBATCH_FAIRNESS,
    ),
    "read_h5ad": Kind(
        LOADERS["read_h5ad"].label + ", only loads", _loader, peer=True,
        fairness=_ONLY_LOADS + "less than a run of ours does. " + LOADERS["read_h5ad"].fairness,
    ),
    "scanpy": Kind(
        "scanpy and scipy X @ E (GenePT-w)", _scanpy, peer=True,
        fairness="Reads all, normalises, log1p, product over all genes, length, np.save: the work of the row "
        "'all genes', on one thread. Writes a bare float32 array, without names, quality columns, checksums "
        "or fsync. The table of vectors is ready for both, and planning not timed for either.",
    ),
    "argpartition": Kind(
        "dense argpartition and gather, in slices", _argpartition, peer=True,
        fairness="Reads all, makes 128 cells dense at a time, weighs and pools the k highest counts on one "
        "thread, np.save. Ties are broken arbitrarily, so its genes depend on the order of columns. Columns "
        "that are the same gene are not summed. Planning is not timed for either.",
    ),
}  # fmt: skip
