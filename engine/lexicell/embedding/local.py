"""Shards in the threads of this process: each takes a whole shard, so nothing crosses threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

from lexicell._trace import Crew
from lexicell.counts import CountSource
from lexicell.embedding.events import Listener
from lexicell.embedding.shards import ShardJob, ShardProgress, ShardWorker, Stopped
from lexicell.store import Receipt
from lexicell_kernels.cpu import available_cpus

__all__ = ["run_local"]

#: Seconds that workers get to end.
_PATIENCE = 2.0
#: What a worker tells: cells and bytes of a block, a shard, why it failed, or that it ends.
_Message = tuple[int, int] | Receipt | BaseException | None


def run_local(
    job: ShardJob,
    source: CountSource,
    shards: Sequence[int],
    *,
    workers: int | None,
    commit: Callable[[Receipt], None],
    listener: Listener,
) -> None:
    """Make shards in threads.

    A thread decodes, embeds and writes its shard. Blocks, kernel and codecs hold no lock, so two threads keep
    two cores busy with nothing handed over between them. Towards the end, when there are fewer shards than
    threads, the kernel uses the cores that are free. `commit` and `listener` are called by this thread only.

    Parameters
    ----------
    job
        What to make.
    source
        The opened counts. Those on a GPU are read by this thread only, which then makes the shards itself.
    shards
        Their numbers.
    workers
        Number of threads; None for as many as there are CPUs.
    commit
        Is given each shard that is on disk.
    listener
        Is told the progress.

    Raises
    ------
    LexicellError
        What failed in a worker; the others end within a block.
    """
    n_workers = max(1, min(workers or available_cpus(), len(shards)))
    progress = ShardProgress(job.writer.layout, shards, n_workers, listener)
    if source.device == "cuda":
        worker = ShardWorker(job, source)
        with Crew() as crew, crew.member("worker 0"):
            for shard in shards:
                commit(worker.run(shard, threads=lambda: 1, tick=progress.add))
        return
    with Crew() as crew:
        threads = _Threads(job, source, shards, n_workers, crew)
        try:
            for message in threads.messages():
                if isinstance(message, Receipt):
                    commit(message)
                else:
                    progress.add(*message)
        finally:
            threads.end()


class _Threads:
    """Threads that take shards from a list until it is empty, one fails or they are told to stop."""

    def __init__(
        self, job: ShardJob, source: CountSource, shards: Sequence[int], workers: int, crew: Crew
    ) -> None:
        self._shards, self._working, self._crew = deque(shards), workers, crew
        self._cpus, self._stop = available_cpus(), threading.Event()
        self._said: SimpleQueue[_Message] = SimpleQueue()
        self._threads = [
            # Workers are made here: each thread has its own current GPU, and this thread's is meant.
            threading.Thread(
                target=self._run,
                args=(f"worker {i}", ShardWorker(job, source, crew=workers)),
                name=f"lexicell-shard-{i}",
                daemon=True,
            )
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def messages(self) -> Iterator[tuple[int, int] | Receipt]:
        """What the threads say until all have ended; raises what one of them raised."""
        ended = 0
        while ended < len(self._threads):
            message = self._said.get()
            if message is None:
                ended += 1
            elif isinstance(message, BaseException):
                raise message
            else:
                yield message

    def end(self) -> None:
        """Tell the threads to stop, which they do after a block, and wait for them, but not for ever.

        A thread that hangs in a file system is left behind; what it may still write is a whole shard, the
        same as whoever makes it again.
        """
        self._stop.set()
        until = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, name: str, worker: ShardWorker) -> None:
        with self._crew.member(name):
            self._work(worker)
        self._said.put(None)

    def _work(self, worker: ShardWorker) -> None:
        try:
            while not self._stop.is_set():
                try:
                    shard = self._shards.popleft()
                except IndexError:
                    break
                self._said.put(worker.run(shard, threads=self._free, tick=self._tick))
        except Stopped:
            pass
        except BaseException as error:  # whatever it is, the thread that waits raises it
            self._said.put(error)
        self._working -= 1

    def _free(self) -> int:
        """CPUs for each thread that still works. A stale count costs time, never a number."""
        return max(1, self._cpus // max(1, self._working))

    def _tick(self, cells: int, decoded: int) -> None:
        if self._stop.is_set():
            raise Stopped
        self._said.put((cells, decoded))
