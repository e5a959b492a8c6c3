"""Read, embed, hand on: the loop that every way of embedding runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import blake3
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._trace import Crew, stage
from lexicell.arrays import Device, in_order, move, require_gpu, to_host
from lexicell.counts import CountSource, Values, naming_bad_counts
from lexicell.embedding.blocks import read_blocks
from lexicell.embedding.events import Advanced, Listener, ignore
from lexicell.embedding.fold import FoldedTable
from lexicell.embedding.recipe import Recipe
from lexicell.errors import GpuMemoryError, InputError
from lexicell.projection import apply_head
from lexicell_kernels import (
    CsrBlock,
    DisorderedRowsError,
    GpuUnavailableError,
    InvalidCountsError,
    Rows,
    check_rows,
    embed_rows,
)

__all__ = ["BlockEmbedder", "Quality", "embed_in_memory", "embed_source", "gpu_faults"]

#: Gives the names of cells ``start:stop``.
Names = Callable[[int, int], "pd.Index[Any]"]


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

    def columns(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the columns by the names that they get in ``obs``."""
        return {f"{prefix}_{field.name}": getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class BlockEmbedder:
    """All that makes vectors of a block of counts, and names what is wrong with it.

    It can be pickled, so that Dask's workers get it.

    Attributes
    ----------
    folded
        The gene table for the data set's columns, and the head.
    recipe
        k, weight, normalisation.
    values
        What the numbers are.
    device
        Where to embed; a block that lies elsewhere is copied.
    label, genes
        Names of the data set and of its columns, for messages.
    """

    folded: FoldedTable
    recipe: Recipe
    values: Values
    device: Device
    label: str
    genes: pd.Index[Any]

    def embed(
        self,
        block: CsrBlock,
        start: int,
        names: Names,
        threads: int | None = None,
        out: NDArray[Any] | None = None,
    ) -> Rows:
        """Embed some rows of the data set.

        Parameters
        ----------
        block
            The counts as they are stored.
        start
            Number of the first row in the data set.
        names
            Gives the names of rows ``start:stop`` of the data set, for messages.
        threads
            See `lexicell_kernels.embed_rows`.
        out
            NumPy array that gets the vectors, float32 or float16 ``[n, p]``, C-contiguous; None for new ones.

        Returns
        -------
        Rows
            Arrays on `device`; the vectors are `out` where that is given.

        Raises
        ------
        CountsError
            A count is negative, NaN or infinite; the message names cell and gene.
        InputError
            The GPU can't be used for this.
        GpuMemoryError
            The GPU's memory is too small.
        """
        with (
            naming_bad_counts(block, start, self.values, self.label, names, self.genes),
            gpu_faults(self.label, self.device),
            stage("kernel"),
        ):
            ready = self.ready(move(block, self.device))
            try:
                return self._checked(ready, threads, out)
            except DisorderedRowsError:  # on a GPU only; the CPU's kernel puts rows in order itself
                return self._checked(in_order(ready), threads, out)

    def digest(self, block: CsrBlock) -> str:
        """BLAKE3 of what some rows become here, as hex; it differs where the last bit is rounded otherwise.

        Rows that can't be used count as empty ones: who embeds them meets the error, and can name them.

        Raises
        ------
        InputError, GpuMemoryError
            See `embed`.
        """
        digest = blake3.blake3()
        try:
            with gpu_faults(self.label, self.device), stage("kernel"):
                rows = self.launch(self.ready(move(block, self.device)), 1)
        except InvalidCountsError:
            return digest.hexdigest()
        for name in Rows.__slots__:
            digest.update(to_host(getattr(rows, name)).tobytes())
        return digest.hexdigest()

    def launch(self, block: CsrBlock, threads: int | None = None, out: NDArray[Any] | None = None) -> Rows:
        """Run kernel and head on a block that `ready` has prepared; on a GPU without waiting or checking.

        `out` is for the CPU, and a head does not look at it.
        """
        recipe, head = self.recipe, self.folded.head
        rows = embed_rows(
            block,
            self.folded.table,
            k=recipe.top_k,
            weight=recipe.weight,
            normalise=recipe.normalise and not head,
            threads=threads,
            out=None if head else out,
        )
        if not head:
            return rows
        vectors = apply_head(head, rows.vectors, rows.n_genes > 0, normalise=recipe.normalise)
        return replace(rows, vectors=vectors)

    def ready(self, block: CsrBlock) -> CsrBlock:
        """Make counts of stored values, and sum those of columns that are one gene, where the block lies."""
        return self.folded.genes.counts(block, self.values)

    def _checked(self, block: CsrBlock, threads: int | None, out: NDArray[Any] | None) -> Rows:
        rows = self.launch(block, threads, out if self.device == "cpu" else None)
        check_rows(rows, block)
        if out is None or rows.vectors is out:
            return rows
        with stage("copy"):
            out[...] = to_host(rows.vectors)
        return replace(rows, vectors=out)


def embed_source(
    source: CountSource,
    embedder: BlockEmbedder,
    sink: Callable[[Any], None],
    *,
    on_device: bool = False,
    max_nnz: int | None = None,
    listener: Listener = ignore,
) -> Quality:
    """Embed all rows of a source, in order.

    One thread reads the next block while the kernel works on this one; nothing else is kept.

    Parameters
    ----------
    source
        ``N`` cells.
    embedder
        How to embed them.
    sink
        Is given each block's vectors, float32 ``[n, p]``, which it may keep.
    on_device
        Whether `sink` gets the vectors where they were made, as CuPy arrays of a GPU, or on the host.
    max_nnz
        Stored values of one block; None for what suits the source.
    listener
        Is told the progress.

    Raises
    ------
    CountsError
        A count is negative, NaN or infinite; the message names the cell.
    InputError, GpuMemoryError
        See `BlockEmbedder.embed`.
    """
    n = source.n_cells
    quality = Quality(np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.int32))
    decoded = 0
    with Crew() as crew, crew.member("embed"):
        for start, block in read_blocks(source, max_nnz, crew):
            stop = start + block.n_rows
            rows = embedder.embed(block, start, source.names)
            with stage("copy"):
                quality.n_genes[start:stop] = to_host(rows.n_genes)
                quality.coverage[start:stop] = to_host(rows.coverage)
                quality.n_tied[start:stop] = to_host(rows.n_tied)
                vectors = rows.vectors if on_device else to_host(rows.vectors)
            with stage("write"):
                sink(vectors)
            decoded += int(block.data.nbytes + block.indices.nbytes)
            listener(Advanced(stop, n, decoded))
    return quality


