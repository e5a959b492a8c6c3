"""What is said where there is no GPU, or not enough of one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lexicell_kernels import (
    CsrBlock,
    DeviceMemoryError,
    GeneTable,
    GpuUnavailableError,
    block_to_device,
    embed_rows,
    select_topk,
)


@pytest.fixture
def table() -> GeneTable:
    return GeneTable(np.ones((30, 7), np.float32), np.arange(30, dtype=np.int32))


@pytest.fixture
def block() -> CsrBlock:
    return CsrBlock(
        data=np.ones(3, np.uint16),
        indices=np.array([1, 5, 2], np.uint16),
        indptr=np.array([0, 2, 2, 3]),
        n_columns=30,
    )


def test_without_cupy_the_extra_is_named(monkeypatch, block, table):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(GpuUnavailableError, match=r'"lexicell\[cuda13\]"'):
        embed_rows(block, table, k=1, device="cuda")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("\n=====\nboxed advice\n\nOriginal error:\n  ImportError: no libcudart\n=====\n"),
         r"can't be loaded \(ImportError: no libcudart\)"),
        (ModuleNotFoundError("No module named 'numpy.lost'", name="numpy.lost"), r"\(No module named 'numpy"),
    ],
)  # fmt: skip
def test_a_cupy_that_cannot_be_loaded_is_said_to_be_so(monkeypatch, block, table, error, said):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise error

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(GpuUnavailableError, match=said):
        embed_rows(block, table, k=1, device="cuda")


@pytest.mark.parametrize(
    ("status", "driver", "said"),
    [
        (35, 0, "no NVIDIA driver on this machine"),
        (35, 12040, r"made for CUDA 13, but the NVIDIA driver knows CUDA 12: .*lexicell\[cuda12\]"),
        (100, 13000, r"no NVIDIA GPU here that can be used \(CUDA_VISIBLE_DEVICES is ''\)"),
        (None, 13000, "no NVIDIA GPU here"),
        (803, 13000, r"driver can't be used \(cudaError 803\): look at nvidia-smi"),
    ],
)
def test_what_is_wrong_with_the_driver_is_said(cupy, monkeypatch, block, table, status, driver, said):
    runtime = cupy.cuda.runtime

    def count() -> int:
        if status is None:
            return 0
        raise runtime.CUDARuntimeError(status)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(runtime, "getDeviceCount", count)
    monkeypatch.setattr(runtime, "driverGetVersion", lambda: driver)
    with pytest.raises(GpuUnavailableError, match=said):
        embed_rows(block, table, k=1, device="cuda")


def test_a_missing_compiler_is_named(cupy, monkeypatch, block, table):
    def missing(self, name):
        raise RuntimeError(f"CuPy failed to load {library}: OSError: no such file")

    monkeypatch.setattr(cupy.RawModule, "get_function", missing)
    library = "libnvrtc.so.13"
    with pytest.raises(GpuUnavailableError, match=r"NVRTC.*cuda13"):
        embed_rows(block, table, k=1, device="cuda")
    library = "libother.so"
    with pytest.raises(RuntimeError, match=r"libother\.so"):
        embed_rows(block, table, k=1, device="cuda")


def test_what_does_not_fit_the_gpus_memory_is_named_with_sizes(cupy, monkeypatch, block, table):
    there = block_to_device(block)

    def full(*args, **kwargs):
        raise cupy.cuda.memory.OutOfMemoryError(1, 2)

    expected = {
        "asarray": "a block of 3 rows takes 0.0 MiB of GPU memory, and 64.0 GiB of 80.0 GiB are free",
        "empty": "a gene table of 30 x 7 takes 0.0 MiB",
    }
    for name, said in expected.items():
        with monkeypatch.context() as m:
            m.setattr(cupy, name, full)
            with pytest.raises(DeviceMemoryError, match=said):
                embed_rows(block, table, k=1, device="cuda")
    assert table.derived == {}
    assert cupy.testing_counters.launches == 0
    embed_rows(there, table, k=1)
    monkeypatch.setattr(cupy, "empty", full)
    for run, said in ((embed_rows, "the result of 3 rows"), (select_topk, "the 1 genes of 3 rows")):
        with pytest.raises(MemoryError, match=said):
            run(there, table, k=1)
