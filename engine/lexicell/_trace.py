"""Where the time of a run goes: stages of work by worker, recorded only on request.

What is in a stage within a stage counts for the inner one only, so the stages of a worker never add up to
more than its time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

__all__ = ["MOST_SPANS", "Crew", "Span", "Worker", "detail", "now", "recording", "stage"]

#: Spans that are kept of one worker: those of 10 to 20 million cells, in 8 MB.
MOST_SPANS = 1 << 16
#: Makes one clock of those of several processes, as far as their machines agree about the time of day.
_EPOCH = time.time() - time.perf_counter()
_NOTHING = nullcontext()
#: Stages that are reported as a whole, whatever is done in them: the begin and the end of a run.
_WHOLE = ("plan", "finish")


def now() -> float:
    """Seconds since 1970, by a clock that does not jump while the process lives."""
    return _EPOCH + time.perf_counter()


class Span(NamedTuple):
    """When a stage began, and how long it took."""

    stage: str
    began: float
    seconds: float


@dataclass(slots=True)
class Worker:
    """What one thread does, stage by stage; it can be pickled.

    Attributes
    ----------
    name
        For people; no two workers of a run have the same.
    seconds
        Time by stage. A part of a stage has a name of its own: "write: fsync".
    spans
        The same in order. What is done at a time has one span for each of its stages: of a block that is
        decoded piece by piece first all that was read for it, and then all decoding.
    lost
        How many spans there were beyond those that are kept.
    lived
        Time that there was for work.
    busy
        Time that the thread itself was on a CPU; a kernel may have threads beside it.
    """

    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    lost: int = 0
    lived: float = 0.0
    busy: float = 0.0
    _open: list[tuple[str, float]] = field(default_factory=list)
    _ended: dict[str, float] = field(default_factory=dict)
    _began: float = 0.0
    _since: float = 0.0

    @property
    def idle(self) -> float:
        """Time in no stage: it waited for others, for something to do, or for Python's lock meanwhile."""
        return max(0.0, self.lived - sum(self.seconds.values()))

    @property
    def stage(self) -> str:
        """Stage under way, or nothing."""
        return self._open[-1][0].partition(":")[0] if self._open else ""

    def enter(self, name: str) -> None:
        """Begin a stage; the one that it interrupts goes on afterwards."""
        at = now()
        if self._open:
            outer, seconds = self._open[-1]
            self._open[-1] = outer, seconds + at - self._since
        else:
            self._began = at
        self._open.append((name, 0.0))
        self._since = at

    def leave(self) -> None:
        """End the stage under way."""
        at = now()
        name, seconds = self._open.pop()
        self._ended[name] = self._ended.get(name, 0.0) + seconds + at - self._since
        self._since = at
        if not self._open:
            ended, self._ended = self._ended, {}
            for name, seconds in ended.items():
                self._keep([Span(name, self._began, seconds)])
                self.seconds[name] = self.seconds.get(name, 0.0) + seconds
                self._began += seconds

    def take(self, other: Worker) -> None:
        """Add what this worker did elsewhere, or earlier."""
        self._keep(other.spans)
        self.lost += other.lost
        self.busy += other.busy
        for name, seconds in list(other.seconds.items()):  # it may still be at work, where a run was ended
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def _keep(self, spans: list[Span]) -> None:
        added = spans[: max(0, MOST_SPANS - len(self.spans))]
        self.spans += added
        self.lost += len(spans) - len(added)


class _Here(threading.local):
    """What this thread records for, and where workers that it starts are kept."""

    worker: Worker | None = None
    crew: list[Worker] | None = None


_here = _Here()


class _Stage:
    """A stage of the worker that this thread is."""

    __slots__ = ("_name", "_worker")

    def __init__(self, worker: Worker, name: str) -> None:
        self._worker, self._name = worker, name

    def __enter__(self) -> None:
        self._worker.enter(self._name)

    def __exit__(self, *_: object) -> None:
        self._worker.leave()


def stage(name: str) -> AbstractContextManager[None]:
    """Record the time of a block as this stage; nothing happens, quickly, in a thread that records nothing.

    The block must not yield: what others do meanwhile would count. Within "plan" and "finish" it is a part.
    """
    worker = _here.worker
    if worker is None:
        return _NOTHING
    return detail(name) if worker.stage in _WHOLE else _Stage(worker, name)


def detail(name: str) -> AbstractContextManager[None]:
    """Record the time of a block as a part of the stage under way, whichever that is."""
    worker = _here.worker
    return _NOTHING if worker is None or not worker.stage else _Stage(worker, f"{worker.stage}: {name}")


@contextmanager
def recording(worker: Worker, crew: list[Worker] | None = None) -> Iterator[None]:
    """Record what this thread does.

    Parameters
    ----------
    worker
        What it is recorded as.
    crew
        List to which the workers of each `Crew` that this thread makes are added.
    """
    outer = _here.worker, _here.crew
    began, busy = now(), time.thread_time()
    _here.worker, _here.crew = worker, crew
    try:
        yield
    finally:
        _here.worker, _here.crew = outer
        if outer[0] is not worker:
            worker.lived += now() - began
            worker.busy += time.thread_time() - busy


class Crew:
    """Workers that share some work, in this thread, others, or other processes.

    They are recorded where the thread that makes the crew is. As a context manager it is the time that all of
    them have: one that has nothing left to do waits for the last.
    """

    def __init__(self) -> None:
        self._kept = _here.crew
        self._workers: dict[str, Worker] = {}
        self._began = 0.0

    @property
    def recorded(self) -> bool:
        """Whether anybody wants to know."""
        return self._kept is not None

    def member(self, name: str) -> AbstractContextManager[None]:
        """Record what this thread does as work of a member."""
        return _NOTHING if self._kept is None else recording(self._known(name))

    def take(self, worker: Worker) -> None:
        """Add what a member did elsewhere."""
        self._known(worker.name).take(worker)

    def _known(self, name: str) -> Worker:
        # Two threads never come with the same name.
        if name not in self._workers:
            self._workers[name] = Worker(name)
        return self._workers[name]

    def __enter__(self) -> Self:
        self._began = now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lived = now() - self._began
        if self._kept is not None:
            for worker in list(self._workers.values()):
                worker.lived = lived
                self._kept.append(worker)
