"""Counts read in threads, and sums that tell whether all were read, into the right cells and genes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from bench import cells
from bench.measure import GateError
from bench.scenario import Scenario
from bench.workbench import Workbench
from lexicell.counts import MAX_NNZ, CountSource, Scratch
from lexicell_kernels import CsrBlock

__all__ = [
    "bytes_of",
    "check_sums",
    "columns_of",
    "gene_names",
    "open_group",
    "read_blocks",
    "sums",
    "sums_of_blocks",
]


def read_blocks(
    source: CountSource,
    parts: Sequence[tuple[int, int]],
    threads: int,
    see: Callable[[int, CsrBlock], object] = lambda _, __: None,
) -> None:
    """Read ranges of rows in blocks as large as `lexicell.embed` takes, each by the next thread that is free.

    Parameters
    ----------
    see
        Is called with the first row of each block, and the block; from any of the threads.
    """
    waiting = deque(parts)

    def work(_: int) -> None:
        scratch = Scratch()
        while waiting:
            try:
                part = waiting.popleft()
            except IndexError:  # another thread was quicker
                return
            for first, last in source.spans(MAX_NNZ, *part):
                see(first, source.read(first, last, scratch))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def sums(first: int, x: Any) -> NDArray[np.int64]:
    """Number of values, sum of values, of columns, and of the row's number over all values; whole numbers.

    Parameters
    ----------
    first
        Number of the first row.
    x
        Counts: `CsrBlock` or CSR of scipy, ``[n, v]``.

    Returns
    -------
    ndarray
        ``[4]``; those of consecutive parts add up to those of the whole.
    """
    lengths = np.diff(x.indptr).astype(np.int64)
    numbers = np.arange(first, first + len(lengths))
    total, columns = x.data.sum(dtype=np.float64), x.indices.sum(dtype=np.int64)
    return np.array([len(x.data), total, columns, numbers @ lengths], np.int64)


def sums_of_blocks(source: CountSource, parts: Sequence[tuple[int, int]], threads: int) -> NDArray[np.int64]:
    """`sums` of what `read_blocks` reads."""
    found: list[NDArray[np.int64]] = []
    read_blocks(source, parts, threads, lambda first, block: found.append(sums(first, block)))
    total: NDArray[np.int64] = np.sum(found, axis=0)
    return total


def check_sums(found: Iterable[int], row: Scenario, path: Path, bench: Workbench) -> dict[str, Any]:
    """Hold `sums` against the cells as they were before they were written; GateError where they differ.

    Parameters
    ----------
    path
        Whose columns, which may be in another order, were read.
    """
    by_name, nnz, total, rows = _truth(row, bench)
    place = pd.Series(np.arange(len(by_name)), columns_of(path))
    expected = [nnz, total, int((by_name * place[by_name.index]).sum()), rows]
    got = [int(value) for value in found]
    if got != expected:
        msg = f"{path.name}: read {got}, not {expected} (values, their sum, that of columns, that of rows)"
        raise GateError(msg)
    return {"reference": "sums over all values in memory", "max_error": 0.0, "values": nnz}


def _truth(row: Scenario, bench: Workbench) -> tuple[pd.Series[int], int, int, int]:
    """Values of each gene by name, and the other `sums`, of cells that were never on disk."""
    if row.data == "synthetic":
        return _synthetic_truth(bench.cells(row))
    return _summed([bench.matrix(row)], gene_names(row, bench))


def gene_names(row: Scenario, bench: Workbench) -> pd.Index[Any]:
    """Names of the columns of `Workbench.matrix`."""
    if row.data == "synthetic":
        return pd.Index(cells.panel().names)
    return columns_of(bench.path(row.data, "h5ad", bench.cells(row)))


@lru_cache(maxsize=4)
def _synthetic_truth(n_cells: int) -> tuple[pd.Series[int], int, int, int]:
    return _summed(cells.blocks(n_cells), pd.Index(cells.panel().names))


def _summed(parts: Iterable[Any], names: pd.Index[Any]) -> tuple[pd.Series[int], int, int, int]:
    counted, whole, first = np.zeros(len(names), np.int64), np.zeros(4, np.int64), 0
    for part in parts:
        counted += np.bincount(part.indices, minlength=len(names))
        whole += sums(first, part)
        first += part.shape[0]
    nnz, total, _, rows = whole.tolist()
    return pd.Series(counted, names), nnz, total, rows


def columns_of(path: Path) -> pd.Index[Any]:
    """Names of the genes of a file or store, in its order, as anndata reads them."""
    var: pd.DataFrame = ad.io.read_elem(open_group(path)["var"])
    return var.index


def open_group(path: Path) -> Any:
    """Root of an h5ad or of an AnnData-Zarr, for anndata's readers; closed when it is forgotten."""
    return h5py.File(path) if path.is_file() else zarr.open_group(path, mode="r")


def bytes_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
