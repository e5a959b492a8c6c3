"""Shards on the workers of a Dask cluster: tasks are numbers, results are receipts, and no counts travel."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any

from lexicell._trace import Crew, stage
from lexicell._trace import Worker as Trace
from lexicell.embedding.events import Listener, Note
from lexicell.embedding.main_guard import GUARD
from lexicell.embedding.shards import ShardJob, ShardProgress
from lexicell.errors import InputError, LexicellError, PartialError, needing
from lexicell.store import Receipt
from lexicell_kernels.cpu import available_cpus

__all__ = ["own_processes", "run_distributed"]

#: Shards that the scheduler knows of, for each thread of the cluster. With more than two it keeps those that
#: wait to itself, and workers that join late get them at once.
_AHEAD = 3
#: Seconds to find the scheduler, between two looks at the workers, and for a cluster to let go of a run.
_CONNECT, _LOOK, _PATIENCE = 10.0, 2.0, 2.0


def run_distributed(
    job: ShardJob,
    shards: Sequence[int],
    *,
    address: str | None,
    workers: int | None,
    commit: Callable[[Receipt], None],
    listener: Listener,
) -> None:
    """Make shards on a Dask cluster.

    Each worker opens the inputs itself, makes whole shards and writes them. The job, about as large as the
    gene table, goes to every worker once; then a task is a number and its result a receipt. A shard whose
    worker is lost is made by another. `commit` and `listener` are called by the calling thread only.

    Parameters
    ----------
    job
        What to make. Inputs and output are paths or URLs that mean the same to all workers.
    shards
        Their numbers.
    address
        Of a scheduler, as ``tcp://host:8786``; None for processes of this machine that live as long as the
        run. On a GPU each worker uses the GPU that is current there: one worker
        for each GPU, as ``dask-cuda`` starts them.
    workers
        Number of own processes, each of one thread; None for as many as there are CPUs. An existing cluster
        is used as it is.
    commit
        Is given each shard that is on disk.
    listener
        Is told the progress.

    Raises
    ------
    InputError
        There is no such scheduler, own processes do not start, the counts are in the memory of this process,
        or a worker has other versions or sees other files.
    PartialError
        The scheduler is gone, or a shard has ended every worker that tried it.
    MissingExtraError
        Dask is not installed.
    LexicellError
        What failed in a worker.
    """
    if job.inputs is None:
        msg = (
            f"{job.maker.label}: counts in memory can't be embedded by other processes; "
            "write them to a file, or use threads (no --scheduler)"
        )
        raise InputError(msg)
    with needing("distributed", "Embedding on Dask workers"):
        import distributed  # noqa: F401

    with ExitStack() as stack:
        with stage("plan"):
            client = stack.enter_context(_client(address, workers or available_cpus()))
            plugin = stack.enter_context(_everywhere(client, job, address))
        with Crew() as crew:
            run = _ClusterRun(client, plugin, job, address, listener, crew)
            try:
                for receipt in run.receipts(shards):
                    commit(receipt)
            finally:
                run.cancel()


class _ClusterRun:
    """Keeps a cluster busy: a few shards ahead for each of its threads, not all of an atlas."""

    def __init__(
        self,
        client: Any,
        plugin: str,
        job: ShardJob,
        address: str | None,
        listener: Listener,
        crew: Crew,
    ) -> None:
        self._client, self._plugin, self._listener = client, plugin, listener
        self._address, self._layout, self._crew = address, job.writer.layout, crew
        self._running: dict[int, Any] = {}  # shard -> future
        self._ended: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self._workers: set[str] = set()
        self._threads, self._looked = 0, float("-inf")

    def receipts(self, shards: Sequence[int]) -> Iterator[Receipt]:
        """Make shards, in any order; raises what failed first."""
        waiting = deque(shards)
        self._look()
        progress = ShardProgress(self._layout, shards, self._threads, self._listener)
        while waiting or self._running:
            while waiting and len(self._running) < max(1, _AHEAD * self._threads):
                self._submit(waiting.popleft())
            self._look()
            try:
                number, made = self._ended.get(timeout=_LOOK)
            except Empty:
                continue
            receipt, nbytes, trace = self._result(number, made)
            start, stop = self._layout.rows(number)
            if trace is not None:
                self._crew.take(trace)
            progress.add(stop - start, nbytes)
            yield receipt

    def cancel(self) -> None:
        """Have the cluster forget what is not done."""
        if self._running:
            _briefly(lambda: self._client.cancel(list(self._running.values())))

    def _submit(self, number: int) -> None:
        from lexicell.embedding.dask_worker import make_shard

        def fetch(future: Any) -> None:
            # In a thread of the client's: a receipt whose worker is gone takes half a minute, and holds up no
            # other.
            try:
                made = future.result()
            except (Exception, CancelledError) as error:
                made = error
            self._ended.put((number, made))

        key = f"{self._plugin}-{number}"
        with _reaching(self._address):
            future = self._client.submit(
                make_shard, self._plugin, number, traced=self._crew.recorded, key=key, pure=False
            )
            future.add_done_callback(fetch)
        self._running[number] = future

    def _result(self, number: int, made: Any) -> tuple[Receipt, int, Trace | None]:
        """What became of a shard, see `make_shard`; raises what it failed with."""
        from distributed import KilledWorker

        failed = self._running.pop(number).status == "error"
        if failed and isinstance(made, KilledWorker):
            start, stop = self._layout.rows(number)
            msg = (
                f"{made.allowed_failures + 1} workers ended while they had shard {number} to make (cells "
                f"{start:,} to {stop:,}), the last one {made.last_worker.address}: look at its log, and give "
                "workers more memory"
            )
            raise PartialError(msg) from made
        if failed:
            raise made
        with _reaching(self._address):
            if isinstance(made, BaseException):
                raise made
        shard: tuple[Receipt, int, Trace | None] = made
        return shard

    def _look(self) -> None:
        """See which workers there are; not each time, since the scheduler has to be asked."""
        if time.monotonic() - self._looked < _LOOK:
            return
        with _reaching(self._address):
            threads = self._client.nthreads()
        if lost := len(self._workers - set(threads)):
            self._listener(Note(f"{lost} workers have left the cluster: their shards are made by others"))
        if not threads and (self._workers or self._looked < 0):
            self._listener(Note("the cluster has no workers: waiting for some", serious=True))
        self._looked, self._workers, self._threads = time.monotonic(), set(threads), sum(threads.values())


@contextmanager
def own_processes(workers: int) -> Iterator[Any]:
    """Start a LocalCluster of processes of one thread each, and stop it."""
    import dask
    from distributed import LocalCluster

    environ = {**dask.config.get("distributed.nanny.pre-spawn-environ")}
    # Dask's setting has every large array given back to the system when it is freed: a quarter slower here.
    environ.pop("MALLOC_TRIM_THRESHOLD_", None)
    local_cluster: Any = LocalCluster
    with (
        _starting() as started,
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": environ,
                # One shard at a time with each process: what ends a process has ended one shard only.
                "distributed.scheduler.worker-saturation": 1.0,
            }
        ),
        local_cluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            preload=["lexicell.embedding.dask_worker"],
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        started()
        yield cluster


@contextmanager
def _starting() -> Iterator[Callable[[], None]]:
    """Say in a sentence that processes do not start, until it is told that they have."""
    running = False

    def started() -> None:
        nonlocal running
        running = True

    try:
        yield started
    except (RuntimeError, OSError) as error:
        if running:
            raise
        msg = f"processes of this machine do not start ({_first_line(error)}); in a script, {GUARD}"
        raise InputError(msg) from None


@contextmanager
def _client(address: str | None, workers: int) -> Iterator[Any]:
    """Connect to a cluster, or start one and stop it."""
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    new_client: Any = partial(Client, timeout=_CONNECT, set_as_default=False)
    with silence_logging_cmgr(logging.CRITICAL):  # what goes wrong is told once, as an error or a note
        if address is None:
            with own_processes(workers) as cluster, new_client(cluster) as client:
                yield client
            return
        try:
            client = new_client(address)
        except (OSError, ValueError) as error:
            msg = f"there is no Dask scheduler at {address} ({_first_line(error)}); is it running?"
            raise InputError(msg) from error
        with client:
            yield client


@contextmanager
def _everywhere(client: Any, job: ShardJob, address: str | None) -> Iterator[str]:
    """Bring the job to all workers, as a plugin of the name that is given."""
    from lexicell.embedding.dask_worker import ShardPlugin

    here, name = version("lexicell"), f"lexicell-{secrets.token_hex(4)}"
    with _reaching(address):
        for worker, there in client.run(version, "lexicell", on_error="return").items():
            if there != here:
                has = "no lexicell" if isinstance(there, Exception) else f"lexicell {there}"
                msg = f"worker {worker} has {has}, not lexicell {here}; install the same everywhere"
                raise InputError(msg)
        client.register_plugin(ShardPlugin(job), name=name)
    try:
        yield name
    finally:
        _briefly(lambda: client.unregister_worker_plugin(name))


@contextmanager
def _reaching(address: str | None) -> Iterator[None]:
    """Say that the scheduler is gone, where it is."""
    try:
        yield
    except LexicellError:
        raise
    except (OSError, CancelledError) as error:  # a lost connection cancels what was asked for over it
        where = "of the own processes" if address is None else f"at {address}"
        msg = f"the Dask scheduler {where} is gone ({_first_line(error)})"
        raise PartialError(msg) from error


def _briefly(call: Callable[[], Any]) -> None:
    """Tell the cluster something, and don't wait long for one that does not hear any more."""

    def quietly() -> None:
        with suppress(Exception):
            call()

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    thread.join(_PATIENCE)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
