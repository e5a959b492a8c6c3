"""The kernel on counts in memory, beside what people use for the same vectors.

A case of ours runs the checks, totals, selection with its tie rule, weights, pooling, length and quality
columns, from raw counts. Peers get what they need prepared, each as its note says; the slow ones have fewer
cells.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure import Case, GateError
from bench.peers.counts import Counts, first, joined, to_length_1
from bench.peers.dense_topk import topk_by_argpartition, topk_by_argsort, topk_by_torch
from bench.peers.onnx_graph import pool_by_onnxruntime
from bench.peers.products import genept_by_dot, genept_by_scipy, genept_by_torch, product_by_scipy
from bench.scenario import Scenario
from bench.suites._blocks import Blocks
from bench.workbench import Missing, Workbench
from lexicell_kernels import (
    CsrBlock,
    GeneTable,
    GpuUnavailableError,
    Rows,
    block_to_device,
    check_rows,
    embed_rows,
    reference,
    select_topk,
    to_host,
)
from lexicell_kernels.cpu import available_cpus
from lexicell_kernels.cuda import require_cupy

__all__ = ["cases"]

_TOLERANCE = {"f32": 1e-5, "f16": 2e-3}
_PEER_TOLERANCE = 1e-4
_SAMPLE = {True: 20, False: 200}  # cells held against the reference, in a smoke run or not
_OURS = (
    "Everything from raw counts: checks of the input, totals over all columns, selection with the tie rule, "
    "weights, pooling, length, quality columns."
)

Run = Callable[[], list[Any]]


@dataclass(frozen=True)
class _Peer:
    """How a peer is called, made and checked; `package` is what it needs beyond lexicell's own."""

    label: str
    fairness: str
    make: Callable[[Counts, int, int], Run]
    picks: bool = False
    package: str = ""


_DENSE = (
    "Making cells dense is timed; leaving out columns without a description, and totals, are not. Ties are "
    "broken arbitrarily, so its genes are not always ours. No checks, no quality columns; float32 vectors."
)
_PEERS = {
    "scipy": _Peer(
        "scipy X @ E, all genes",
        "The product alone: normalising, log1p and length are not timed. All genes, no selection: about 20 "
        "times the multiply-adds of k = 128, so compare 'all genes' of ours. scipy's product runs on one "
        "thread; further threads are ours around it, each with its part of the rows.",
        product_by_scipy,
    ),
    "genept-scipy": _Peer(
        "GenePT-w by scipy, from counts",
        "The work of ours for all genes: normalising, log1p, product, length; no checks, no quality columns. "
        "Further threads are ours around it, each with its part of the rows.",
        genept_by_scipy,
    ),
    "genept-torch": _Peer(
        "GenePT-w by torch's CSR, from counts",
        "The work of ours for all genes: normalising, log1p, product, length; no checks, no quality columns.",
        genept_by_torch,
        package="torch",
    ),
    "genept-dense": _Peer(
        "GenePT-w by np.dot on dense cells",
        "As GenePT's notebooks do it: cells made dense, np.dot with the vectors of all columns, divided by "
        "their number; normalising and log1p are not timed, and there is no length. Its notebooks' vectors "
        "are float64, which takes about twice as long as the float32 here. BLAS takes all threads. The cost "
        "does not depend on how many genes a cell has.",
        genept_by_dot,
    ),
    "argpartition": _Peer(
        "dense argpartition, gather",
        f"{_DENSE} The negative counts are partitioned: np.argpartition(x, -k) of the counts themselves "
        "takes 15 to 20 times as long with numpy's vector code, since most are 0. Further threads are ours "
        "around it.",
        topk_by_argpartition,
        picks=True,
    ),
    "argsort": _Peer(
        "dense argsort, gather",
        f"{_DENSE} All counts are sorted, the negative ones for the same reason as in argpartition.",
        topk_by_argsort,
        picks=True,
    ),
    "torch-topk": _Peer("torch.topk, embedding_bag", _DENSE, topk_by_torch, picks=True, package="torch"),
    "onnx": _Peer(
        "ONNX Runtime graph, genes given",
        "Pooling and length only: the genes of each cell and their weights are selected beforehand by us, "
        "and not timed. The graph is the one of lexicell's cell.onnx, float32.",
        pool_by_onnxruntime,
    ),
}


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Make the rows of a group into cases."""
    try:
        blocks = Blocks(rows, bench)
        made = [
            _peer(row, bench, blocks) if row.what in _PEERS else _ours(row, bench, blocks) for row in rows
        ]
    except Missing as missing:
        made = [_empty(row, str(missing)) for row in rows]
    yield made


def _empty(row: Scenario, why: str) -> Case:
    peer = _PEERS.get(row.what)
    return Case(row, _label(row), peer=peer is not None, fairness=peer.fairness if peer else _OURS, empty=why)


def _label(row: Scenario) -> str:
    threads = {"1": ", 1 thread", "all": ", GPU" if row.device == "cuda" else ""}.get(
        row.threads, f", {row.threads} threads"
    )
    if row.what in _PEERS:
        return _PEERS[row.what].label + threads
    kinds = {"f32": "float32", "f16": "float16", "u16": "uint16"}
    types = f"{kinds[row.counts]} counts, {kinds[row.table]} table"
    genes = "all genes" if row.k == "all" else f"top {row.k}"
    return f"lexicell: {types}, {genes}, {row.p} dimensions{threads}"


def _lacking(row: Scenario, package: str = "") -> str:
    """Why a row can't run on this machine; nothing if it can."""
    if row.threads != "all" and int(row.threads) > available_cpus():
        return f"{row.threads} threads: this process may use {available_cpus()} CPU"
    if package and importlib.util.find_spec(package) is None:
        return f"needs {package}: pip install {package}"
    if row.device == "cuda":
        try:
            require_cupy()
        except GpuUnavailableError as error:
            return f"no CUDA device: {error}"
    return ""


