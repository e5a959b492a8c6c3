"""Device memory, which is host memory here."""

from __future__ import annotations

from typing import Any


class OutOfMemoryError(MemoryError):
    """An allocation failed."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


class MemoryPointer:
    """Address of an array."""

    def __init__(self, array: Any) -> None:
        self.mem = array
        self.ptr = array._host.ctypes.data
        self.device_id = 0


class MemoryPool:
    """Nothing is pooled."""

    def used_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream: Any = None) -> None:
        pass


POOL = MemoryPool()
