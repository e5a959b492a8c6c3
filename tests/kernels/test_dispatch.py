"""Which backend works where, what crosses between host and GPU, and what is said where that can't be done.

The GPU is the stand-in of ``cuda/standin``: arrays that nobody reads on the host unasked, kernels run by g++.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

import lexicell_kernels
from lexicell_kernels import (
    CsrBlock,
    DeviceMemoryError,
    DisorderedRowsError,
    GeneTable,
    GpuUnavailableError,
    InvalidCountsError,
    Order,
    Picks,
    Rows,
    RowTooLongError,
    Weight,
    check_rows,
    cpu,
    embed_rows,
    select_topk,
)

from .cuda.stand_in import stand_in

V = 40


@pytest.fixture
def cupy() -> Iterator[ModuleType]:
    """The stand-in for CuPy, with its counters at 0."""
    with stand_in() as module:
        module.testing_counters.reset()
        yield module


@pytest.fixture
def table() -> GeneTable:
    rng = np.random.default_rng(5)
    rank = np.full(V, -1, np.int32)
    rank[rng.permutation(V)[:30]] = np.arange(30)
    rank_factor = rng.choice(np.array([0.25, 1, 3], np.float32), 30)
    return GeneTable(
        rng.standard_normal((30, 7)).astype(np.float32), rank, rank_factor, np.ones(7, np.float32)
    )


@pytest.fixture
def block() -> CsrBlock:
    rng = np.random.default_rng(6)
    lengths = np.array([0, 1, 25, 13])
    columns = [np.sort(rng.permutation(V)[:n]) for n in lengths]
    return CsrBlock(
        data=rng.integers(1, 9, lengths.sum()).astype(np.float32),
        indices=np.concatenate(columns).astype(np.int32),
        indptr=np.concatenate([[0], np.cumsum(lengths)]),
        n_columns=V,
    )


def upload(cupy, block: CsrBlock) -> CsrBlock:
    return replace(
        block,
        data=cupy.asarray(block.data),
        indices=cupy.asarray(block.indices),
        indptr=cupy.asarray(block.indptr),
    )


def uploaded_table(cupy, table: GeneTable) -> GeneTable:
    given = (table.vectors, table.rank, table.rank_factor, table.bias)
    return GeneTable(*(None if a is None else cupy.asarray(a) for a in given))


def same(got: Rows | Picks, expected: Rows | Picks) -> None:
    for name in expected.__slots__:
        there = getattr(got, name)
        there = there if isinstance(there, np.ndarray) else there.get()
        wanted = getattr(expected, name)
        if wanted.dtype == np.float32:
            np.testing.assert_allclose(there, wanted, rtol=0, atol=1e-5)
        else:
            np.testing.assert_array_equal(there, wanted)


# ---- where the work is done -------------------------------------------------------------------------------


@pytest.mark.parametrize("table_on_gpu", [True, False])
def test_cupy_arrays_stay_on_the_gpu(cupy, block, table, table_on_gpu):
    there = uploaded_table(cupy, table) if table_on_gpu else table
    rows = embed_rows(upload(cupy, block), there, k=9)
    picks = select_topk(upload(cupy, block), there, k=9)
    assert cupy.testing_counters.launches == 2
    for result in (rows, picks):
        assert all(isinstance(getattr(result, name), cupy.ndarray) for name in result.__slots__)
    same(rows, cpu.embed_rows(block, table, k=9))
    same(picks, cpu.select_topk(block, table, k=9))


@pytest.mark.parametrize("weight", Weight)
def test_host_arrays_go_to_the_gpu_and_back_where_asked(cupy, block, table, weight):
    rows = embed_rows(block, table, k=9, weight=weight, normalise=False, device="cuda")
    picks = select_topk(block, table, k=9, order=Order.SCORE, device="cuda")
    assert cupy.testing_counters.launches == 2
    assert isinstance(rows.vectors, np.ndarray)
    assert isinstance(picks.genes, np.ndarray)
    same(rows, cpu.embed_rows(block, table, k=9, weight=weight, normalise=False))
    same(picks, cpu.select_topk(block, table, k=9, order=Order.SCORE))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_counts_that_are_scores_take_no_memory(cupy, block, table, device):
    for factor in (table.rank_factor, None):
        picks = select_topk(block, replace(table, rank_factor=factor), k=9, device=device)
        assert (picks.counts is picks.scores) == (factor is None)


@pytest.mark.parametrize("table_on_gpu", [True, False])
def test_cupy_arrays_go_to_the_cpu_where_asked(cupy, block, table, table_on_gpu):
    there = uploaded_table(cupy, table) if table_on_gpu else table
    rows = embed_rows(upload(cupy, block), there, k=9, device="cpu")
    assert cupy.testing_counters.launches == 0
    assert isinstance(rows.vectors, np.ndarray)
    same(rows, cpu.embed_rows(block, table, k=9))
    same(select_topk(upload(cupy, block), there, k=9, device="cpu"), cpu.select_topk(block, table, k=9))


def test_a_cupy_table_comes_to_the_host_once(cupy, block, table):
    there = uploaded_table(cupy, table)
    same(embed_rows(block, there, k=9), cpu.embed_rows(block, table, k=9))
    cupy.testing_counters.reset()
    same(embed_rows(block, there, k=5), cpu.embed_rows(block, table, k=5))
    assert cupy.testing_counters.downloads == 0


def test_another_device_is_refused(block, table):
    with pytest.raises(ValueError, match=r"'cpu', 'cuda'.*'gpu'"):
        embed_rows(block, table, k=1, device="gpu")


# ---- what crosses between host and GPU --------------------------------------------------------------------


def test_with_cupy_arrays_nothing_crosses_and_nobody_waits_once_the_table_is_there(cupy, block, table):
    there = upload(cupy, block)
    embed_rows(there, table, k=9)
    select_topk(there, table, k=9)
    assert cupy.testing_counters.synchronisations == 1  # so that any stream may read the table
    cupy.testing_counters.reset()
    for k in (1, 9, None):
        embed_rows(there, table, k=k)
    for order in Order:
        select_topk(there, table, k=9, order=order)
    counted = cupy.testing_counters
    assert (counted.launches, counted.compilations) == (5, 0)
    assert (counted.uploads, counted.downloads, counted.synchronisations) == (0, 0, 0)


def test_counts_and_columns_of_other_types_are_converted_on_the_gpu(cupy, block, table):
    embed_rows(upload(cupy, block), table, k=9)
    for values in (np.uint8, np.uint32, np.int32, np.int64, np.float64):
        for columns in (np.uint8, np.uint32, np.int64, np.uint64):
            other = replace(block, data=block.data.astype(values), indices=block.indices.astype(columns))
            there = replace(upload(cupy, other), indptr=cupy.asarray(block.indptr.astype(np.int32)))
            cupy.testing_counters.reset()
            rows = embed_rows(there, table, k=9)
            assert (cupy.testing_counters.uploads, cupy.testing_counters.downloads) == (0, 0)
            same(rows, cpu.embed_rows(block, table, k=9))


def test_a_part_of_larger_arrays_will_do(cupy, block, table):
    there = upload(cupy, block)
    spread = CsrBlock(
        data=cupy.zeros(2 * len(block.data), np.float32)[::2],
        indices=there.indices,
        indptr=there.indptr[1:],
        n_columns=V,
    )
    spread.data[...] = there.data
    expected = cpu.embed_rows(replace(block, indptr=block.indptr[1:]), table, k=9)
    same(embed_rows(spread, table, k=9), expected)
    later = replace(there, indptr=there.indptr[2:])
    same(embed_rows(later, table, k=9), cpu.embed_rows(replace(block, indptr=block.indptr[2:]), table, k=9))
    assert int(later.indptr[0]) > 0


def test_a_table_is_kept_with_itself_alone(cupy, block, table):
    embed_rows(upload(cupy, block), table, k=9)
    assert list(table.derived) == ["cuda:0"]
    assert replace(table, bias=None).derived == {}
    assert pickle.loads(pickle.dumps(table)).derived == {}  # noqa: S301 - our own bytes
    assert "derived" not in repr(table)


def test_vectors_that_lie_right_on_the_gpu_are_not_copied(cupy, block, table):
    wide = GeneTable(cupy.ones((30, 8), np.float32), cupy.asarray(table.rank))
    embed_rows(upload(cupy, block), wide, k=9)
    assert wide.derived["cuda:0"].vectors is wide.vectors


def test_vectors_that_do_not_start_at_16_bytes_or_lie_apart_are_copied(cupy, block, table):
    vectors = np.random.default_rng(7).standard_normal((30, 8)).astype(np.float32)
    shifted, spread = cupy.empty(241, np.float32)[1:].reshape(30, 8), cupy.empty((30, 16), np.float32)[:, ::2]
    assert shifted.data.ptr % 16 == 4
    for apart in (shifted, spread):
        apart[...] = cupy.asarray(vectors)
        there = GeneTable(apart, table.rank)
        same(
            embed_rows(upload(cupy, block), there, k=9),
            cpu.embed_rows(block, GeneTable(vectors, table.rank), k=9),
        )
        copied = there.derived["cuda:0"].vectors
        assert copied.data.ptr % 16 == 0
        assert copied.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("on_gpu", [True, False])
def test_rows_that_end_between_pieces_of_16_bytes_are_padded(cupy, block, table, dtype, on_gpu):
    narrow = replace(table, vectors=table.vectors.astype(dtype)[:, :3], bias=table.bias[:3])
    there = uploaded_table(cupy, narrow) if on_gpu else narrow
    rows = embed_rows(upload(cupy, block), there, k=9)
    padded = there.derived["cuda:0"].vectors.get()
    assert padded.shape == (30, 16 // np.dtype(dtype).itemsize)
    assert not padded[:, 3:].any()
    np.testing.assert_allclose(
        rows.vectors.get(), cpu.embed_rows(block, narrow, k=9).vectors, rtol=0, atol=2e-3
    )


# ---- edges ------------------------------------------------------------------------------------------------


def test_no_rows_need_no_launch(cupy, block, table):
    none = upload(cupy, replace(block, indptr=block.indptr[:1]))
    rows, picks = embed_rows(none, table, k=9), select_topk(none, table, k=9)
    assert (rows.vectors.shape, picks.genes.shape, picks.n_genes.shape) == ((0, 7), (0, 9), (0,))
    assert cupy.testing_counters.launches == 0


def test_values_of_a_matrix_without_columns_are_refused(cupy):
    nothing = GeneTable(np.empty((0, 7), np.float32), np.empty(0, np.int32))
    counts = CsrBlock(
        data=np.ones(2, np.float32), indices=np.zeros(2, np.int32), indptr=np.array([0, 0, 1, 2]), n_columns=0
    )
    with pytest.raises(ValueError, match="row 1"):
        embed_rows(counts, nothing, k=1, device="cuda")


def test_a_table_without_genes_gives_zero_rows(cupy, block):
    empty = GeneTable(np.empty((0, 7), np.float32), np.full(V, -1, np.int32))
    for k in (1, None):
        same(embed_rows(upload(cupy, block), empty, k=k), cpu.embed_rows(block, empty, k=k))
    same(select_topk(upload(cupy, block), empty, k=3), cpu.select_topk(block, empty, k=3))


def test_picks_are_as_wide_as_asked_for(cupy, block, table):
    for order in Order:
        picks = select_topk(upload(cupy, block), table, k=50, order=order)
        assert picks.genes.shape == (4, 50)
        same(picks, cpu.select_topk(block, table, k=50, order=order))


def test_more_than_48_kib_of_shared_memory_are_asked_for(cupy):
    m = 6000
    ranks = np.random.default_rng(0).permutation(m).astype(np.int32)
    many = GeneTable(np.ones((m, 1), np.float32), ranks)
    counts = CsrBlock(
        data=np.arange(1, m + 1, dtype=np.float32),
        indices=np.arange(m, dtype=np.int32),
        indptr=np.array([0, m]),
        n_columns=m,
    )
    picks = select_topk(upload(cupy, counts), many, k=4096, order=Order.SCORE)
    same(picks, cpu.select_topk(counts, many, k=4096, order=Order.SCORE))


def test_more_genes_by_score_than_shared_memory_holds_are_refused_with_the_most_that_it_does(
    cupy, monkeypatch
):
    m = 6000
    many = GeneTable(np.ones((m, 1), np.float32), np.arange(m, dtype=np.int32)[::-1].copy())
    counts = CsrBlock(
        data=np.arange(1, m + 1, dtype=np.float32),
        indices=np.arange(m, dtype=np.int32),
        indptr=np.array([0, m]),
        n_columns=m,
    )
    there = upload(cupy, counts)
    limits = {**cupy.cuda.Device.attributes, "MaxSharedMemoryPerBlockOptin": 64 * 1024}
    monkeypatch.setattr(cupy.cuda.Device, "attributes", limits)
    for run in (
        lambda k: embed_rows(there, many, k=k, weight=Weight.RANK),
        lambda k: select_topk(there, many, k=k, order=Order.SCORE),
    ):
        with pytest.raises(ValueError, match=r"[\d,]+.*5,000") as caught:
            run(5000)
        most = int(re.search(r"up to ([\d,]+)", str(caught.value))[1].replace(",", ""))
        assert 2048 < most < 5000
        run(most)
        with pytest.raises(ValueError, match=f"{most:,}"):
            run(most + 1)
    assert select_topk(there, many, k=6000).n_genes.get() == [6000]


def test_the_bitmaps_of_a_large_table_leave_less_room_for_picks_or_none(cupy, monkeypatch):
    m = 3000
    many = GeneTable(np.ones((m, 1), np.float32), np.arange(m, dtype=np.int32)[::-1].copy())
    counts = CsrBlock(
        data=np.arange(1, m + 1, dtype=np.float32),
        indices=np.arange(m, dtype=np.int32),
        indptr=np.array([0, m]),
        n_columns=m,
    )
    limits = {**cupy.cuda.Device.attributes, "MaxSharedMemoryPerBlockOptin": 7000}
    monkeypatch.setattr(cupy.cuda.Device, "attributes", limits)
    same(select_topk(upload(cupy, counts), many, k=500), cpu.select_topk(counts, many, k=500))
    limits["MaxSharedMemoryPerBlockOptin"] = 4700
    with pytest.raises(ValueError, match="3,000"):
        select_topk(upload(cupy, counts), many, k=1)


def test_columns_beyond_32_bits_are_refused(cupy):
    v = 2**31
    wide = GeneTable(np.ones((1, 1), np.float32), np.broadcast_to(np.int32(-1), v))
    counts = CsrBlock(
        data=np.ones(1, np.float32), indices=np.zeros(1, np.int64), indptr=np.array([0, 1]), n_columns=v
    )
    with pytest.raises(ValueError, match=r"2,147,483,648.*GPU.*2,147,483,647"):
        embed_rows(upload(cupy, counts), wide, k=1)


def test_a_row_of_too_many_values_is_refused_before_the_launch(cupy, monkeypatch, block, table):
    monkeypatch.setattr("lexicell_kernels.cuda._MOST", V)
    long = replace(block, data=np.ones(V + 2, np.float32), indices=np.zeros(V + 2, np.int32))
    with pytest.raises(RowTooLongError, match=r"row 1.*41") as caught:
        embed_rows(upload(cupy, replace(long, indptr=np.array([0, 1, V + 2]))), table, k=1)
    assert (caught.value.row, caught.value.length) == (1, 41)
    assert cupy.testing_counters.launches == 0
    embed_rows(upload(cupy, replace(long, indptr=np.array([0, 2, V + 2]))), table, k=1)


# ---- rows that can't be used ------------------------------------------------------------------------------

BAD = {
    "negative": ([1, 2, -1, 3], [0, 2, 4, 5], np.float32, np.int32),
    "not a number": ([1, 2, np.nan, 3], [0, 2, 4, 5], np.float32, np.int32),
    "infinite": ([1, 2, np.inf, -3], [0, 2, 4, 5], np.float32, np.uint16),
    "too large for float32": ([1, 2, 1e300, 3], [0, 2, 4, 5], np.float64, np.int32),
    "negative integer": ([1, 2, -(2**40), 3], [0, 2, 4, 5], np.int64, np.int64),
    "column beyond": ([1, 2, 1, 3], [0, 2, V, 5], np.float32, np.uint16),
    "column below 0": ([1, 2, 1, 3], [0, -1, 4, 5], np.float32, np.int32),
    "column beyond int32": ([1, 2, 1, 3], [0, 2, 2**32 + 4, 5], np.float32, np.int64),
    "column below int32": ([1, 2, 1, 3], [0, -(2**32) + 1, 4, 5], np.float32, np.int64),
    "column beyond int64": ([1, 2, 1, 3], [0, 2, 2**63 + 4, 5], np.float32, np.uint64),
    "disordered, then negative": ([1, 2, 3, -1], [0, 4, 2, 5], np.float32, np.int32),
    "both in one row": ([1, 2, -3, 1], [0, 2, V, 5], np.float32, np.int32),
}


def bad_block(name: str) -> CsrBlock:
    data, indices, values, columns = BAD[name]
    return CsrBlock(
        data=np.array(data, values),
        indices=np.array(indices, columns),
        indptr=np.array([0, 1, 3, 4]),
        n_columns=V,
    )


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("run", [embed_rows, select_topk])
def test_a_gpu_flags_what_the_cpu_refuses_and_the_check_says_the_same(cupy, table, name, run):
    counts = bad_block(name)
    with pytest.raises(ValueError) as expected:  # noqa: PT011 - its words are compared
        run(counts, table, k=3)
    with pytest.raises(type(expected.value)) as caught:
        run(counts, table, k=3, device="cuda")
    assert str(caught.value) == str(expected.value)

    there = upload(cupy, counts)
    cupy.testing_counters.reset()
    result = run(there, table, k=3)
    assert cupy.testing_counters.downloads == 0
    if name != "disordered, then negative":  # on the GPU, the first row that it can't use is another
        with pytest.raises(type(expected.value)) as caught:
            check_rows(result, there)
        assert str(caught.value) == str(expected.value)


def test_the_other_rows_of_a_block_are_as_without_the_bad_one(cupy, table):
    counts = bad_block("negative")
    rows, picks = embed_rows(upload(cupy, counts), table, k=3), select_topk(upload(cupy, counts), table, k=3)
    assert rows.n_genes.get()[1] == picks.n_genes.get()[1] == -1
    assert not rows.vectors.get()[1].any()
    np.testing.assert_array_equal(picks.genes.get()[1], -1)
    assert not any(getattr(picks, name).get()[1].any() for name in ("scores", "counts", "totals"))
    counts.data[2] = 1
    kept = [0, 2]
    np.testing.assert_allclose(
        rows.vectors.get()[kept], cpu.embed_rows(counts, table, k=3).vectors[kept], rtol=0, atol=1e-5
    )


def test_rows_out_of_order_are_put_in_order_for_host_arrays_and_flagged_for_cupys(cupy, table):
    counts = CsrBlock(
        data=np.array([1, 5, 2, 2, 3], np.uint16),
        indices=np.array([3, 9, 2, 9, 5], np.uint16),
        indptr=np.array([0, 1, 4, 5]),
        n_columns=V,
    )
    same(embed_rows(counts, table, k=2, device="cuda"), cpu.embed_rows(counts, table, k=2))
    there = upload(cupy, counts)
    rows = embed_rows(there, table, k=2)
    np.testing.assert_array_equal(rows.n_genes.get() < 0, [False, True, False])
    with pytest.raises(DisorderedRowsError, match=r"row 1.*sum_duplicates") as caught:
        check_rows(rows, there)
    assert caught.value.row == 1


def test_sound_rows_pass_the_check_wherever_they_were_embedded(cupy, block, table):
    check_rows(embed_rows(block, table, k=3), block)
    there = upload(cupy, block)
    check_rows(embed_rows(there, table, k=3), there)
    check_rows(select_topk(there, table, k=3), there)


# ---- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (GpuUnavailableError("no GPU"), RuntimeError),
        (DeviceMemoryError("too much"), MemoryError),
        (RowTooLongError(3, 2**31), ValueError),
        (DisorderedRowsError(3), ValueError),
        (InvalidCountsError(3, 5, -1.0), ValueError),
    ],
    ids=lambda x: getattr(x, "__name__", type(x).__name__),
)
def test_errors_are_builtins_too_and_travel_between_processes(error, builtin):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(again, builtin)
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_arrays_of_another_package_have_no_kernel(table):
    Other = type("Array", (), {"__module__": "cupyx.scipy.sparse"})
    with pytest.raises(TypeError, match="cupy, numpy"):
        lexicell_kernels.embed_rows(
            CsrBlock(data=Other(), indices=Other(), indptr=Other(), n_columns=V), table, k=1
        )


def test_a_rank_that_changes_is_looked_at_anew():
    rank = np.arange(6, dtype=np.int32)
    table = GeneTable(vectors=np.eye(6, dtype=np.float32), rank=rank)
    block = CsrBlock(
        data=np.ones(6, np.float32),
        indices=np.arange(6, dtype=np.int32),
        indptr=np.array([0, 6]),
        n_columns=6,
    )
    assert cpu.embed_rows(block, table, k=None).n_genes.tolist() == [6]
    rank[5] = -1
    fresh = GeneTable(vectors=np.eye(6, dtype=np.float32), rank=rank.copy())
    changed, expected = (cpu.embed_rows(block, given, k=None) for given in (table, fresh))
    assert changed.n_genes.tolist() == [5]
    np.testing.assert_array_equal(changed.vectors, expected.vectors)
