"""Blocks of the host embedded on a GPU: a thread decodes one while the one before is copied and computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lexicell._trace import stage
from lexicell.arrays import require_gpu, to_host
from lexicell.counts import cut_spans, slice_rows
from lexicell.embedding.pipeline import BlockEmbedder, Names, gpu_faults
from lexicell.errors import GpuMemoryError
from lexicell_kernels import CsrBlock, Rows
from lexicell_kernels.types import check_block

__all__ = ["EmbeddedBlock", "GpuBlocks"]

#: Blocks under way at once: one is decoded and copied into its buffers, the other is the GPU's.
_LANES = 2
#: Bytes of a piece, counts and vectors; a GPU that has no room for as much has none for anything.
_LEAST = 1 << 20
_NO_MEMORY = 2  # cudaError_t


@dataclass(frozen=True, slots=True)
class EmbeddedBlock:
    """What became of a block.

    Attributes
    ----------
    start
        Number of its first row in the data set.
    nbytes
        Of the values and columns that were read.
    rows
        NumPy arrays, good until the next block is asked for.
    """

    start: int
    nbytes: int
    rows: Rows


class GpuBlocks:
    """Embeds consecutive blocks of the host on a GPU. Each thread has its own, and nothing crosses threads.

    Two lanes take turns. A lane is a stream, page-locked buffers for a block and for what becomes of it, and
    an event that tells when these may be used again. A block is copied into the buffers of its lane; copies
    to the GPU, kernel and copies back are put on the lane's stream and nobody waits for them, so the thread
    decodes the next block meanwhile, and the copies of one lane overlap the kernel of the other, or of other
    threads. A stream of its own also means that what a lane frees can be handed out again at once: CuPy's
    pool gives a stream's memory to the same stream only.

    A block is cut into pieces that fit the share of the GPU's memory which the lane has, half as large after
    each time that they did not. Vectors do not depend on blocks, so they do not depend on this either.

    It belongs to the GPU that is current where it is made, whichever thread uses it.

    Parameters
    ----------
    embedder
        How to embed, with ``device == "cuda"``.
    workers
        How many threads of this process share the GPU.

    Raises
    ------
    InputError
        The GPU can't be used.
    """

    def __init__(self, embedder: BlockEmbedder, *, workers: int = 1) -> None:
        self._cupy = require_gpu()
        self._embedder = embedder
        self._device = self._cupy.cuda.Device()
        self._lanes = tuple(_Lane(self._cupy) for _ in range(_LANES))
        free = self._device.mem_info[0] + self._cupy.get_default_memory_pool().free_bytes()
        # Half of it for what the kernel and `FoldedTable.prepare` make of a piece beside the piece itself.
        self._piece_bytes = max(_LEAST, free // (2 * _LANES * workers))

    def embed(self, blocks: Iterable[tuple[int, CsrBlock]], names: Names) -> Iterator[EmbeddedBlock]:
        """Embed blocks, in order.

        Parameters
        ----------
        blocks
            Blocks of NumPy arrays and the numbers of their first rows. They are read by asking for the next
            one, and copied before that, so they may share buffers.
        names
            Gives the names of rows, for messages.

        Yields
        ------
        EmbeddedBlock
            One for each block.

        Raises
        ------
        CountsError, InputError
            See `BlockEmbedder.embed`.
        GpuMemoryError
            The GPU's memory is too small even for small pieces.
        """
        busy: deque[_Lane] = deque()
        try:
            for turn, (start, block) in enumerate(blocks):
                if len(busy) == _LANES:
                    yield self._finish(busy.popleft(), names)
                lane = self._lanes[turn % _LANES]
                with stage("copy"):
                    lane.hold(start, block, self._embedder.folded.dim)
                    busy.append(lane)
                    self._start(lane)
            while busy:
                yield self._finish(busy.popleft(), names)
        finally:  # the GPU may still read and write the buffers of what nobody wants any more
            for lane in busy:
                lane.stream.synchronize()

    def _start(self, lane: _Lane) -> None:
        """Put all that makes a block's vectors on the lane's stream."""
        with self._device, lane.stream:
            self._in_pieces(lane, lambda start, stop: self._launch(lane, start, stop))
            lane.done.record(lane.stream)

    def _finish(self, lane: _Lane, names: Names) -> EmbeddedBlock:
        """Wait for a block, and look whether all of its rows could be used."""
        with stage("kernel"):
            lane.done.synchronize()
        if bool((lane.rows.n_genes < 0).any()):
            with self._device, lane.stream:
                self._in_pieces(lane, lambda start, stop: self._repeat(lane, start, stop, names))
        block = lane.block
        return EmbeddedBlock(lane.start, int(block.data.nbytes + block.indices.nbytes), lane.rows)

    def _launch(self, lane: _Lane, start: int, stop: int) -> None:
        """Copy rows of a block to the GPU, embed them and copy what comes out back, waiting for nothing."""
        embedder, piece = self._embedder, slice_rows(lane.block, start, stop)
        with gpu_faults(embedder.label, "cuda"):
            rows = embedder.launch(embedder.ready(self._upload(piece, lane)))
        for name in Rows.__slots__:
            getattr(rows, name).get(
                stream=lane.stream, out=getattr(lane.rows, name)[start:stop], blocking=False
            )

    def _repeat(self, lane: _Lane, start: int, stop: int, names: Names) -> None:
        """Embed rows again, waiting for them: put them in order, or raise what is wrong with them."""
        rows = self._embedder.embed(slice_rows(lane.block, start, stop), lane.start + start, names)
        for name in Rows.__slots__:
            getattr(lane.rows, name)[start:stop] = to_host(getattr(rows, name))

    def _upload(self, block: CsrBlock, lane: _Lane) -> CsrBlock:
        def copied(array: NDArray[Any]) -> Any:
            # cupy.asarray would copy it into other page-locked memory first.
            there = self._cupy.empty(array.shape, array.dtype)
            there.set(array, stream=lane.stream)
            return there

        return CsrBlock(
            data=copied(block.data),
            indices=copied(block.indices),
            indptr=copied(block.indptr),
            n_columns=block.n_columns,
        )

    def _in_pieces(self, lane: _Lane, work: Callable[[int, int], None]) -> None:
        """Do `work` for consecutive rows of a block, as many at a time as the GPU has room for."""
        block = lane.block
        value_bytes = block.data.itemsize + block.indices.itemsize
        folded = self._embedder.folded
        dims = folded.table.dim + (folded.dim if folded.head else 0)
        row_bytes = block.indptr.itemsize + 4 * (dims + 3)
        taken = block.indptr * value_bytes + np.arange(block.n_rows + 1) * row_bytes
        start = 0
        while start < block.n_rows:
            stop = start + next(cut_spans(taken[start:], self._piece_bytes))[1]
            if self._fits(work, start, stop, int(taken[stop] - taken[start])):
                start = stop
            else:
                self._cupy.get_default_memory_pool().free_all_blocks()

    def _fits(self, work: Callable[[int, int], None], start: int, stop: int, taken: int) -> bool:
        """Do `work` unless the GPU has no room for it; the next piece is then half as large."""
        label = self._embedder.label
        try:
            work(start, stop)
        except MemoryError as error:
            if stop - start == 1 or taken <= _LEAST:
                msg = (
                    f"{label}: the GPU's memory is too small for {stop - start:,} cells at a time; free "
                    "some, use fewer workers (--workers), or choose the CPU (--device cpu)"
                )
                raise GpuMemoryError(msg) from error
            self._piece_bytes = taken // 2
            return False
        return True


class _Lane:
    """A stream, the page-locked buffers that it reads and writes, and the event behind its last work."""

    block: CsrBlock
    rows: Rows

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        # A thread that waits for such an event sleeps, and leaves its core to those that decode.
        self.done = cupy.cuda.Event(block=True, disable_timing=True)
        self.start = 0
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def hold(self, start: int, block: CsrBlock, dim: int) -> None:
        """Copy a block here and make room for its rows; the GPU must be done with the one before."""
        check_block(block)
        n, self.start = block.n_rows, start
        self.block = CsrBlock(
            data=self._copy("data", block.data),
            indices=self._copy("indices", block.indices),
            indptr=self._copy("indptr", block.indptr),
            n_columns=block.n_columns,
        )
        self.rows = Rows(
            self._take("vectors", n * dim, np.float32).reshape(n, dim),
            self._take("n_genes", n, np.int32),
            self._take("coverage", n, np.float32),
            self._take("n_tied", n, np.int32),
        )

    def _copy(self, role: str, array: NDArray[Any]) -> NDArray[Any]:
        here = self._take(role, len(array), array.dtype)
        here[...] = array
        return here

    def _take(self, role: str, size: int, dtype: DTypeLike) -> NDArray[Any]:
        """Give `size` elements of the buffer for `role`, which grows where it has to."""
        needed = size * np.dtype(dtype).itemsize
        if role not in self._buffers or len(self._buffers[role]) < needed:
            self._buffers.pop(role, None)  # before there are two of them
            self._buffers[role] = self._locked(needed + needed // 8)
        return self._buffers[role][:needed].view(dtype)

    def _locked(self, size: int) -> NDArray[np.uint8]:
        from cupyx import empty_pinned

        runtime = self._cupy.cuda.runtime
        try:
            locked: NDArray[np.uint8] = empty_pinned(size, np.uint8)
        except runtime.CUDARuntimeError as error:
            if error.status != _NO_MEMORY:
                raise
            msg = (
                f"the system does not page-lock {size / 2**20:,.0f} MiB of memory for copies to the GPU; "
                "use fewer workers (--workers), or choose the CPU (--device cpu)"
            )
            raise GpuMemoryError(msg) from error
        return locked
