"""Counts as the peers get them, prepared before any clock starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell_kernels import CsrBlock, GeneTable

__all__ = ["Counts", "first", "in_threads", "joined", "scaled_log1p", "slices", "to_length_1"]

Part = TypeVar("Part")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Counts:
    """Cells and vectors in the layouts that peers take.

    Attributes
    ----------
    block
        ``n`` cells x ``v`` columns.
    table
        Each of its ``m`` genes is one column.
    """

    block: CsrBlock
    table: GeneTable

    @cached_property
    def x(self) -> sp.csr_array:
        """All columns, ``[n, v]`` float32."""
        b = self.block
        arrays = (b.data.astype(np.float32), b.indices.astype(np.int32), b.indptr.astype(np.int32))
        return sp.csr_array(arrays, shape=(b.n_rows, b.n_columns))

    @cached_property
    def described(self) -> sp.csr_array:
        """Columns with a description in the lexicon's order, ``[n, m]`` float32."""
        columns = np.argsort(self.table.rank, kind="stable")[int((self.table.rank < 0).sum()) :]
        x = sp.csr_array(self.x[:, columns])
        x.sort_indices()
        return x

    @cached_property
    def scale(self) -> NDArray[np.float32]:
        """``1e4 / N`` with N over all columns, ``[n]``."""
        return (1e4 / np.asarray(self.x.sum(axis=1))).astype(np.float32)

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Of the genes, ``[m, p]``."""
        return np.asarray(self.table.vectors, np.float32)

    @cached_property
    def by_column(self) -> NDArray[np.float32]:
        """Of the columns, ``[v, p]``; zeros where there is no description."""
        found = np.zeros((self.table.n_columns, self.table.dim), np.float32)
        found[self.table.rank >= 0] = self.vectors[self.table.rank[self.table.rank >= 0]]
        return found

    def without_ties(self) -> Counts:
        """The same cells with a fraction of 1 added to each count, so that no two of a cell are equal."""
        lengths = np.diff(self.block.indptr)
        place = np.arange(len(self.block.data)) - np.repeat(self.block.indptr[:-1], lengths)
        return replace(self, block=replace(self.block, data=(self.block.data + place / 2**14).astype("f4")))


def first(blocks: Sequence[CsrBlock], n: int) -> list[CsrBlock]:
    """Views of the first `n` cells."""
    found = []
    for block in blocks:
        if n <= 0:
            break
        indptr = block.indptr[: n + 1]
        stop = int(indptr[-1])
        found.append(replace(block, data=block.data[:stop], indices=block.indices[:stop], indptr=indptr))
        n -= block.n_rows
    return found


def joined(blocks: Sequence[CsrBlock]) -> CsrBlock:
    """One block of all cells; each block's offsets begin with 0."""
    starts = np.cumsum([0, *(int(b.indptr[-1]) for b in blocks)])
    return CsrBlock(
        data=np.concatenate([b.data for b in blocks]),
        indices=np.concatenate([b.indices for b in blocks]),
        indptr=np.concatenate(
            [[0], *(b.indptr[1:] + start for b, start in zip(blocks, starts[:-1], strict=True))]
        ),
        n_columns=blocks[0].n_columns,
    )


def scaled_log1p(x: sp.csr_array) -> sp.csr_array:
    """``log1p(1e4 x / N)``, in a new matrix."""
    y = x.copy()
    scale = (1e4 / np.asarray(x.sum(axis=1))).astype(np.float32)
    y.data = np.log1p(y.data * np.repeat(scale, np.diff(y.indptr)))
    return y


def to_length_1(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide rows by their length, in place."""
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return z


def slices(n: int, rows: int) -> list[slice]:
    """Cut `n` cells into slices of at most `rows`."""
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]


def in_threads(run: Callable[[Part], Done], parts: Sequence[Part], threads: int) -> Callable[[], list[Done]]:
    """Call `run` with each part, `threads` at a time."""

    def all_parts() -> list[Done]:
        if threads == 1:
            return [run(part) for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(run, parts))

    return all_parts
