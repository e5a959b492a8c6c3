"""Embedding a Dask array: one task for each chunk of rows, and nothing computed before it is asked for."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.arrays import Device, device_of, namespace, require_gpu, to_host
from lexicell.counts import chunk_block
from lexicell.embedding.pipeline import BlockEmbedder
from lexicell.embedding.plan import Plan

__all__ = ["QUALITY", "embed_lazily"]

#: Columns of the quality array.
QUALITY = ("n_genes", "coverage", "n_tied")


def embed_lazily(
    array: Any, plan: Plan, home: Device, columns: NDArray[np.int64] | None = None
) -> tuple[Any, Any]:
    """Plan the tasks that embed a Dask array.

    Parameters
    ----------
    array
        ``[N, v]`` Dask array of known chunk sizes whose chunks are dense or sparse, of NumPy and scipy or of
        CuPy: the counts of ``plan.cells.source``, and columns that it leaves out.
    plan
        How to embed them. Each of Dask's workers gets what it needs of it once.
    home
        Where the results lie.
    columns
        ``[kept]`` int64 columns of `array` that ``plan.cells.source`` has; None for all.

    Returns
    -------
    tuple of dask.array.Array
        Vectors float32 ``[N, p]``, and float32 ``[N, 3]`` with the columns `QUALITY`. Both are parts of the
        same tasks: computing them together embeds each cell once.
    """
    dask: Any = import_module("dask")
    da: Any = import_module("dask.array")
    xp: Any = np if home == "cpu" else require_gpu()
    rows, dim = array.chunks[0], plan.dim
    meta = xp.empty((0, 0), np.float32)
    # Each task is given the names of its cells only; anybody's atlas may have a hundred million.
    names = da.from_array(np.asarray(plan.cells.source.obs.index, dtype=object)[:, None], chunks=(rows, 1))
    identity = dask.base.tokenize(plan.provenance())
    together = array.rechunk({1: -1}).map_blocks(
        _embed_chunk,
        names,
        embedder=dask.delayed(plan.embedder, name=f"lexicell-{identity}", traverse=False),
        home=home,
        columns=columns,
        chunks=(rows, (dim + len(QUALITY),)),
        meta=meta,
    )
    ends = (0, dim, dim + len(QUALITY))
    vectors, quality = (
        together.map_blocks(_columns, first=first, last=last, chunks=(rows, (last - first,)), meta=meta)
        for first, last in pairwise(ends)
    )
    return vectors, quality


def _embed_chunk(
    chunk: Any,
    names: Any,
    *,
    embedder: BlockEmbedder,
    home: Device,
    columns: NDArray[np.int64] | None,
    block_info: Any = None,
) -> Any:
    """Embed a chunk: float32 ``[n, p + 3]``, the vectors and then the quality."""
    start, stop = block_info[0]["array-location"][0]
    block = chunk_block(chunk, embedder.label, start, stop, columns)
    rows = embedder.embed(block, start, lambda a, b: pd.Index(names[a - start : b - start, 0]))
    xp = namespace(rows.vectors)
    quality = [getattr(rows, name).astype(np.float32)[:, None] for name in QUALITY]
    found = xp.concatenate([rows.vectors, *quality], axis=1)
    if device_of(found) == home:
        return found
    return to_host(found) if home == "cpu" else require_gpu().asarray(found)


def _columns(together: Any, first: int, last: int) -> Any:
    """Some columns of an array, as an array of its own."""
    return namespace(together).ascontiguousarray(together[:, first:last])
