"""The loop over a data set's counts: block by block, the next one being read while the caller works."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from lexicell._trace import Crew, stage
from lexicell.counts import MAX_NNZ, CountSource
from lexicell_kernels import CsrBlock

__all__ = ["MAX_NNZ_ON_GPU", "read_blocks"]

#: `lexicell.counts.MAX_NNZ` for counts that lie on a GPU: a block costs the launch of a kernel and no copy.
MAX_NNZ_ON_GPU = 1 << 27


def read_blocks(
    source: CountSource, max_nnz: int | None = None, crew: Crew | None = None
) -> Iterator[tuple[int, CsrBlock]]:
    """Read all cells in order, one block ahead in a thread.

    Parameters
    ----------
    source
        Where the counts are.
    max_nnz
        Stored values of one block; None for what suits the source.
    crew
        Records the time that reading takes.

    Yields
    ------
    tuple
        Number of the first row, and the block as it is stored, where the source has it.
    """
    if source.device == "cuda":  # nothing to wait for; and another thread would have its own current device
        for start, stop in source.spans(max_nnz or MAX_NNZ_ON_GPU):
            with stage("decode"):
                block = source.read(start, stop)
            yield start, block
        return
    crew = Crew() if crew is None else crew

    def read(start: int, stop: int) -> CsrBlock:
        with crew.member("read"), stage("decode"):
            return source.read(start, stop)

    with ThreadPoolExecutor(1, thread_name_prefix="lexicell-read") as reader:
        ahead: Future[CsrBlock] | None = None
        begin = 0
        for start, stop in source.spans(max_nnz or MAX_NNZ):
            following = reader.submit(read, start, stop)
            if ahead is not None:
                yield begin, ahead.result()
            ahead, begin = following, start
        if ahead is not None:
            yield begin, ahead.result()
