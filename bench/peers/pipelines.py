"""From an h5ad to vectors on disk, as people do it today: read all, compute in memory, save an array."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers.counts import Counts, to_length_1
from bench.peers.dense_topk import topk_by_argpartition
from lexicell_kernels import CsrBlock, GeneTable

__all__ = ["block_of", "embed_by_argpartition", "embed_by_scanpy"]


def embed_by_scanpy(path: Path, by_column: NDArray[np.float32], out: Path) -> None:
    """GenePT-w with scanpy and scipy.

    Parameters
    ----------
    by_column
        Vectors of the columns, ``[v, p]``; zeros where there is no description.
    out
        Of the vectors, an ``.npy``, float32 ``[n, p]``.
    """
    scanpy: Any = import_module("scanpy")
    data = scanpy.read_h5ad(path)
    scanpy.pp.normalize_total(data, target_sum=1e4)
    scanpy.pp.log1p(data)
    np.save(out, to_length_1(data.X @ by_column))


def embed_by_argpartition(path: Path, table: GeneTable, k: int, out: Path) -> None:
    """The k highest counts of each cell in dense slices, and the weighted mean of their vectors.

    Parameters
    ----------
    out
        As for `embed_by_scanpy`.
    """
    import anndata as ad

    counts = Counts(block_of(ad.read_h5ad(path).X), table)
    np.save(out, np.concatenate([picked.vectors for picked in topk_by_argpartition(counts, k, 1)()]))


def block_of(x: Any) -> CsrBlock:
    """CSR of scipy, ``[n, v]``, as the kernel takes it."""
    return CsrBlock(data=x.data, indices=x.indices, indptr=x.indptr.astype(np.int64), n_columns=x.shape[1])
