"""The device: one pretended GPU of compute capability 9.0 with the limits of an H100."""

from __future__ import annotations

from typing import Any

from cupy._counters import counters as _counters
from cupy.cuda import compiler, driver, memory, runtime
from cupy.cuda.memory import MemoryPointer, MemoryPool  # noqa: F401

__all__ = [
    "Device",
    "Event",
    "ExternalStream",
    "Stream",
    "compiler",
    "driver",
    "get_current_stream",
    "get_device_id",
    "is_available",
    "memory",
    "runtime",
]


class Device:
    """GPU 0."""

    compute_capability = "90"
    #: Change it to pretend another GPU.
    attributes = {  # noqa: RUF012
        "MaxSharedMemoryPerBlock": 48 * 1024,
        "MaxSharedMemoryPerBlockOptin": 227 * 1024,
        "MaxSharedMemoryPerMultiprocessor": 228 * 1024,
        "MaxThreadsPerBlock": 1024,
        "MaxGridDimX": 2**31 - 1,
        "MultiProcessorCount": 132,
        "WarpSize": 32,
    }

    def __init__(self, device: Any = None) -> None:
        self.id: int = 0 if device is None else int(device.id if isinstance(device, Device) else device)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def use(self) -> Device:
        return self

    def synchronize(self) -> None:
        _counters.synchronisations += 1

    @property
    def mem_info(self) -> tuple[int, int]:
        return runtime.memGetInfo()


class Event:
    """A point in a stream; everything before it is done by the time it is recorded."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.done = True

    def record(self, stream: Any = None) -> None:
        pass

    def synchronize(self) -> None:
        _counters.synchronisations += 1


class Stream:
    """Work in order; launches return when they are done."""

    null: Stream
    _current: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
                 priority: Any = None) -> None:  # fmt: skip
        self.ptr = 0 if null else id(self)
        self.done = True
        self._before: list[Stream] = []

    def __enter__(self) -> Stream:
        self._before.append(Stream._current)
        return self.use()

    def __exit__(self, *args: object) -> None:
        Stream._current = self._before.pop()

    def use(self) -> Stream:
        Stream._current = self
        return self

    def synchronize(self) -> None:
        _counters.synchronisations += 1

    def record(self, event: Any = None) -> Any:
        return event or Event()

    def wait_event(self, event: Any) -> None:
        pass


class ExternalStream(Stream):
    """A stream that somebody else made."""

    def __init__(self, ptr: int, device_id: int = -1) -> None:
        super().__init__()
        self.ptr = ptr


Stream.null = Stream._current = Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    return Stream._current


def get_device_id() -> int:
    return 0


def is_available() -> bool:
    try:
        return runtime.getDeviceCount() > 0
    except runtime.CUDARuntimeError:
        return False
