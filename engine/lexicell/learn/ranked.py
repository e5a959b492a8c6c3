"""RankedCells: the selected genes of every cell, compact enough to keep a million cells in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell._arrays import move, to_host
from lexicell._files import reading_file
from lexicell._trace import stage
from lexicell.embedding.events import Advanced, Listener, ignore
from lexicell.embedding.pipeline import MAX_NNZ
from lexicell.learn._tensors import read_tensors, write_tensors
from lexicell_kernels import CsrBlock, GeneTable, InvalidCountsError, Weight, select_topk, weights

if TYPE_CHECKING:
    import scipy.sparse as sp

    from lexicell.embedding.plan import Plan

__all__ = ["RankedCells", "rank_cells", "rank_counts"]

_KIND = "ranked cells"


@dataclass(frozen=True)
class RankedCells:
    """The genes that a recipe selects in each of ``N`` cells, with their counts, in CSR form.

    Weights are not kept: they follow from the counts, and training draws other counts. With 128 genes a cell
    takes about 400 bytes.

    Attributes
    ----------
    genes
        ``[nnz]`` lexicon rows, uint16 (int32 for lexicons of 65,536 genes or more), ascending in each cell.
    counts
        ``[nnz]`` counts ``x``, uint8 or uint16 where that loses nothing, else float32.
    indptr
        ``[N + 1]`` int64.
    totals
        ``[N]`` float32, sum of all of a cell's counts, described or not.
    n_lexicon
        ``G``, genes of the lexicon.
    lexicon
        Its identity.
    top_k, weight
        How genes were selected, and how they are to be weighted; see `lexicell.embedding.Recipe`.
    factor
        ``[G]`` float32 rank factors that genes were selected with, or None for 1.
    """

    genes: NDArray[Any]
    counts: NDArray[Any]
    indptr: NDArray[np.int64]
    totals: NDArray[np.float32]
    n_lexicon: int
    lexicon: str
    top_k: int | None
    weight: Weight
    factor: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.totals)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """``[N]`` genes of each cell."""
        return np.diff(self.indptr)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(a.nbytes for a in (self.genes, self.counts, self.indptr, self.totals))

    @property
    def used(self) -> NDArray[np.int32]:
        """Lexicon rows that occur, ascending."""
        there = np.zeros(self.n_lexicon, bool)
        there[self.genes] = True
        return np.flatnonzero(there).astype(np.int32)

    def take(self, cells: NDArray[np.integer[Any]]) -> RankedCells:
        """Return some cells, by their numbers, in that order; a cell may be asked for twice."""
        starts, sizes = self.indptr[cells], self.sizes[cells]
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        where = np.repeat(starts - indptr[:-1], sizes) + np.arange(indptr[-1])
        return replace(
            self,
            genes=self.genes[where],
            counts=self.counts[where],
            indptr=indptr,
            totals=self.totals[cells],
        )

    def weights(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Weights of the genes of cells ``start:stop``, by the kernel's definition.

        Returns
        -------
        numpy.ndarray
            float32, as ``genes[indptr[start]:indptr[stop]]``.
        """
        indptr = self.indptr[start : len(self) + 1 if stop is None else stop + 1]
        a, b = int(indptr[0]), int(indptr[-1])
        counts = self.counts[a:b]
        scores = counts
        if self.factor is not None:
            scores = counts.astype(np.float32) * self.factor[self.genes[a:b]]
        return weights(counts, scores, self.totals[start:stop].clip(1e-30), indptr - a, self.weight)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a safetensors file with a checksum.

        Raises
        ------
        OutputExistsError, WriteError
            It exists, or can't be written.
        """
        arrays = {"genes": self.genes, "counts": self.counts, "indptr": self.indptr, "totals": self.totals}
        if self.factor is not None:
            arrays["factor"] = self.factor
        document = {
            "n_lexicon": self.n_lexicon,
            "lexicon": self.lexicon,
            "top_k": self.top_k,
            "weight": str(self.weight),
        }
        write_tensors(Path(path), arrays, document, _KIND, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> RankedCells:
        """Read what `save` wrote.

        Raises
        ------
        InputNotFoundError, InputError, CorruptDataError
            There is no such file, it is something else, or it was changed.
        """
        arrays, document = read_tensors(Path(path), _KIND)
        with reading_file(path, "make it again"):
            return cls(**{**arrays, **document, "weight": Weight(document["weight"])})


def rank_cells(plan: Plan, *, listener: Listener = ignore) -> RankedCells:
    """Select the genes of every cell of a source, block by block, with the kernel's `select_topk`.

    Parameters
    ----------
    plan
        Cells, lexicon and recipe. A recipe with all genes (``top_k`` None) keeps all described ones.
    listener
        Is told the progress, in cells.

    Returns
    -------
    RankedCells
        One block of counts is in memory beside it, and at the end one of its arrays in parts.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names the cell.
    """
    source, embedder, table = plan.source, plan.embedder, plan.folded.table
    parts, decoded = _Parts(), 0
    for start, stop in source.spans(MAX_NNZ):
        with stage("decode"):
            block = source.read(start, stop)
        try:
            with stage("kernel"):
                parts.add(embedder.ready(move(block, "cpu")), table, plan.recipe.top_k)
        except InvalidCountsError:
            embedder.embed(block, start, source.names)  # raises the same, with the names of cell and gene
            raise
        decoded += int(block.data.nbytes + block.indices.nbytes)
        listener(Advanced(stop, source.n_cells, decoded))
    factor = None
    if table.factor is not None:
        factor = np.ones(plan.lexicon.n_genes, np.float32)
        factor[plan.folded.lexicon_rows] = to_host(table.factor)
    return parts.join(
        plan.folded.lexicon_rows,
        n_lexicon=plan.lexicon.n_genes,
        lexicon=plan.lexicon.identity,
        top_k=plan.recipe.top_k,
        weight=plan.recipe.weight,
        factor=factor,
    )


def rank_counts(
    counts: sp.csr_matrix | sp.csr_array,
    rows: NDArray[np.int32],
    totals: NDArray[np.float32],
    *,
    n_lexicon: int,
    lexicon: str = "",
    top_k: int | None = None,
    weight: Weight = Weight.LOG1P,
    factor: NDArray[np.float32] | None = None,
) -> RankedCells:
    """Select the genes of cells whose matrix is in memory, and has columns of described genes only.

    Parameters
    ----------
    counts
        ``[N, m]``.
    rows
        ``[m]`` lexicon row of each column, no row twice.
    totals
        ``[N]`` all counts of each cell.
    n_lexicon, lexicon, top_k, weight, factor
        See `RankedCells`.

    Raises
    ------
    InvalidCountsError
        A count is negative, NaN or infinite.
    """
    order = np.argsort(rows)
    rank = np.empty(len(rows), np.int32)
    rank[order] = np.arange(len(rows), dtype=np.int32)
    genes = np.ascontiguousarray(rows[order], np.int32)
    table = GeneTable(
        np.zeros((len(rows), 1), np.float32), rank, None if factor is None else factor[genes].astype("f4")
    )
    parts = _Parts()
    step = max(1, int(MAX_NNZ * counts.shape[0] / max(1, counts.nnz)))
    for start in range(0, counts.shape[0], step):
        part = counts[start : start + step]
        parts.add(
            CsrBlock(
                data=part.data, indices=part.indices, indptr=part.indptr.astype(np.int64), n_columns=len(rows)
            ),
            table,
            top_k,
        )
    joined = parts.join(
        genes, n_lexicon=n_lexicon, lexicon=lexicon, top_k=top_k, weight=weight, factor=factor
    )
    return replace(joined, totals=np.asarray(totals, np.float32))


class _Parts:
    """What is selected block by block, until all blocks are seen."""

    def __init__(self) -> None:
        self._genes: list[NDArray[Any]] = []
        self._counts: list[NDArray[Any]] = []
        self._sizes: list[NDArray[Any]] = []
        self._totals: list[NDArray[Any]] = []

    def add(self, block: CsrBlock, table: GeneTable, top_k: int | None) -> None:
        """Select in a block that lies on the host, with one column per gene."""
        indptr = np.asarray(block.indptr)
        longest = max(1, int(np.diff(indptr).max(initial=0)))
        k = min(longest, table.n_genes if top_k is None else top_k)
        picks = select_topk(block, table, k=k, device="cpu")
        chosen = picks.genes >= 0
        genes = picks.genes[chosen]
        self._genes.append(genes.astype(np.uint16 if table.n_genes <= 1 << 16 else np.int32))
        self._counts.append(_compact(picks.counts[chosen]))
        self._sizes.append(picks.n_genes)
        self._totals.append(picks.totals.astype(np.float32))

    def join(self, rows: NDArray[np.int32], **settings: Any) -> RankedCells:
        """Put the parts together, emptying them, with genes as rows of the lexicon."""
        rows = rows.astype(np.uint16 if settings["n_lexicon"] <= 1 << 16 else np.int32)
        sizes = _concat(self._sizes, np.int32)
        genes = _concat(self._genes, rows.dtype)
        for start in range(0, len(genes), MAX_NNZ):  # by parts, to translate in place
            genes[start : start + MAX_NNZ] = rows[genes[start : start + MAX_NNZ]]
        return RankedCells(
            genes,
            _concat(self._counts, np.result_type(np.uint8, *{part.dtype for part in self._counts})),
            np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]),
            _concat(self._totals, np.float32),
            **settings,
        )


def _compact(counts: NDArray[np.float32]) -> NDArray[Any]:
    """Return the same numbers in the smallest type that holds them."""
    for dtype in (np.uint8, np.uint16):
        if counts.max(initial=0) <= np.iinfo(dtype).max:
            small = counts.astype(dtype)
            if np.array_equal(small, counts):
                return small
            break
    return counts


def _concat(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    """Concatenate a list and empty it, each part being freed once it is copied."""
    at = sum(map(len, parts))
    out = np.empty(at, dtype)
    while parts:
        part = parts.pop()
        at -= len(part)
        out[at : at + len(part)] = part
    return out