def _k(row: Scenario) -> int | None:
    return None if row.k == "all" else int(row.k)


def _ours(row: Scenario, bench: Workbench, blocks: Blocks) -> Case:
    if row.what != "lexicell":
        msg = f"{row.id}: there is no {row.what!r}; there are lexicell, {', '.join(_PEERS)}"
        raise ValueError(msg)
    if why := _lacking(row):
        return _empty(row, why)
    table, k, threads = bench.table(row), _k(row), bench.threads(row)
    there = blocks.of(row)
    sample = [joined(first(there, _SAMPLE[bench.tiny]))]
    gpu = row.device == "cuda"
    if gpu:
        there, sample = ([block_to_device(joined(held))] for held in (there, sample))

    def embed(cells: Sequence[CsrBlock]) -> list[Rows]:
        found = [embed_rows(block, table, k=k, threads=threads) for block in cells]
        if gpu:
            require_cupy().cuda.get_current_stream().synchronize()
        return found

    def gate() -> dict[str, Any]:
        host = joined(first(blocks.of(row), _SAMPLE[bench.tiny]))
        return _check_ours(embed(sample)[0], sample[0], host, table, k, _TOLERANCE[row.table])

    def facts() -> dict[str, Any]:
        genes = np.concatenate([to_host(rows.n_genes) for rows in embed(sample)]).mean()
        return {
            "values_per_cell": round(sum(len(b.data) for b in there) / sum(b.n_rows for b in there), 1),
            "gathered_bytes_per_cell": round(float(genes) * table.dim * table.vectors.itemsize),
        }

    return Case(
        row,
        _label(row),
        bench.cells(row),
        run=lambda: _discard(embed, there),
        fairness=_OURS,
        gate=gate,
        facts=facts,
    )


def _discard(embed: Callable[[Sequence[CsrBlock]], object], blocks: Sequence[CsrBlock]) -> None:
    """Embed block by block, as streams do: results are dropped, not collected."""
    for block in blocks:
        embed([block])


def _check_ours(
    got: Rows, given: CsrBlock, sample: CsrBlock, table: GeneTable, k: int | None, most: float
) -> dict[str, Any]:
    """Hold rows against the definition: vectors, and which genes exactly; `given` may lie on a GPU."""
    check_rows(got, given)
    defined = reference.embed_rows(sample, table, k=k)
    off = float(np.abs(to_host(got.vectors) - defined.vectors).max())
    if not off <= most:
        msg = f"a vector is off by {off:.2g}, more than {most:.0e}"
        raise GateError(msg)
    if not np.array_equal(to_host(got.n_genes), defined.n_genes):
        msg = "a cell has another number of genes"
        raise GateError(msg)
    if k is not None:
        picked = to_host(select_topk(given, table, k=k).genes)
        if not np.array_equal(picked, reference.select_topk(sample, table, k=k).genes):
            msg = "a cell has other genes"
            raise GateError(msg)
    return {"reference": "float64 NumPy, gene sets exact", "cells": sample.n_rows, "max_error": off}


def _peer(row: Scenario, bench: Workbench, blocks: Blocks) -> Case:
    peer = _PEERS[row.what]
    if why := _lacking(row, peer.package):
        return _empty(row, why)
    table = bench.table(replace(row, table="f32"))
    threads, k = bench.threads(row), _k(row) or table.n_genes
    counts = Counts(joined(blocks.of(row)), table)
    sample = Counts(joined(first(blocks.of(row), _SAMPLE[bench.tiny])), table)

    def gate() -> dict[str, Any]:
        found = {"reference": "float64 NumPy", "cells": sample.block.n_rows}
        if not peer.picks:
            return found | {"max_error": _check_vectors(peer.make(sample, k, threads)(), sample, k)}
        _check_values(peer.make(sample, k, threads)(), sample, k)
        apart = sample.without_ties()
        vectors = [picked.vectors for picked in peer.make(apart, k, threads)()]
        return found | {
            "max_error": _check_vectors(vectors, apart, k),
            "compared": "selected counts exactly, vectors where no counts are equal",
        }

    return Case(
        row,
        _label(row),
        counts.block.n_rows,
        run=peer.make(counts, k, threads),
        peer=True,
        fairness=peer.fairness,
        gate=gate,
    )


def _check_vectors(parts: Sequence[NDArray[np.float32]], sample: Counts, k: int) -> float:
    """Hold a peer's vectors, brought to length 1, against the definition; returns the largest difference."""
    z = to_length_1(np.concatenate(parts))
    off = float(np.abs(z - reference.embed_rows(sample.block, sample.table, k=k).vectors).max())
    if not off <= _PEER_TOLERANCE:
        msg = f"a vector is off by {off:.2g}, more than {_PEER_TOLERANCE:.0e}"
        raise GateError(msg)
    return off


def _check_values(parts: Sequence[Any], sample: Counts, k: int) -> None:
    """Hold the counts of a peer's genes against the definition's: which of equal ones it took is open."""
    values = np.concatenate([picked.values for picked in parts])
    defined = reference.select_topk(sample.block, sample.table, k=k).scores
    if not np.array_equal(np.sort(values, axis=1), np.sort(defined, axis=1)):
        msg = f"the {k} largest counts of a cell are others"
        raise GateError(msg)
