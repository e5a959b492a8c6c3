"""The device: one pretended GPU of compute capability 9.0 with the limits of an H100."""

from __future__ import annotations

from typing import Any

from cupy._counters import counters as _counters
from cupy.cuda import compiler, driver, memory, runtime
from cupy.cuda.memory import MemoryPointer, MemoryPool  # noqa: F401
from cupy.cuda.pinned import PinnedMemory, PinnedMemoryPointer, alloc_pinned_memory
from cupy.cuda.stream import Event, ExternalStream, Stream, get_current_stream

__all__ = [
    "Device",
    "Event",
    "ExternalStream",
    "PinnedMemory",
    "PinnedMemoryPointer",
    "Stream",
    "alloc_pinned_memory",
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


def get_device_id() -> int:
    return 0


def is_available() -> bool:
    try:
        return runtime.getDeviceCount() > 0
    except runtime.CUDARuntimeError:
        return False
