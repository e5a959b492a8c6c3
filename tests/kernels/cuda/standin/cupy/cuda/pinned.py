"""Page-locked memory, which copies read and write after they were asked for."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from cupy.cuda import runtime

_locked: dict[int, weakref.ref[Any]] = {}


class PinnedMemory:
    """An allocation; `testing_memory.pinned_limit` bounds what one may take."""

    def __init__(self, size: int, flags: int = 0) -> None:
        from cupy.cuda.memory import pretended

        if pretended.pinned_limit is not None and size > pretended.pinned_limit:
            raise runtime.CUDARuntimeError(2)
        self.size = size
        self.buffer = np.full(size, 0xCD, np.uint8)
        key = id(self.buffer)
        _locked[key] = weakref.ref(self.buffer, lambda _: _locked.pop(key, None))


class PinnedMemoryPointer:
    """Where an allocation begins."""

    def __init__(self, mem: PinnedMemory, offset: int) -> None:
        self.mem = mem
        self.ptr = mem.buffer.ctypes.data + offset

    def size(self) -> int:
        return self.mem.size


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    return PinnedMemoryPointer(PinnedMemory(size), 0)


def is_pinned(array: Any) -> bool:
    """Whether a NumPy array is a view of page-locked memory."""
    while array is not None:
        if id(array) in _locked and _locked[id(array)]() is array:
            return True
        array = getattr(array, "base", None)
    return False