def embed_in_memory(
    source: CountSource, embedder: BlockEmbedder, *, home: Device = "cpu", listener: Listener = ignore
) -> tuple[Any, Quality]:
    """Embed all rows of a source.

    Parameters
    ----------
    source, embedder, listener
        See `embed_source`.
    home
        Where the vectors are wanted.

    Returns
    -------
    tuple
        Vectors, float32 ``[N, p]``, of NumPy or CuPy, and their quality.

    Raises
    ------
    CountsError, InputError, GpuMemoryError
        See `embed_source`; or the GPU has no room for the vectors.
    """
    xp: Any = np if home == "cpu" else require_gpu()
    with gpu_faults(source.label, home):
        vectors = xp.empty((source.n_cells, embedder.folded.dim), np.float32)
    filled = 0

    def sink(rows: Any) -> None:
        nonlocal filled
        vectors[filled : filled + len(rows)] = rows
        filled += len(rows)

    quality = embed_source(source, embedder, sink, on_device=home == "cuda", listener=listener)
    return vectors, quality


@contextmanager
def gpu_faults(label: str, device: Device) -> Iterator[None]:
    """Say what can be done about what only a GPU can't do; InvalidCountsError passes."""
    try:
        yield
    except (InvalidCountsError, DisorderedRowsError):
        raise
    except GpuUnavailableError as error:
        raise InputError(str(error)) from error
    except (MemoryError, ValueError) as error:
        if device == "cpu":
            raise
        if isinstance(error, ValueError):  # more genes than it can sort, or a row that is too long
            msg = f"{label}: {error}"
            raise InputError(msg) from error
        msg = (
            f"{label}: the GPU's memory is too small ({str(error).partition(': ')[0]}); free some, keep the "
            "vectors on the host (on_device=False), or choose the CPU (--device cpu)"
        )
        raise GpuMemoryError(msg) from error
