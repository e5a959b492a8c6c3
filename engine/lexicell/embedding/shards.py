"""One shard of an atlas: read, made, written. Threads here and processes elsewhere run the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._trace import stage
from lexicell.arrays import to_host
from lexicell.counts import MAX_NNZ, CountSource, Scratch
from lexicell.embedding.continuing import Arithmetic
from lexicell.embedding.events import Advanced, Listener, Started
from lexicell.embedding.gpu_blocks import EmbeddedBlock, GpuBlocks
from lexicell.embedding.inputs import Inputs
from lexicell.embedding.pipeline import BlockEmbedder
from lexicell.store import Layout, Receipt, Shard, ShardWriter, open_objects
from lexicell_kernels import CsrBlock

__all__ = [
    "EmbedShards",
    "MakeShard",
    "ShardJob",
    "ShardMaker",
    "ShardProgress",
    "ShardWorker",
    "Stopped",
    "Tick",
]

#: Is told the cells and the decoded bytes of each block that is done.
Tick = Callable[[int, int], None]
#: Makes cells ``start:stop``. Asks before each block how many threads the CPU's kernel may use, and calls the
#: tick after it; what that raises ends the shard.
MakeShard = Callable[[int, int, Callable[[], int], Tick], Any]


class Stopped(Exception):  # noqa: N818 -- nothing went wrong
    """A worker was asked to end before its shard was done."""


class ShardMaker(Protocol):
    """What makes the cells of a shard what its sink takes; it can be pickled."""

    @property
    def label(self) -> str:
        """Name of the data set, for messages."""
        ...

    @property
    def genes(self) -> pd.Index[Any]:
        """Names of its columns, which are the same for all workers."""
        ...

    def check(self, who: str) -> None:
        """Raise InputError where this machine would make other cells than the one that began the run."""
        ...

    def start(self, source: CountSource, layout: Layout, crew: int) -> MakeShard:
        """Begin a worker, one of `crew` in this process, on the opened counts, which others share."""
        ...


@dataclass(frozen=True)
class ShardJob:
    """All that is needed to make any shard; it can be pickled.

    Attributes
    ----------
    inputs
        Where the counts are; None where they are in the memory of this process only.
    maker
        What is made of them.
    writer
        Where the shards go.
    """

    inputs: Inputs | None
    maker: ShardMaker
    writer: ShardWriter


class ShardProgress:
    """Tells that a run begins, and adds up what is done of it.

    Parameters
    ----------
    layout
        How the embedding is cut.
    shards, workers
        What the run has to do, and how many share it.
    listener
        Is told.
    """

    def __init__(self, layout: Layout, shards: Sequence[int], workers: int, listener: Listener) -> None:
        todo = sum(stop - start for start, stop in map(layout.rows, shards))
        self._total, self._done, self._decoded = layout.n_cells, layout.n_cells - todo, 0
        self._listener = listener
        listener(Started(self._total, self._done, len(shards), workers))

    def add(self, cells: int, decoded: int) -> None:
        """Count cells that are embedded, and the bytes of counts that were decoded for them."""
        self._done += cells
        self._decoded += decoded
        self._listener(Advanced(self._done, self._total, self._decoded))


class ShardWorker:
    """Makes shards one after another.

    Parameters
    ----------
    job
        What is made.
    source
        The opened counts; several workers may share it.
    crew
        How many workers share this process.
    """

    def __init__(self, job: ShardJob, source: CountSource, *, crew: int = 1) -> None:
        self._writer = job.writer
        self._make = job.maker.start(source, job.writer.layout, crew)
        self._objects = open_objects(job.writer.location)

    def run(self, number: int, *, threads: Callable[[], int], tick: Tick) -> Receipt:
        """Make one shard.

        Parameters
        ----------
        number
            Of the shard.
        threads, tick
            See `MakeShard`.

        Raises
        ------
        CountsError, InputError, CorruptDataError, GpuMemoryError
            See `BlockEmbedder.embed` and `CountSource.read`.
        WriteError
            The output refuses.
        """
        shard = self._make(*self._writer.layout.rows(number), threads, tick)
        with stage("write"):
            return self._writer.write(number, shard, self._objects)


@dataclass(frozen=True)
class EmbedShards:
    """Makes vectors of cells, for `lexicell.store.EmbeddingSink`.

    Attributes
    ----------
    embedder
        How to embed.
    arithmetic
        What a machine that makes shards compares first; None for nothing.
    max_nnz
        Stored values of one block.
    """

    embedder: BlockEmbedder
    arithmetic: Arithmetic | None = None
    max_nnz: int | None = None

    @property
    def label(self) -> str:
        """See `ShardMaker`."""
        return self.embedder.label

    @property
    def genes(self) -> pd.Index[Any]:
        """See `ShardMaker`."""
        return self.embedder.genes

    def check(self, who: str) -> None:
        """See `ShardMaker`."""
        if self.arithmetic is not None:
            self.arithmetic.check(self.embedder, who, "give the run workers of one kind")

    def start(self, source: CountSource, layout: Layout, crew: int) -> MakeShard:
        """See `ShardMaker`."""
        return _EmbeddingWorker(self.embedder, source, layout, crew, self.max_nnz or MAX_NNZ).make


class _EmbeddingWorker:
    """Embeds shards one after another, with buffers that it keeps: fresh pages cost more than decoding."""

    def __init__(
        self, embedder: BlockEmbedder, source: CountSource, layout: Layout, crew: int, max_nnz: int
    ) -> None:
        self._embedder, self._source, self._layout, self._max_nnz = embedder, source, layout, max_nnz
        self._counts, self._rows = Scratch(), Scratch()
        uploads = embedder.device == "cuda" and source.device == "cpu"
        self._gpu = GpuBlocks(embedder, workers=crew) if uploads else None

    def make(self, start: int, stop: int, threads: Callable[[], int], tick: Tick) -> Shard:
        shard = self._shard(stop - start)
        for made in self._embedded(start, stop, threads, shard.vectors):
            rows, n = made.rows, len(made.rows.n_genes)
            here = slice(made.start - start, made.start - start + n)
            with stage("copy"):
                shard.n_genes[here] = to_host(rows.n_genes)
                shard.coverage[here] = to_host(rows.coverage)
                shard.n_tied[here] = to_host(rows.n_tied)
            tick(n, made.nbytes)
        return shard

    def _embedded(
        self, start: int, stop: int, threads: Callable[[], int], vectors: NDArray[Any]
    ) -> Iterator[EmbeddedBlock]:
        """Embed some rows, block by block, in order, and fill `vectors` with what they become."""
        source, embedder = self._source, self._embedder
        blocks = (
            (first, self._block(first, last)) for first, last in source.spans(self._max_nnz, start, stop)
        )
        if self._gpu is not None:
            for made in self._gpu.embed(blocks, source.names):
                at = made.start - start
                with stage("copy"):
                    vectors[at : at + len(made.rows.n_genes)] = to_host(made.rows.vectors)
                yield made
            return
        for first, block in blocks:
            out = vectors[first - start : first - start + block.n_rows]
            rows = embedder.embed(block, first, source.names, threads(), out)
            yield EmbeddedBlock(first, int(block.data.nbytes + block.indices.nbytes), rows)

    def _block(self, start: int, stop: int) -> CsrBlock:
        with stage("decode"):
            return self._source.read(start, stop, self._counts)

    def _shard(self, n: int) -> Shard:
        """Room for a shard, in buffers that the next one uses again."""
        layout, take = self._layout, self._rows.take
        return Shard(
            take("vectors", n * layout.dim, np.dtype(layout.dtype)).reshape(n, layout.dim),
            take("n_genes", n, np.dtype(np.int32)),
            take("coverage", n, np.dtype(np.float32)),
            take("n_tied", n, np.dtype(np.int32)),
        )
