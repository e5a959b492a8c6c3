"""The stand-in behaves as CuPy does where the tests lean on it; on a GPU, CuPy itself is held to the same."""

from __future__ import annotations

import importlib
import pickle
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from .stand_in import stand_in


@pytest.fixture(params=["stand-in", pytest.param("CuPy", marks=pytest.mark.gpu)])
def cp(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    if request.param == "stand-in":
        with stand_in() as module:
            yield module
        return
    real: ModuleType = pytest.importorskip("cupy", reason="needs CuPy")
    if not real.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    yield real


@pytest.fixture
def sparse(cp: ModuleType) -> ModuleType:
    return importlib.import_module("cupyx.scipy.sparse")


HOST: Any = sp.csr_matrix(np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4]], np.float32))


def test_nothing_becomes_a_numpy_array_unasked(cp: ModuleType, sparse: ModuleType) -> None:
    x = cp.arange(3)
    for conversion in (np.asarray, np.array, np.ascontiguousarray, np.random.default_rng().permutation):
        with pytest.raises(TypeError, match=r"Implicit conversion"):
            conversion(x)
    with pytest.raises(TypeError):
        np.asarray(sparse.csr_matrix(HOST), dtype=np.float32)


@pytest.mark.parametrize("first", [True, False])
def test_arrays_of_both_sides_do_not_mix(cp: ModuleType, first: bool) -> None:
    here, there = np.ones(3), cp.ones(3)
    with pytest.raises(TypeError, match="Unsupported type"):
        _ = here + there if first else there + here
    with pytest.raises(TypeError):
        there[...] = here


def test_results_stay_on_the_device_scalars_too(cp: ModuleType) -> None:
    x = cp.arange(6, dtype=cp.float32).reshape(2, 3)
    for y in (x.sum(), x.max(), x[0], x[0, 1], x + 1, 2 * x, np.float32(2) * x, np.sqrt(x), np.sum(x),
              cp.diff(x), cp.concatenate([x, x]), x == 1, abs(-x), x.T):  # fmt: skip
        assert type(y) is cp.ndarray
    assert x.sum().shape == ()
    assert int(x.sum()) == 15
    assert float(x.mean()) == 2.5
    assert bool((x >= 0).all())
    assert (x * np.float32(2)).dtype == np.float32
    with pytest.raises(TypeError):
        range(x.sum().astype(int))


def test_arrays_go_back_and_forth(cp: ModuleType) -> None:
    for dtype in (np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64, bool):
        given = np.arange(6).reshape(2, 3).astype(dtype)
        there = cp.asarray(given)
        assert there.dtype == given.dtype
        assert cp.asarray(there) is there
        for back in (there.get(), cp.asnumpy(there), pickle.loads(pickle.dumps(there)).get()):  # noqa: S301
            assert type(back) is np.ndarray
            np.testing.assert_array_equal(back, given)
        given[0, 0] = 1
        assert not there[0, 0]
    with pytest.raises(ValueError, match="dtype"):
        cp.asarray(np.array(["a"]))


def test_slices_are_views_and_masks_are_copies(cp: ModuleType) -> None:
    x = cp.arange(6)
    x[1:3][...] = 7
    y = x[x > 5]
    y[...] = 0
    assert x.get().tolist() == [0, 7, 7, 3, 4, 5]
    assert x[np.array([5, 0])].get().tolist() == [5, 0]
    assert x[cp.asarray([5, 0])].get().tolist() == [5, 0]


def test_a_kernel_takes_arrays_scalars_and_null(cp: ModuleType) -> None:
    x, y = cp.arange(128, dtype=np.int32), cp.zeros(256, np.int32)
    kernel = cp.RawModule(code=ADD, options=("-std=c++17",)).get_function("add")
    kernel((2,), (128,), (x, np.int32(3), np.float32(0.5), 0, y))
    assert y.get().tolist() == [2 * i + 3 for i in range(128)] + [2 * i + 4 for i in range(128)]


ADD = """
__device__ void sum(const int* x, int a, float f, const int* none, int* y) {
  const int t = int(threadIdx.x);
  y[blockIdx.x * 128 + threadIdx.x] = int(float(x[t]) / f) + a + (none ? 100 : 0) + int(blockIdx.x);
}
#ifdef LEXICELL_EMULATE
LEXICELL_ENTRY(add, (sum), 128)
#else
extern "C" __global__ void add(const int* x, int a, float f, const int* none, int* y) {
  sum(x, a, f, none, y);
}
#endif
"""


