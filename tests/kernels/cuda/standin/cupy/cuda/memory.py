"""Device memory, which is host memory here and ends where a test wants it to."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any


class OutOfMemoryError(MemoryError):
    """An allocation failed."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


@dataclass
class Pretended:
    """How much memory there seems to be, for tests. Real CuPy has nothing like it.

    Attributes
    ----------
    allocations
        Asked for since `reset`, arrays that functions return included.
    largest
        Bytes that one allocation may have at most; None for any number.
    failing
        Numbers of the allocations that fail, counted from 0.
    pinned_limit
        The same as `largest` for page-locked memory.
    """

    allocations: int = 0
    largest: int | None = None
    failing: set[int] = field(default_factory=set)
    pinned_limit: int | None = None
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def reset(self) -> None:
        """Have as much as anybody asks for."""
        self.allocations, self.largest, self.failing, self.pinned_limit = 0, None, set(), None

    def allocate(self, n_bytes: int) -> None:
        with self._lock:
            number = self.allocations
            self.allocations += 1
        if number in self.failing or (self.largest is not None and n_bytes > self.largest):
            raise OutOfMemoryError(n_bytes, 0)


pretended = Pretended()


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

    def free_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream: Any = None) -> None:
        pass


POOL = MemoryPool()
