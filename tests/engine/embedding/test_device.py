"""Where cells are embedded, as far as that can be told without a GPU."""

from __future__ import annotations

import importlib.util

import pytest

import lexicell
from lexicell.embedding.pipeline import gpu_faults
from lexicell.errors import GpuMemoryError, InputError
from lexicell_kernels import (
    DeviceMemoryError,
    DisorderedRowsError,
    GpuUnavailableError,
    InvalidCountsError,
    RowTooLongError,
)

no_cupy = pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")


@no_cupy
def test_a_gpu_that_is_not_there_is_said_before_anything_is_read(cells):
    before = set(cells.obs)
    with pytest.raises(InputError, match=r'GPU.*CuPy.*"lexicell\[cuda13\]"'):
        lexicell.tl.embed(cells, device="cuda")
    assert (set(cells.obs), not cells.obsm) == (before, True)


def test_devices_that_do_not_exist_are_refused(cells, tmp_path):
    for call in (
        lambda: lexicell.tl.embed(cells, device="gpu"),
        lambda: lexicell.embed(cells, tmp_path / "out.zarr", device="gpu"),
    ):
        with pytest.raises(InputError, match=r"auto, cpu, cuda.*'gpu'"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_the_device_is_recorded_and_changes_no_vector(cells):
    lexicell.tl.embed(cells, device="auto")
    auto, vectors = cells.uns["lexicell"], cells.obsm["X_lexicell"]
    lexicell.tl.embed(cells, device="cpu")
    assert auto == cells.uns["lexicell"]
    assert auto["device"] == "cpu"
    assert (vectors == cells.obsm["X_lexicell"]).all()


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (GpuUnavailableError("NVRTC is missing"), InputError, r"^NVRTC is missing$"),
        (ValueError("this GPU orders up to 9 genes: lower k"), InputError, r"^x\.h5ad: this GPU .* lower k$"),
        (RowTooLongError(3, 2**31), InputError, r"^x\.h5ad: row 3 has 2,147,483,648 values"),
        (DeviceMemoryError("a block takes 9 GiB: embed fewer"), GpuMemoryError,
         r"^x\.h5ad: the GPU's memory is too small \(a block takes 9 GiB\); .*on_device=False.*--device cpu"),
        (MemoryError("Out of memory"), GpuMemoryError, r"too small \(Out of memory\)"),
        (InvalidCountsError(1, 2, -3.0), InvalidCountsError, "row 1, column 2"),
        (DisorderedRowsError(4), DisorderedRowsError, "row 4"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_what_only_a_gpu_cannot_do_is_said_with_a_way_out(fault, kind, says):
    with pytest.raises(kind, match=says), gpu_faults("x.h5ad", "cuda"):
        raise fault


@pytest.mark.parametrize("fault", [ValueError("bug"), MemoryError("host")])
def test_faults_of_the_cpu_are_not_blamed_on_a_gpu(fault):
    with pytest.raises(type(fault)) as caught, gpu_faults("x.h5ad", "cpu"):
        raise fault
    assert caught.value is fault
