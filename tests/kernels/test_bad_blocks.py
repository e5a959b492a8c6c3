"""What kernels refuse, and with which words."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import lexicell_kernels
from lexicell_kernels import CsrBlock, GeneTable, InvalidBlockError, InvalidCountsError, cpu, reference

BACKENDS = pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
TABLE = GeneTable(np.ones((6, 3), np.float32), np.arange(6, dtype=np.int32))


def block(data, indices, indptr, v=6, values=np.float32, columns=np.int32) -> CsrBlock:
    return CsrBlock(
        data=np.array(data, values),
        indices=np.array(indices, columns),
        indptr=np.array(indptr, np.int64),
        n_columns=v,
    )


@BACKENDS
@pytest.mark.parametrize("bad", [-1, -1e-30, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("values", [np.float32, np.float64])
def test_the_first_bad_count_is_named(backend, bad, values):
    # Rows 0 and 1 are fine, row 2 holds the first bad value, row 3 another.
    counts = block([1, 2, 3, bad, -5], [0, 2, 0, 4, 1], [0, 1, 2, 4, 5], values=values)
    for run in (backend.embed_rows, backend.select_topk):
        with pytest.raises(InvalidCountsError) as caught:
            run(counts, TABLE, k=2)
        assert (caught.value.row, caught.value.column) == (2, 4)
        np.testing.assert_equal(caught.value.value, float(np.float32(bad)))
        assert "row 2, column 4" in str(caught.value)


@BACKENDS
@pytest.mark.parametrize("values", [np.int32, np.int64])
def test_negative_integers_are_named_too(backend, values):
    with pytest.raises(InvalidCountsError, match=r"row 1, column 3.*-7"):
        backend.embed_rows(block([1, 2, -7], [0, 1, 3], [0, 1, 3], values=values), TABLE, k=2)


@BACKENDS
def test_bad_counts_of_genes_without_a_description_are_errors_as_well(backend):
    undescribed = GeneTable(np.ones((1, 3), np.float32), np.array([0, -1, -1, -1, -1, -1], np.int32))
    with pytest.raises(InvalidCountsError):
        backend.embed_rows(block([1, -1], [0, 3], [0, 2]), undescribed, k=2)


@BACKENDS
def test_a_count_too_large_for_float32_is_infinite(backend):
    with pytest.raises(InvalidCountsError, match="column 1"):
        backend.embed_rows(block([1, 1e300], [0, 1], [0, 2], values=np.float64), TABLE, k=2)


@BACKENDS
@pytest.mark.parametrize("bad", [-1, np.nan])
def test_a_bad_count_does_not_hide_behind_another_of_the_same_column(backend, bad):
    with pytest.raises(InvalidCountsError) as caught:
        backend.embed_rows(block([2, 3, 1, bad], [0, 2, 0, 2], [0, 1, 4]), TABLE, k=2)
    assert (caught.value.row, caught.value.column) == (1, 2)


@BACKENDS
def test_of_two_bad_counts_in_a_disordered_row_the_first_stored_is_named(backend):
    with pytest.raises(InvalidCountsError) as caught:
        backend.embed_rows(block([np.nan, 1, -1], [5, 0, 1], [0, 3]), TABLE, k=2)
    assert caught.value.column == 5


def test_the_first_bad_cell_is_named_whatever_thread_finds_it(monkeypatch):
    monkeypatch.setattr(cpu, "_INLINE_NNZ", 0)
    data = np.ones(400, np.float32)
    data[[120, 399]] = -1
    counts = block(data, np.tile(np.arange(2), 200), np.arange(0, 401, 2))
    for threads in (1, 2, 3, 4):
        with pytest.raises(InvalidCountsError) as caught:
            cpu.embed_rows(counts, TABLE, k=2, threads=threads)
        assert (caught.value.row, caught.value.column) == (60, 0)


@BACKENDS
@pytest.mark.parametrize(
    ("column", "dtype"),
    [(6, np.int32), (-1, np.int32), (6, np.uint16), (65535, np.uint16), (6, np.int64), (-1, np.int64),
     (2**32 + 1, np.int64), (2**40, np.int64)],
)  # fmt: skip
@pytest.mark.parametrize("last", [True, False], ids=["in order", "disordered"])
def test_a_column_outside_the_matrix_is_refused(backend, column, dtype, last):
    columns = [0, 1, column] if last else [0, column, 1]
    with pytest.raises(ValueError, match="row 1"):
        backend.embed_rows(block([1, 1, 1], columns, [0, 1, 3], columns=dtype), TABLE, k=2)


@BACKENDS
@pytest.mark.parametrize("k", [0, -3])
def test_a_k_below_one_is_refused(backend, k):
    for run in (backend.embed_rows, backend.select_topk):
        with pytest.raises(ValueError, match=rf"1.*{k}"):
            run(block([1], [0], [0, 1]), TABLE, k=k)


@BACKENDS
def test_a_table_for_other_columns_is_refused(backend):
    for run in (backend.embed_rows, backend.select_topk):
        with pytest.raises(ValueError, match=r"7 columns .* 6"):
            run(block([1], [0], [0, 1], v=7), TABLE, k=1)


@BACKENDS
def test_vectors_of_another_type_are_refused(backend):
    table = GeneTable(np.ones((6, 3)), TABLE.rank)
    for run in (backend.embed_rows, backend.select_topk):
        with pytest.raises(TypeError, match=r"float16.*float32.*float64"):
            run(block([1], [0], [0, 1]), table, k=1)


def test_arrays_without_a_kernel_are_refused():
    counts = CsrBlock(data=[1.0], indices=[0], indptr=[0, 1], n_columns=6)
    for run in (lexicell_kernels.embed_rows, lexicell_kernels.select_topk):
        with pytest.raises(TypeError, match="no kernel for arrays of builtins; there are kernels for "):
            run(counts, TABLE, k=1)


#: A sound block of three rows, and what makes it none.
SOUND = {"data": [3, 1, 2, 5], "indices": [0, 2, 1, 4], "indptr": [0, 2, 2, 4], "n_columns": 6}
DTYPES = {"data": np.float32, "indices": np.int32, "indptr": np.int64}


def sound(**changed: Any) -> CsrBlock:
    arrays = {name: np.array(SOUND[name], dtype) for name, dtype in DTYPES.items()}
    return CsrBlock(**{**arrays, "n_columns": 6, **changed})


OFFSETS = {
    "begins below 0": [-1, 2, 2, 4],
    "begins far below 0": [-(2**62), 2, 2, 4],
    "begins behind the values": [5, 5, 5, 5],
    "ends behind the values": [0, 2, 2, 5],
    "ends far behind the values": [0, 2, 2, 2**40],
    "descends at the start": [2, 0, 2, 4],
    "descends in the middle": [0, 3, 2, 4],
    "descends at the end": [0, 2, 4, 3],
    "goes far away and comes back": [0, 2**62, 2, 4],
    "goes below 0 and comes back": [0, -4, 2, 4],
}
ARRAYS = {
    "fewer columns than values": {"indices": np.array([0, 2, 1], np.int32)},
    "more columns than values": {"indices": np.array([0, 2, 1, 4, 5], np.int32)},
    "fewer values than columns": {"data": np.ones(3, np.float32)},
    "no offsets": {"indptr": np.zeros(0, np.int64)},
    "offsets that are fractions": {"indptr": np.array(SOUND["indptr"], np.float64)},
    "offsets without a sign": {"indptr": np.array(SOUND["indptr"], np.uint64)},
    "columns that are fractions": {"indices": np.array(SOUND["indices"], np.float32)},
    "columns that are true or false": {"indices": np.ones(4, bool)},
    "values that are true or false": {"data": np.ones(4, bool)},
    "values that are text": {"data": np.array(["3", "1", "2", "5"])},
    "values that are dates": {"data": np.zeros(4, "M8[s]")},
    "values that are complex": {"data": np.ones(4, np.complex64)},
    "values that are objects": {"data": np.ones(4, object)},
    "values with two axes": {"data": np.ones((4, 1), np.float32)},
    "columns with two axes": {"indices": np.zeros((4, 1), np.int32)},
    "an offset without an axis": {"indptr": np.array(0)},
    "values and columns in each other's place": {
        "data": np.array(SOUND["indices"], np.int32),
        "indices": np.array(SOUND["data"], np.float32),
    },
    "columns and offsets in each other's place": {
        "indices": np.array(SOUND["indptr"], np.int64),
        "indptr": np.array(SOUND["indices"], np.int32),
    },
    "the same, all of 64 bits": {
        "indices": np.array(SOUND["indptr"], np.int64),
        "indptr": np.array(SOUND["indices"], np.int64),
    },
}
BAD = {
    **{name: {"indptr": np.array(offsets, np.int64)} for name, offsets in OFFSETS.items()},
    **ARRAYS,
}


@BACKENDS
@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_csr_matrix_is_refused(backend, bad):
    for run in (backend.embed_rows, backend.select_topk):
        with pytest.raises(InvalidBlockError):
            run(sound(**BAD[bad]), TABLE, k=2)


@BACKENDS
@pytest.mark.parametrize(
    "indptr", [[0, 2, 2, 4], [1, 2, 3, 4], [0, 1, 2, 3], [2, 2, 2, 2], [0], [4], [0, 0, 4, 4]], ids=str
)
def test_rows_may_lie_anywhere_within_the_values(backend, indptr):
    given = sound(indptr=np.array(indptr, np.int64))
    assert len(backend.embed_rows(given, TABLE, k=2).vectors) == len(indptr) - 1


@pytest.mark.parametrize(("offsets", "row"), [([0, 3, 2, 4], 1), ([-1, 2, 2, 4], 0), ([0, 2, 2, 5], 2)])
def test_the_row_without_a_place_is_named(offsets, row):
    with pytest.raises(InvalidBlockError, match=f"row {row}$"):
        cpu.embed_rows(sound(indptr=np.array(offsets, np.int64)), TABLE, k=2)


def test_arrays_of_a_block_are_given_by_name():
    with pytest.raises(TypeError, match="positional"):
        CsrBlock(np.ones(1, np.float32), np.zeros(1, np.int32), np.array([0, 1]), 6)  # type: ignore[misc]


def test_numpy_arrays_go_to_the_cpu_backend():
    counts = block([3, 1], [0, 1], [0, 2])
    np.testing.assert_array_equal(
        lexicell_kernels.embed_rows(counts, TABLE, k=1).vectors, cpu.embed_rows(counts, TABLE, k=1).vectors
    )
    np.testing.assert_array_equal(lexicell_kernels.select_topk(counts, TABLE, k=1).genes, [[0]])


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(InvalidCountsError(3, 5, -1.0)))  # noqa: S301 - our own bytes
    assert (error.row, error.column, error.value) == (3, 5, -1.0)
    assert isinstance(error, ValueError)
    assert str(error) == str(InvalidCountsError(3, 5, -1.0))
