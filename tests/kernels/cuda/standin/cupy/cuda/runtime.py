"""The CUDA runtime, as far as it is asked."""

from __future__ import annotations

from typing import Any

is_hip = False


class CUDARuntimeError(RuntimeError):
    """A call of the runtime failed."""

    def __init__(self, status: int) -> None:
        names = {
            2: "cudaErrorMemoryAllocation: out of memory",
            35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
            100: "cudaErrorNoDevice: no CUDA-capable device is detected",
        }
        self.status = status
        super().__init__(names.get(status, f"cudaError {status}"))


def getDeviceCount() -> int:
    return 1


def getDevice() -> int:
    return 0


def setDevice(device: int) -> None:
    pass


def memGetInfo() -> tuple[int, int]:
    return 64 << 30, 80 << 30


def runtimeGetVersion() -> int:
    return 13000


def driverGetVersion() -> int:
    return 13000


def getDeviceProperties(device: int) -> dict[str, Any]:
    return {"name": b"stand-in", "major": 9, "minor": 0, "multiProcessorCount": 132}


def deviceSynchronize() -> None:
    from cupy._counters import counters

    counters.synchronisations += 1
