"""What a Dask worker does: it opens the inputs once and makes the shards that it is told to.

Imports ``distributed``, so it is only imported where that is known to be there.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import threading
from contextlib import nullcontext
from importlib.metadata import version
from typing import Any

import blake3
from distributed import Worker, WorkerPlugin, get_worker

from lexicell._trace import Worker as Trace
from lexicell._trace import recording, stage
from lexicell.counts import CountSource
from lexicell.embedding.shards import ShardJob, ShardWorker, Stopped
from lexicell.errors import InputError, LexicellError
from lexicell.store import RUN, Receipt, open_objects

__all__ = ["ShardPlugin", "dask_setup", "make_shard", "store_mark"]


def dask_setup(worker: Worker) -> None:  # noqa: ARG001 -- the name and signature of Dask's preloads
    """Begin a process of our own: Ctrl-C reaches it too, and is for the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Python takes seconds to tidy up what nobody needs any more, and is killed after four.
    atexit.register(os._exit, 0)


def store_mark(location: str) -> str | None:
    """Tell one unfinished store from another and from none, wherever it is looked at from."""
    run = open_objects(location).get(RUN)
    return None if run is None else blake3.blake3(run).hexdigest()


class ShardPlugin(WorkerPlugin):
    """Brings a job to every worker of a cluster, also to those that join later, until the run ends.

    The scheduler holds it as bytes, so the job outlives any worker and needs nothing that is installed there.

    Parameters
    ----------
    job
        What is made; with inputs.
    """

    def __init__(self, job: ShardJob) -> None:
        self._job = job
        self._version = version("lexicell")
        self._mark = store_mark(job.writer.location)

    def setup(self, worker: Worker) -> None:
        """Dask calls this when the plugin arrives; nothing is opened before the first shard."""
        self._name = f"worker {worker.address} on {socket.gethostname()}"
        self._lock, self._stop, self._of_thread = threading.Lock(), threading.Event(), threading.local()
        self._source: CountSource | None = None
        self._making, self._threads = 0, worker.state.nthreads

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 -- Dask's signature
        """Dask calls this when the run has ended, however: a shard that is being made is given up."""
        self._stop.set()
        self._leave(0)

    def make(self, number: int) -> tuple[Receipt, int]:
        """Make a shard; gives also the bytes of counts that were decoded for it."""
        decoded = 0

        def tick(cells: int, nbytes: int) -> None:  # noqa: ARG001 -- cells are known by the shard
            nonlocal decoded
            if self._stop.is_set():
                raise Stopped
            decoded += nbytes

        with self._lock:
            self._making += 1
        try:
            return self._worker().run(number, threads=lambda: 1, tick=tick), decoded
        finally:
            self._leave(1)

    def _leave(self, ended: int) -> None:
        """The last one that reads closes the files, where the run has ended."""
        with self._lock:
            self._making -= ended
            if self._stop.is_set() and not self._making and self._source is not None:
                self._source.close()
                self._source = None

    def _worker(self) -> ShardWorker:
        """Of this thread: it keeps its buffers."""
        if not hasattr(self._of_thread, "worker"):
            with self._lock:
                if self._source is None:
                    with stage("plan"):
                        self._source = self._open()
            self._of_thread.worker = ShardWorker(self._job, self._source, crew=self._threads)
        worker: ShardWorker = self._of_thread.worker
        return worker

    def _open(self) -> CountSource:
        """Open the inputs, and see that they, output, program and arithmetic are those of the client."""
        job, here = self._job, version("lexicell")
        assert job.inputs is not None  # noqa: S101 -- `run_distributed` has looked
        if here != self._version:
            msg = f"{self._name} has lexicell {here}, not {self._version}; install the same everywhere"
            raise InputError(msg)
        if store_mark(job.writer.location) != self._mark:
            msg = (
                f"{self._name} does not see the unfinished store {job.writer.location}; "
                "the output must be at the same path or URL for all workers"
            )
            raise InputError(msg)
        job.maker.check(self._name)
        try:
            source = job.inputs.open()
        except (LexicellError, OSError) as error:
            msg = f"{self._name} can't open the input: {error}"
            raise InputError(msg) from error
        if source.n_cells != job.writer.layout.n_cells or not source.var.index.equals(job.maker.genes):
            source.close()
            msg = (
                f"{self._name} finds other cells or genes in {job.maker.label} than there were; "
                "the inputs must be the same for all workers"
            )
            raise InputError(msg)
        return source


def make_shard(plugin: str, number: int, *, traced: bool) -> tuple[Receipt, int, Trace | None]:
    """Task: make one shard with the plugin of that name, and tell where the time went where that is asked."""
    worker: Any = get_worker()
    trace = Trace(_name(worker)) if traced else None
    try:
        with nullcontext() if trace is None else recording(trace):
            receipt, decoded = worker.plugins[plugin].make(number)
    except LexicellError as error:
        failed = type(error)(*error.args)
    else:
        return receipt, decoded, trace
    raise failed  # without its cause, which need not be something that can be pickled


def _name(worker: Worker) -> str:
    """Address of a worker, and which of its threads this is, where it has several."""
    if worker.state.nthreads == 1:
        return worker.address
    return f"{worker.address} thread {threading.current_thread().name.rpartition('-')[2]}"
