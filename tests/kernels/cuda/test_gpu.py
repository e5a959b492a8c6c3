"""What only a real GPU shows; skipped without one."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell_kernels import (
    CsrBlock,
    DeviceMemoryError,
    GeneTable,
    GpuUnavailableError,
    block_to_device,
    embed_rows,
    parity,
)
from lexicell_kernels.cuda import require_cupy

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cupy():
    """CuPy itself."""
    try:
        return require_cupy()
    except GpuUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("case", list(parity.cases()), ids=str)
def test_the_gpu_agrees_with_the_reference(cupy, case):
    from lexicell_kernels import cuda

    parity.check(cuda, case, cupy.asarray, cupy.asnumpy)


def test_the_work_is_put_on_the_current_stream(cupy):
    case = parity.Case(n_rows=2000)
    block, table = parity.block_of(case), parity.table_of(case)
    there = block_to_device(block)
    expected = embed_rows(there, table, k=64).vectors.get()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        rows = embed_rows(there, table, k=64)
    stream.synchronize()
    np.testing.assert_array_equal(rows.vectors.get(), expected)


def test_a_table_larger_than_the_memory_is_refused_before_the_upload(cupy):
    total = cupy.cuda.Device().mem_info[1]
    vectors = np.broadcast_to(np.float32(1), (total // 1024, 512))  # twice the memory, without taking any
    table = GeneTable(vectors, np.zeros(1, np.int32))
    block = CsrBlock(
        data=np.ones(1, np.float32), indices=np.zeros(1, np.int32), indptr=np.array([0, 1]), n_columns=1
    )
    with pytest.raises(DeviceMemoryError, match="a gene table of"):
        embed_rows(block, table, k=1, device="cuda")
