"""The k largest counts of cells made dense, and the weighted sum of their genes' vectors."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.peers.counts import Counts, in_threads, slices, to_length_1

__all__ = ["Picked", "topk_by_argpartition", "topk_by_argsort", "topk_by_torch"]

# Made dense at once: the fastest of 32 to 1,000.
_NUMPY_ROWS, _TORCH_ROWS = 64, 256


class Picked(NamedTuple):
    """What was selected, ``[n, k]`` counts in any order, and the cells' unit vectors, ``[n, p]``."""

    values: NDArray[np.float32]
    vectors: NDArray[np.float32]


def topk_by_argpartition(counts: Counts, k: int, threads: int) -> Callable[[], list[Picked]]:
    """By `numpy.argpartition` of the negative counts: of the counts themselves it takes far longer."""
    return _by_numpy(counts, k, threads, lambda x, k: np.argpartition(-x, k - 1, axis=1)[:, :k])


def topk_by_argsort(counts: Counts, k: int, threads: int) -> Callable[[], list[Picked]]:
    """By sorting the negative counts with `numpy.argsort`."""
    return _by_numpy(counts, k, threads, lambda x, k: np.argsort(-x, axis=1)[:, :k])


def _by_numpy(
    counts: Counts,
    k: int,
    threads: int,
    select: Callable[[NDArray[np.float32], int], NDArray[np.intp]],
) -> Callable[[], list[Picked]]:
    vectors = counts.vectors

    def run(part: tuple[sp.csr_array, NDArray[np.float32]]) -> Picked:
        x = part[0].toarray()
        genes = select(x, k)
        values = np.take_along_axis(x, genes, axis=1)
        weights = np.log1p(values * part[1][:, None])
        z = np.matmul(weights[:, None], vectors[genes])[:, 0]
        return Picked(values, to_length_1(z))

    return in_threads(run, _parts(counts, _NUMPY_ROWS), threads)


def _parts(counts: Counts, most: int) -> list[tuple[sp.csr_array, NDArray[np.float32]]]:
    return [(counts.described[rows], counts.scale[rows]) for rows in slices(counts.block.n_rows, most)]


def topk_by_torch(counts: Counts, k: int, threads: int) -> Callable[[], list[Picked]]:
    """By `torch.topk`, and `embedding_bag` with a weight for each gene."""
    torch: Any = importlib.import_module("torch")
    functional = torch.nn.functional
    vectors = torch.from_numpy(counts.vectors)
    parts = _parts(counts, _TORCH_ROWS)

    def run() -> list[Picked]:
        torch.set_num_threads(threads)
        found = []
        for x, scale in parts:
            values, genes = torch.from_numpy(x.toarray()).topk(k, dim=1, sorted=False)
            weights = torch.log1p(values * torch.from_numpy(scale)[:, None])
            z = functional.embedding_bag(genes, vectors, per_sample_weights=weights, mode="sum")
            found.append(Picked(values.numpy(), functional.normalize(z, dim=1).numpy()))
        return found

    return run
