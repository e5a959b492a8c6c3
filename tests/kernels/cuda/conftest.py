"""CUDA on a machine without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import anndata  # noqa: F401  # looks for CuPy once, and must not find the stand-in
import pytest

from .stand_in import stand_in


@pytest.fixture
def cupy() -> Iterator[ModuleType]:
    """The stand-in for CuPy; the GPU backend is imported afresh with it, and forgotten afterwards."""
    with stand_in() as module:
        yield module
