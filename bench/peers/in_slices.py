"""From counts on disk to vectors on disk in slices of cells, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp
import zarr
from numpy.typing import NDArray

from bench.peers.counts import in_threads, slices

__all__ = ["CODECS", "log_normalised", "stored_counts", "through_slices"]

#: What decodes chunks of Zarr for the peers.
CODECS = "zarrs (Rust)" if find_spec("zarrs") else "zarr-python"


@contextmanager
def stored_counts(path: Path) -> Iterator[Any]:
    """X of an AnnData-Zarr, of which slices of rows are read as CSR; by zarrs where it is installed."""
    zarrs = zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    with zarrs if find_spec("zarrs") else nullcontext():
        yield ad.io.sparse_dataset(zarr.open_group(path, mode="r")["X"])


def through_slices(
    path: Path,
    out: Path,
    dim: int,
    make: Callable[[sp.csr_array], NDArray[np.float32]],
    *,
    n: int,
    rows: int,
    threads: int = 1,
) -> None:
    """Read slices of the first cells, and write what is made of each to its place in one array.

    Parameters
    ----------
    path
        AnnData-Zarr.
    out
        ``.npy`` of float32 ``[n, dim]``.
    make
        Counts ``[rows, v]``, which it may overwrite -> vectors ``[rows, dim]``.
    n, rows
        Cells, and cells of a slice.
    threads
        Slices that are read and made at once.
    """
    made = np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=(n, dim))
    with stored_counts(path) as x:

        def one(part: slice) -> None:
            made[part] = make(sp.csr_array(x[part]))

        in_threads(one, slices(n, rows), threads)()
    made.flush()


def log_normalised(x: sp.csr_array) -> sp.csr_array:
    """``log1p(1e4 x / N)`` in place, in float32."""
    totals = np.asarray(x.sum(axis=1), np.float32)
    scale = np.divide(np.float32(1e4), totals, out=np.zeros_like(totals), where=totals > 0)
    x.data = x.data.astype(np.float32, copy=False)
    x.data *= np.repeat(scale, np.diff(x.indptr))
    np.log1p(x.data, out=x.data)
    return x
