"""Tests of the engine with CuPy: on a GPU, or with the stand-in that `test_on_gpu.py` puts in its place."""

from __future__ import annotations

import pytest

from lexicell_kernels import GpuUnavailableError
from lexicell_kernels.cuda import require_cupy

try:
    require_cupy()
    _MISSING = ""
except GpuUnavailableError as error:
    _MISSING = str(error)


@pytest.fixture(autouse=True)
def _gpu() -> None:
    if _MISSING:
        pytest.skip(_MISSING)


@pytest.fixture
def counts(cells):
    """120 x 765 real counts, embedded on the CPU."""
    import lexicell

    lexicell.tl.embed(cells, top_k=40)
    return cells
