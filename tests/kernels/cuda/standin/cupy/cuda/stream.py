"""Streams and events. Work on a stream that is not blocking waits until somebody waits for it.

So do copies from and to page-locked memory on any stream. A buffer that is read or written too early shows
so: a GPU is rarely that slow, but may be.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from cupy._counters import counters

_here = threading.local()  # each thread has a current stream of its own


class Event:
    """A point in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._stream: Stream | None = None
        self._after = 0

    def record(self, stream: Any = None) -> None:
        self._stream = get_current_stream() if stream is None else stream
        self._after = self._stream._put

    def synchronize(self) -> None:
        counters.synchronisations += 1
        self._reach()

    @property
    def done(self) -> bool:
        """Whether the work before it is; asking is time that passes."""
        if self._stream is not None and self._stream._done < self._after:
            self._stream._advance(self._stream._done + 1)
        return self._stream is None or self._stream._done >= self._after

    def _reach(self) -> None:
        if self._stream is not None:
            self._stream._advance(self._after)


class Stream:
    """Work in order."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
                 priority: Any = None) -> None:  # fmt: skip
        self.ptr = 0 if null else id(self)
        self._later = non_blocking
        self._before: list[Stream] = []
        self._waiting: deque[Callable[[], None]] = deque()
        self._put = self._done = 0
        self._lock = threading.RLock()  # all threads may use the null stream

    def __enter__(self) -> Stream:
        self._before.append(get_current_stream())
        return self.use()

    def __exit__(self, *args: object) -> None:
        self._before.pop().use()

    def use(self) -> Stream:
        _here.stream = self
        return self

    @property
    def done(self) -> bool:
        return not self._waiting

    def synchronize(self) -> None:
        counters.synchronisations += 1
        self._advance(self._put)

    def record(self, event: Any = None) -> Any:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Any) -> None:
        self._do(event._reach)

    def _do(self, work: Callable[[], None], *, later: bool = False) -> None:
        """Put work on the stream; what is not to be done later is done at once, after what was."""
        with self._lock:
            self._put += 1
            self._waiting.append(work)
            if not (later or self._later):
                self._advance(self._put)

    def _advance(self, until: int) -> None:
        """Do what was put on the stream, up to a point of it."""
        with self._lock:
            while self._done < until:
                self._done += 1
                self._waiting.popleft()()


class ExternalStream(Stream):
    """A stream that somebody else made."""

    def __init__(self, ptr: int, device_id: int = -1) -> None:
        super().__init__()
        self.ptr = ptr


Stream.null = Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    stream: Stream = getattr(_here, "stream", Stream.null)
    return stream


def settle() -> None:
    """Let the current stream come to its end: what follows is done at once, and comes after it."""
    stream = get_current_stream()
    if stream._waiting:
        stream._advance(stream._put)
