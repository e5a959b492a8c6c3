"""The GPU backend: CUDA C++, compiled for the device on first use, one launch per call.

Everything is put on the current stream of the device that the block lies on, and nobody waits for it. The
kernels are in the ``.cuh`` files beside this one; ``entry.cuh`` says what they compute.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lexicell_kernels.cuda.device import device_memory, launch, require_cupy, shared_limit
from lexicell_kernels.cuda.source import CHUNK, Instantiation, shared_bytes
from lexicell_kernels.cuda.table import device_table
from lexicell_kernels.types import (
    CsrBlock,
    GeneTable,
    Order,
    Picks,
    Rows,
    RowTooLongError,
    Weight,
    check_options,
)

__all__ = ["embed_rows", "require_cupy", "select_topk"]

_CODE = {Weight.LOG1P: 0, Weight.COUNT: 1, Weight.UNIFORM: 2, Weight.RANK: 3}
_MOST = 2**31 - 1  # of what the kernels count with 32 bits: rows, columns, values of a row
# What is instantiated; other dtypes are converted, counts to float32 as the definition has it.
_VALUES = ("uint16", "float32")
_COLUMNS = ("uint16", "int32")


def embed_rows(
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int | None,
    weight: Weight = Weight.LOG1P,
    normalise: bool = True,
    threads: int | None = None,  # noqa: ARG001 -- of the CPU
) -> Rows:
    """Embed every row of `block`; see `lexicell_kernels.embed_rows`."""
    check_options(k, table, block)
    _check_size(block)
    cupy = require_cupy()
    with block.data.device:
        there = device_table(table)
        n, p, m = block.n_rows, table.dim, table.n_genes
        with device_memory(f"the result of {n:,} rows", 4 * n * (p + 3)):
            out = Rows(
                cupy.empty((n, p), np.float32),
                cupy.empty(n, np.int32),
                cupy.empty(n, np.float32),
                cupy.empty(n, np.int32),
            )
        if not n:
            return out
        values, columns, indptr = _supported(cupy, block)
        instantiation = Instantiation(
            "lexicell_embed", values.dtype.name, columns.dtype.name, there.in_order,
            there.vectors.dtype.name, there.width,
        )  # fmt: skip
        taken = max(1, m if k is None else min(k, m))
        chunk, shared = _chunk(instantiation, taken, m, by_score=weight is Weight.RANK)
        launch(instantiation, n, shared, (
            values, columns, indptr, np.int64(len(values)), np.int32(block.n_columns),
            there.candidates, there.rank, there.rank_factor, there.vectors, np.int32(m), there.bias,
            np.int32(p), np.int32(taken), np.int32(chunk), np.int32(_CODE[weight]), np.int32(normalise),
            out.vectors, out.n_genes, out.coverage, out.n_tied,
        ))  # fmt: skip
    return out


def select_topk(block: CsrBlock, table: GeneTable, *, k: int, order: Order = Order.LEXICON) -> Picks:
    """Select the k highest-scoring genes of every row; see `lexicell_kernels.select_topk`."""
    check_options(k, table, block)
    _check_size(block)
    cupy = require_cupy()
    with block.data.device:
        there = device_table(table)
        n, m = block.n_rows, table.n_genes
        lists = 2 if there.rank_factor is None else 3
        with device_memory(f"the {k:,} genes of {n:,} rows", 4 * n * (lists * k + 3)):
            scores = cupy.empty((n, k), np.float32)
            counts = scores if there.rank_factor is None else cupy.empty((n, k), np.float32)
            out = Picks(
                cupy.empty((n, k), np.int32),
                scores,
                counts,
                cupy.empty(n, np.int32),
                cupy.empty(n, np.float64),
            )
        if not n:
            return out
        values, columns, indptr = _supported(cupy, block)
        instantiation = Instantiation("lexicell_pick", values.dtype.name, columns.dtype.name, there.in_order)
        taken, by_score = max(1, min(k, m)), order is Order.SCORE
        chunk, shared = _chunk(instantiation, taken, m, by_score=by_score)
        launch(instantiation, n, shared, (
            values, columns, indptr, np.int64(len(values)), np.int32(block.n_columns),
            there.candidates, there.rank, there.rank_factor, np.int32(m),
            np.int32(taken), np.int32(k), np.int32(chunk), np.int32(by_score),
            out.genes, out.scores, out.counts, out.n_genes, out.totals,
        ))  # fmt: skip
    return out


def _check_size(block: CsrBlock) -> None:
    if max(block.n_rows, block.n_columns) > _MOST:
        msg = (
            f"the block has {block.n_rows:,} rows and {block.n_columns:,} columns; "
            f"a GPU takes up to {_MOST:,} of each"
        )
        raise ValueError(msg)


def _supported(cupy: Any, block: CsrBlock) -> tuple[Any, Any, Any]:
    """Values, columns and row offsets of the types that are instantiated, one after another in memory."""
    values, columns = block.data, block.indices
    with device_memory(f"a block of {block.n_rows:,} rows", block.nbytes):
        indptr = cupy.ascontiguousarray(block.indptr, dtype=np.int64)
        if values.dtype not in _VALUES:
            values = values.astype(np.uint16 if values.dtype == np.uint8 else np.float32)
        if columns.dtype not in _COLUMNS:
            if columns.dtype.itemsize >= 4:  # what lies outside the matrix still does when it is narrowed
                lowest = -1 if columns.dtype.kind == "i" else 0
                columns = cupy.clip(columns, lowest, block.n_columns)
            columns = columns.astype(np.int32)
        if block.data.shape[0] > _MOST:
            lengths = cupy.diff(indptr)
            row = int(lengths.argmax())
            if int(lengths[row]) > _MOST:
                raise RowTooLongError(row, int(lengths[row]))
        return cupy.ascontiguousarray(values), cupy.ascontiguousarray(columns), indptr


def _chunk(instantiation: Instantiation, k: int, n_genes: int, *, by_score: bool) -> tuple[int, int]:
    """Picks that a block holds at once, and the dynamic shared memory for that in bytes."""

    def needed(chunk: int) -> int:
        return shared_bytes(chunk, n_genes, in_order=instantiation.in_order, by_score=by_score)

    limit = shared_limit() - instantiation.static_bytes
    chunk = k if by_score else min(k, CHUNK)
    if needed(chunk) <= limit:
        return chunk, needed(chunk)
    most = max((c for c in range(1, chunk) if needed(c) <= limit), default=0)
    if not most:
        msg = (
            f"{n_genes:,} genes in another order than the lexicon's are more than this GPU's shared memory "
            "takes: choose the CPU"
        )
        raise ValueError(msg)
    if by_score:
        msg = f"this GPU orders up to {most:,} genes per cell by score, not {k:,}: lower k, or choose the CPU"
        raise ValueError(msg)
    return most, needed(most)