def test_compilers_and_launches_that_fail_say_so(cp: ModuleType) -> None:
    with pytest.raises(cp.cuda.compiler.CompileException):
        cp.RawModule(code="nonsense").get_function("add")
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="NOT_FOUND"):
        cp.RawModule(code=ADD).get_function("subtract")
    with pytest.raises(TypeError):
        cp.RawModule(code=ADD, options=["-std=c++17"]).get_function("add")
    kernel = cp.RawModule(code=ADD).get_function("add")
    x = cp.zeros(256, np.int32)
    arguments = (x, np.int32(3), np.float32(0.5), 0, x)
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="INVALID_VALUE"):
        kernel((1,), (128,), arguments, shared_mem=50_000)
    kernel.max_dynamic_shared_size_bytes = 50_000
    kernel((1,), (128,), arguments, shared_mem=50_000)
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="INVALID_VALUE"):
        kernel((1,), (128,), arguments, shared_mem=60_000)
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="INVALID_VALUE"):
        kernel.max_dynamic_shared_size_bytes = 10**7


def test_a_csr_matrix_is_three_arrays_and_a_shape(cp: ModuleType, sparse: ModuleType) -> None:
    x = sparse.csr_matrix(HOST)
    assert (x.shape, x.nnz, x.dtype, x.format, x.indices.dtype, x.indptr.dtype) == (
        (3, 4), 4, np.float32, "csr", np.int32, np.int32,
    )  # fmt: skip
    assert all(type(a) is cp.ndarray for a in (x.data, x.indices, x.indptr))
    again = sparse.csr_matrix((x.data, x.indices.astype(np.int64), x.indptr), shape=x.shape)
    assert again.indices.dtype == np.int32
    assert type(again.get()) is sp.csr_matrix
    np.testing.assert_array_equal(again.toarray().get(), HOST.toarray())
    np.testing.assert_array_equal(x.tocsc().tocsr().get().toarray(), HOST.toarray())
    np.testing.assert_array_equal(x.T.get().toarray(), HOST.T.toarray())
    assert sparse.issparse(x)
    assert sparse.isspmatrix_csr(x)
    assert not sparse.isspmatrix_csc(x)


def test_counts_in_a_sparse_matrix_are_floats(cp: ModuleType, sparse: ModuleType) -> None:
    for matrix in (HOST.astype(np.int32), HOST.astype(np.uint16)):
        with pytest.raises(ValueError, match="Only bool, float32"):
            sparse.csr_matrix(matrix)
    with pytest.raises(ValueError, match="1-D cupy arrays"):
        sparse.csr_matrix((HOST.data, HOST.indices, HOST.indptr), shape=HOST.shape)


def test_rows_are_sliced_as_by_scipy(cp: ModuleType, sparse: ModuleType) -> None:
    x = sparse.csr_matrix(HOST)
    for key in (
        slice(1, 3),
        slice(None, None, 2),
        slice(0, 0),
        [2, 0],
        np.array([2, 0, 2]),
        slice(None),
        1,
        -1,
    ):
        part = x[key]
        assert type(part) is type(x)
        np.testing.assert_array_equal(part.get().toarray(), HOST[key].toarray())
    np.testing.assert_array_equal(
        x[np.ix_([2, 0], [1, 3])].get().toarray(), HOST[np.ix_([2, 0], [1, 3])].toarray()
    )
    assert type(x[0, 1]) is cp.ndarray
    assert float(x[0, 1]) == 2


def test_duplicates_are_summed_in_place(cp: ModuleType, sparse: ModuleType) -> None:
    parts = [cp.asarray(a) for a in (np.ones(4, np.float32), np.array([3, 1, 1, 0]), np.array([0, 3, 4]))]
    x = sparse.csr_matrix(tuple(parts), shape=(2, 4))
    assert not x.has_canonical_format
    assert not x.has_sorted_indices
    x.sum_duplicates()
    assert x.has_canonical_format
    assert (x.indices.get().tolist(), x.data.get().tolist()) == ([1, 3, 0], [2, 1, 1])


def test_work_on_a_stream_keeps_its_order_and_others_wait_for_it_by_an_event(cp: ModuleType) -> None:
    empty_pinned = importlib.import_module("cupyx").empty_pinned
    here, back = empty_pinned(1000, np.float32), empty_pinned((10, 100), np.float32)
    here[:] = np.arange(1000)
    stream, other = cp.cuda.Stream(non_blocking=True), cp.cuda.Stream(non_blocking=True)
    there = cp.empty(1000, np.float32)
    there.set(here, stream=stream)
    with stream:
        twice = there * 2
    done = stream.record()
    other.wait_event(done)
    twice.reshape(10, 100).get(stream=other, out=back, blocking=False)
    event = cp.cuda.Event(block=True, disable_timing=True)
    event.record(other)
    event.synchronize()
    assert event.done
    assert done.done
    np.testing.assert_array_equal(back.ravel(), 2 * np.arange(1000))
    assert cp.cuda.get_current_stream() == cp.cuda.Stream.null
    there.set(here + 1)  # what can be swapped out is copied before anybody goes on
    assert there.get()[-1] == 1000
    with pytest.raises((TypeError, ValueError)):
        there.get(out=back)
    with pytest.raises(TypeError):
        there.get(out=empty_pinned(1000, np.float64))


