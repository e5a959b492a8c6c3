"""The CPU backend: `_select` and `_pool` for every row, in threads that hold no lock.

Rows are split over Python threads rather than with Numba's ``parallel=True``: its portable threading
layer aborts the process when two threads enter it at once, and callers that stream shards do just that.
Results do not depend on the number of threads, since a row never looks at another.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell_kernels._entry import embed, pick, rank
from lexicell_kernels._host import candidate_words, check_columns, check_values, in_order
from lexicell_kernels._pool import COUNT, LOG1P, RANK, UNIFORM
from lexicell_kernels._scratch import Columns, Scratch, new_scratch
from lexicell_kernels._select import DISORDERED, OUT_OF_RANGE
from lexicell_kernels.types import (
    CsrBlock,
    GeneTable,
    Order,
    Picks,
    Ranking,
    Rows,
    Weight,
    check_options,
    empty_rows,
    out_of_range,
)

__all__ = ["available_cpus", "embed_rows", "machine_code_folder", "rank_genes", "select_topk"]

_KIND = {Weight.LOG1P: LOG1P, Weight.COUNT: COUNT, Weight.UNIFORM: UNIFORM, Weight.RANK: RANK}
_INLINE_NNZ = 100_000  # below this, handing work to threads costs more than it saves
# What is compiled, at several seconds for each combination; other dtypes are converted block by block, counts
# to float32 as the definition has it.
_VALUES = (np.uint16, np.float32)
_COLUMNS = (np.uint16, np.int32)


def embed_rows(
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int | None,
    weight: Weight = Weight.LOG1P,
    normalise: bool = True,
    threads: int | None = None,
    out: NDArray[Any] | None = None,
) -> Rows:
    """Embed every row of `block`; see `lexicell_kernels.embed_rows`."""
    check_options(k, table, block)
    made = empty_rows(block.n_rows, table.dim, out)
    nowhere, halves = np.empty((0, table.dim), np.float32), np.empty((0, table.dim), np.uint16)
    floats = made.vectors
    if floats.dtype == np.float16:
        floats, halves = nowhere, floats.view(np.uint16)
    wanted = table.n_genes if k is None else k
    vectors = _input(table.vectors, np.uint16 if table.vectors.dtype == np.float16 else None)
    columns, factor = _columns(table), _or_empty(table.rank_factor)

    def run(b: CsrBlock, start: int, stop: int, s: Scratch) -> tuple[int, int]:
        first: tuple[int, int] = embed(
            b.data, b.indices, b.indptr, start, stop, columns, factor, vectors, _or_empty(table.bias), wanted,
            _KIND[weight], normalise, s, floats, halves, made.n_genes, made.coverage, made.n_tied,
        )  # fmt: skip
        return first

    _over_rows(run, block, table, wanted, threads)
    return made


def select_topk(
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int,
    order: Order = Order.LEXICON,
    threads: int | None = None,
) -> Picks:
    """Select the k highest-scoring genes of every row; see `lexicell_kernels.select_topk`."""
    check_options(k, table, block)
    n = block.n_rows
    scores = np.empty((n, k), np.float32)
    counts = scores if table.rank_factor is None else np.empty_like(scores)
    out = Picks(np.empty((n, k), np.int32), scores, counts, np.empty(n, np.int32), np.empty(n))
    columns, factor = _columns(table), _or_empty(table.rank_factor)

    def run(b: CsrBlock, start: int, stop: int, s: Scratch) -> tuple[int, int]:
        first: tuple[int, int] = pick(
            b.data, b.indices, b.indptr, start, stop, columns, factor, k, order is Order.SCORE, s,
            out.genes, out.scores, out.counts, out.n_genes, out.totals,
        )  # fmt: skip
        return first

    _over_rows(run, block, table, k, threads)
    return out


def rank_genes(
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int | None,
    divisor: NDArray[np.float64] | None = None,
    ids: NDArray[np.int32] | None = None,
    threads: int | None = None,
) -> Ranking:
    """List the genes of every row by score, exactly as 64-bit numbers order them.

    Parameters
    ----------
    block
        ``n`` cells x ``v`` columns of counts, on the host.
    table
        Says which gene a column is; neither vectors nor rank factors matter.
    k
        Genes of a cell; None for all candidates.
    divisor
        ``[m]``, positive: scores are ``x / N * 10_000 / divisor``, in this order of operations. None to
        compare counts.
    ids
        ``[m]``, what is listed for each row of the table; None for its number.
    threads
        None for one on each CPU.

    Raises
    ------
    InvalidBlockError, InvalidCountsError, ValueError
        As for `lexicell_kernels.embed_rows`.

    Notes
    -----
    Defined by `lexicell_kernels.reference.rank_genes`.
    """
    check_options(k, table, block)
    n, nnz = block.n_rows, int(block.indptr[-1] - block.indptr[0])
    genes, counts = np.empty(nnz, np.int32), np.empty(nnz, np.float32)
    sizes, totals, n_tied = np.empty(n, np.int64), np.empty(n), np.empty(n, np.int32)
    columns = _columns(table)
    listed_as = _input(np.arange(table.n_genes, dtype=np.int32) if ids is None else ids)
    by = _input(np.empty(0) if divisor is None else np.ascontiguousarray(divisor, np.float64))
    longest = max(1, int(np.diff(block.indptr).max(initial=0)))
    parts: dict[int, tuple[int, int]] = {}

    def run(b: CsrBlock, start: int, stop: int, s: Scratch) -> tuple[int, int]:
        at = int(b.indptr[start] - b.indptr[0])
        parts[start] = at, stop
        first: tuple[int, int] = rank(
            b.data, b.indices, b.indptr, start, stop, columns, listed_as, by, longest if k is None else k, s,
            at, genes, counts, sizes, totals, n_tied,
        )  # fmt: skip
        return first

    _over_rows(run, block, table, longest, threads)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    for start, (at, stop) in sorted(parts.items()):  # each part stands where all its values would fit
        here, size = int(indptr[start]), int(indptr[stop] - indptr[start])
        if here != at:
            for listed in (genes, counts):
                listed[here : here + size] = listed[at : at + size]
    return Ranking(genes[: indptr[-1]], counts[: indptr[-1]], indptr, totals, n_tied)


def _columns(table: GeneTable) -> Columns:
    """What the columns mean; looked at once and kept with the table, in memory that nobody changes."""
    kept: Columns | None = table.derived.get("columns")
    if kept is None or not np.array_equal(kept.rank, table.rank):
        rank = np.array(table.rank, dtype=np.int32)
        candidates = np.flatnonzero(rank >= 0)
        stop = int(candidates[-1]) + 1 if candidates.size else 0
        in_order = bool((np.diff(rank[candidates]) > 0).all())
        words = _input(candidate_words(rank))
        table.derived["columns"] = Columns(_input(rank), words, stop, candidates.size == stop, in_order)
    columns: Columns = table.derived["columns"]
    return columns


def _or_empty(a: Any) -> NDArray[np.float32]:
    return _input(np.empty(0, np.float32) if a is None else np.ascontiguousarray(a, dtype=np.float32))


def _input(a: Any, dtype: Any = None) -> NDArray[Any]:
    """Return a read-only view, for Numba a type of its own, which would be compiled beside the other."""
    view: NDArray[Any] = np.ascontiguousarray(a).view(dtype or a.dtype)
    view.setflags(write=False)
    return view


def _over_rows(
    run: Callable[[CsrBlock, int, int, Scratch], tuple[int, int]],
    block: CsrBlock,
    table: GeneTable,
    k: int,
    threads: int | None,
) -> None:
    """Run over all rows of `block` in threads; put disordered rows in order first, raise for bad values."""
    block = _supported(block)
    nnz = int(block.indptr[-1] - block.indptr[0])
    workers = 1 if nnz < _INLINE_NNZ else threads or available_cpus()
    cuts = np.searchsorted(block.indptr, block.indptr[0] + np.linspace(0, nnz, workers + 1)[1:-1])
    bounds = [0, *(int(c) for c in cuts), block.n_rows]
    longest = int(np.diff(block.indptr).max(initial=0))

    def part(start: int, stop: int) -> tuple[int, int]:
        return run(block, start, stop, new_scratch(longest, table.n_genes, k, table.dim))

    if workers == 1:
        results = [part(0, block.n_rows)]
    else:
        results = list(_pool(workers).map(part, bounds[:-1], bounds[1:]))
    for row, flags in results:
        if flags & DISORDERED:
            _over_rows(run, in_order(block), table, k, threads)
            return
        if flags & OUT_OF_RANGE:
            raise ValueError(out_of_range(row, block))
        if flags:
            check_values(block)


def available_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_code_folder() -> str | None:
    """Where compiled kernels are kept for the next start, None where nothing could be written to."""
    entry: Any = embed
    folder: str | None = entry.stats.cache_path
    return folder


@lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="lexicell-kernel")


if hasattr(os, "register_at_fork"):  # a forked child has the executor but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _supported(block: CsrBlock) -> CsrBlock:
    data, indices = block.data, block.indices
    if data.dtype not in _VALUES:
        with np.errstate(over="ignore"):  # too large for float32 is infinite, and reported as that
            data = data.astype(np.uint16 if data.dtype == np.uint8 else np.float32)
    if indices.dtype not in _COLUMNS:
        check_columns(block)  # before they are narrowed
        indices = indices.astype(np.int32)
    return CsrBlock(
        data=_input(data),
        indices=_input(indices),
        indptr=_input(np.ascontiguousarray(block.indptr, dtype=np.int64)),
        n_columns=block.n_columns,
    )
