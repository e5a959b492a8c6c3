"""GenePT-w: all genes of a cell, weighed by their log-normalised counts, as one matrix product.

From the paper (Chen and Zou, 2024) and its notebooks: counts are normalised to 10,000 a cell, logged,
multiplied with the matrix of the genes' vectors, in which genes without a text are zeros, and divided by the
number of genes; the paper scales the result to length 1.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.peers.counts import Counts, in_threads, scaled_log1p, slices, to_length_1

__all__ = ["genept_by_dot", "genept_by_scipy", "genept_by_torch", "product_by_scipy"]

Vectors = list[NDArray[np.float32]]

_DENSE_ROWS = 1_000  # made dense at once: 120 MB


def product_by_scipy(counts: Counts, _: int, threads: int) -> Callable[[], Vectors]:
    """The product alone, rows split over threads."""
    x, right = scaled_log1p(counts.x), counts.by_column
    return in_threads(lambda part: part @ right, _split(x, threads), threads)


def genept_by_scipy(counts: Counts, _: int, threads: int) -> Callable[[], Vectors]:
    """From counts to unit vectors, rows split over threads."""
    right = counts.by_column
    return in_threads(
        lambda part: to_length_1(scaled_log1p(part) @ right), _split(counts.x, threads), threads
    )


def _split(x: sp.csr_array, parts: int) -> list[sp.csr_array]:
    return [x[rows] for rows in slices(x.shape[0], -(-x.shape[0] // parts))]


def genept_by_torch(counts: Counts, _: int, threads: int) -> Callable[[], Vectors]:
    """From counts to unit vectors with torch's CSR matrices."""
    torch: Any = importlib.import_module("torch")
    x = counts.x
    values, columns, offsets = (torch.from_numpy(a) for a in (x.data, x.indices, x.indptr))
    lengths, right = offsets.diff().long(), torch.from_numpy(counts.by_column)

    def run() -> Vectors:
        torch.set_num_threads(threads)
        scale = 1e4 / torch.segment_reduce(values, "sum", lengths=lengths)
        weights = torch.log1p(values * torch.repeat_interleave(scale, lengths))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            left = torch.sparse_csr_tensor(offsets, columns, weights, x.shape, check_invariants=False)
        return [torch.nn.functional.normalize(left @ right, dim=1).numpy()]

    return run


def genept_by_dot(counts: Counts, _: int, threads: int) -> Callable[[], Vectors]:
    """From log-normalised counts, made dense, with `numpy.dot`, divided by the number of genes."""
    del threads  # as many as BLAS takes
    x, right = scaled_log1p(counts.x), counts.by_column
    parts = [x[rows] for rows in slices(x.shape[0], _DENSE_ROWS)]
    return in_threads(lambda part: np.dot(part.toarray(), right) / part.shape[1], parts, 1)