def test_each_thread_has_a_current_stream_of_its_own(cp: ModuleType) -> None:
    seen = []
    with cp.cuda.Stream(non_blocking=True) as mine:
        thread = threading.Thread(target=lambda: seen.append(cp.cuda.get_current_stream()))
        thread.start()
        thread.join()
        assert cp.cuda.get_current_stream() == mine
    assert seen == [cp.cuda.Stream.null]


def test_a_stream_works_only_when_somebody_waits(cupy: ModuleType) -> None:
    from cupyx import empty_pinned

    stream, here, back = (
        cupy.cuda.Stream(non_blocking=True),
        empty_pinned(4, np.int32),
        empty_pinned(4, np.int32),
    )
    kernel = cupy.RawModule(code=FOUR).get_function("four")
    there = cupy.empty(4, np.int32)
    here[:] = 1
    with stream:
        there.set(here)
        kernel((1,), (32,), (there,))
        there.get(out=back, blocking=False)
    assert not stream.done
    assert set(back.view(np.uint8)) == {0xCD}
    here[:] = 7  # too early: what the GPU reads is this
    stream.synchronize()
    assert stream.done
    assert back.tolist() == [7, 7, 7, 11]


FOUR = """
__device__ void add_four(int* x) { if (threadIdx.x == 3) x[3] += 4; }
#ifdef LEXICELL_EMULATE
LEXICELL_ENTRY(four, (add_four), 32)
#endif
"""


def test_memory_ends_where_a_test_wants_it(cupy: ModuleType) -> None:
    from cupyx import empty_pinned

    memory, full = cupy.testing_memory, cupy.cuda.memory.OutOfMemoryError
    memory.largest, memory.pinned_limit = 100, 10
    x = cupy.asarray(np.zeros(100, np.uint8))
    for more in (lambda: cupy.empty(101, np.uint8), lambda: x.astype(np.uint16), lambda: cupy.repeat(x, 2),
                 lambda: cupy.asarray(np.zeros(101, np.uint8)), lambda: x + np.uint16(1)):  # fmt: skip
        with pytest.raises(full, match="Out of memory"):
            more()
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorMemoryAllocation"):
        empty_pinned(11, np.uint8)
    memory.reset()
    memory.failing = {1}
    cupy.empty(1)
    with pytest.raises(full):
        cupy.empty(1)
    cupy.empty(1)
    assert memory.allocations == 3


def test_what_crosses_the_bus_is_counted(cupy: ModuleType) -> None:
    counters = cupy.testing_counters
    x = cupy.asarray(np.arange(3))
    assert (counters.uploads, counters.downloads) == (1, 0)
    cupy.sqrt(x + 1).sum(axis=0).astype(np.float32)[...] = 2
    assert (counters.uploads, counters.downloads) == (1, 0)
    int(x[0])
    x.get()
    cupy.cuda.get_current_stream().synchronize()
    assert (counters.downloads, counters.synchronisations) == (2, 1)
    counters.reset()
    assert counters == type(counters)()


def test_arguments_that_a_gpu_would_misread_are_refused(cupy: ModuleType) -> None:
    kernel = cupy.RawModule(code=ADD).get_function("add")
    x = cupy.zeros(256, np.int32)
    good = (x, np.int32(3), np.float32(0.5), 0, x)
    for place, wrong in ((0, x.astype(np.int64)), (0, x[::2]), (0, None), (0, np.zeros(3, np.int32)), (1, 3),
                         (1, np.float32(3)), (2, np.int32(1)), (2, 0.5), (3, 1)):  # fmt: skip
        with pytest.raises((TypeError, ValueError)):
            kernel((1,), (128,), (*good[:place], wrong, *good[place + 1 :]))
    with pytest.raises(TypeError):
        kernel((1,), (128,), good[:-1])
    with pytest.raises(cupy.cuda.driver.CUDADriverError):
        kernel((1,), (64,), good)


def test_nothing_of_the_stand_in_is_left_behind() -> None:
    import sys

    with stand_in() as cupy:
        import lexicell_kernels.cuda as backend

        assert sys.modules["cupy"] is cupy
        first = backend
    assert not any(name.split(".")[0] in {"cupy", "cupyx"} for name in sys.modules)
    with stand_in():
        from lexicell_kernels import cuda

        assert cuda is not first
