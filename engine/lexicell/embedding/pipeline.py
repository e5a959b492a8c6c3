"""Read, embed, hand on: the loop that every way of embedding runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexicell.atlas import CountSource, Values, decode_values
from lexicell.embedding.events import Advanced, Listener, ignore
from lexicell.embedding.fold import FoldedTable
from lexicell.embedding.recipe import Recipe
from lexicell.errors import CountsError
from lexicell_kernels import CsrBlock, InvalidCountsError, embed_rows

__all__ = ["MAX_NNZ", "Quality", "embed_source"]

#: Stored values of one block: 32 MB as float32 with int32 columns. Larger blocks are slower, since fresh
#: pages cost more than decoding; much smaller ones wait for each other.
MAX_NNZ = 4_000_000


@dataclass(frozen=True, slots=True)
class Quality:
    """Per-cell quality of an embedding; see `lexicell_kernels.Rows` for the three columns."""

    n_genes: NDArray[np.int32]
    coverage: NDArray[np.float32]
    n_tied: NDArray[np.int32]

    @property
    def n_empty(self) -> int:
        """Cells without any described gene: their rows are zero."""
        return int((self.n_genes == 0).sum())


def embed_source(
    source: CountSource,
    folded: FoldedTable,
    recipe: Recipe,
    values: Values,
    sink: Callable[[NDArray[np.float32]], None],
    *,
    max_nnz: int = MAX_NNZ,
    listener: Listener = ignore,
) -> Quality:
    """Embed all rows of a source, in order.

    One thread reads the next block while the kernel's threads work on this one; nothing else is kept.

    Parameters
    ----------
    source
        ``N`` cells.
    folded
        The gene table for the source's columns.
    recipe
        k, weight, normalisation.
    values
        What the source's numbers are.
    sink
        Is given each block's vectors, float32 ``[n, p]``, which it may keep.
    max_nnz
        Stored values of one block.
    listener
        Is told the progress.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names the cell.
    """
    n = source.n_cells
    quality = Quality(np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.int32))
    for start, block in _blocks(source, max_nnz):
        try:
            rows = embed_rows(
                folded.prepare(decode_values(block, values)),
                folded.table,
                k=recipe.top_k,
                weight=recipe.weight,
                normalise=recipe.normalise,
            )
        except InvalidCountsError as error:
            raise CountsError(_blame(source, block, start, error)) from error
        stop = start + block.n_rows
        quality.n_genes[start:stop] = rows.n_genes
        quality.coverage[start:stop] = rows.coverage
        quality.n_tied[start:stop] = rows.n_tied
        sink(rows.vectors)
        listener(Advanced(stop, n))
    return quality


def _blocks(source: CountSource, max_nnz: int) -> Iterator[tuple[int, CsrBlock]]:
    """Blocks in order, the next one being read while the caller works on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="lexicell-read") as reader:
        ahead: Future[CsrBlock] | None = None
        begin = 0
        for start, stop in source.spans(max_nnz):
            following = reader.submit(source.read, start, stop)
            if ahead is not None:
                yield begin, ahead.result()
            ahead, begin = following, start
        if ahead is not None:
            yield begin, ahead.result()


def _blame(source: CountSource, block: CsrBlock, start: int, error: InvalidCountsError) -> str:
    """Name the cell and the gene, and show the value as the file has it."""
    a, b = int(block.indptr[error.row]), int(block.indptr[error.row + 1])
    x = block.data[a:b]
    bad = np.flatnonzero(~(np.isfinite(x) & (x >= 0)))
    at = int(bad[0]) if len(bad) else int(x.argmax())  # finite, but not after expm1
    gene = source.var.index[int(block.indices[a + at])]
    cell = source.obs.index[start + error.row]
    return (
        f"{source.label}: cell {cell!r} (row {start + error.row}) has {x[at]} for gene {gene!r}; "
        "counts are finite and not negative"
    )
