"""What CuPy keeps beside NumPy's API."""

from __future__ import annotations

from typing import Any

import numpy as np
from cupy.cuda.pinned import alloc_pinned_memory


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    """`numpy.empty` in page-locked memory."""
    count = int(np.prod(shape))
    memory = alloc_pinned_memory(count * np.dtype(dtype).itemsize).mem.buffer
    return memory.view(dtype)[:count].reshape(shape, order=order)
