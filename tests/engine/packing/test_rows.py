"""Renaming, ordering and narrowing rows, and noticing when they are not what they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from lexicell.packing.rows import counts_dtype, first_difference, fits, pack_rows, value_traits
from lexicell_kernels.types import CsrBlock

#: Each pair of types is compiled anew, which takes most of a second.
DTYPES = ["uint8", "int64", "float32"]


def block_of(matrix: sparse.csr_matrix) -> CsrBlock:
    return CsrBlock(
        data=matrix.data,
        indices=matrix.indices,
        indptr=matrix.indptr.astype(np.int64),
        n_columns=matrix.shape[1],
    )


def packed_matrix(packed: Any, n_columns: int) -> sparse.csr_matrix:
    indptr = np.concatenate([[0], np.cumsum(packed.records["values"], dtype=np.int64)])
    columns = packed.columns.astype(np.int32)
    return sparse.csr_matrix((packed.values, columns, indptr), (len(packed.records), n_columns))


def checked(packed: Any, n_columns: int) -> CsrBlock:
    """What a reader gives back of packed rows."""
    return block_of(packed_matrix(packed, n_columns))


@st.composite
def rows(draw: st.DrawFn) -> tuple[sparse.csr_matrix, int]:
    """Rows in any order of columns, with stored zeros, empty rows, repeated columns, any dtype."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, v = draw(st.integers(1, 9)), draw(st.integers(1, 150))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    lengths = rng.integers(0, v + 1, n) * rng.integers(0, 2, n)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    repeats = draw(st.booleans())
    indices = np.concatenate(
        [np.empty(0, int), *(rng.choice(v, size, replace=repeats) for size in lengths)]
    ).astype(np.int32)
    most = draw(st.sampled_from([2, 255, 70_000]))
    data = rng.integers(0, min(most, np.iinfo(dtype).max // v) if dtype.kind in "ui" else most, len(indices))
    values = data.astype(dtype)
    if dtype.kind == "f" and draw(st.booleans()):
        values += dtype.type(0.5) * (values > 0) * (values < 1000)
    matrix = sparse.csr_matrix((values, indices, indptr), (n, v))
    return matrix, v + draw(st.integers(0, 70))


@given(rows(), st.integers(0, 2**32))
def test_rows_are_scipys_canonical_ones_without_zeros_in_the_narrowest_type(
    given: tuple[sparse.csr_matrix, int], seed: int
) -> None:
    matrix, n_columns = given
    rng = np.random.default_rng(seed)
    place = rng.permutation(n_columns)[: matrix.shape[1]].astype(np.int32)
    numbers = rng.integers(0, 2**64, n_columns, dtype=np.uint64)
    summed = matrix.copy().astype(np.float64)
    summed.sum_duplicates()
    expected = sparse.csr_matrix(
        (summed.data, place[summed.indices], summed.indptr), (matrix.shape[0], n_columns)
    )
    expected.sort_indices()
    expected.eliminate_zeros()
    dtype = counts_dtype(value_traits(expected.data))
    packed = pack_rows(block_of(matrix), place, numbers[place], n_columns, dtype)
    found = packed_matrix(packed, n_columns)
    assert fits(packed.traits, dtype)
    assert packed.columns.dtype == np.uint16
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data.astype(np.float64), expected.data)
    assert len(found.data) + packed.dropped + packed.merged == matrix.nnz
    assert first_difference(checked(packed, n_columns), numbers, packed.records) is None


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 1, 65535], "uint16"),
        ([65536], "int32"),
        ([-1], "int32"),
        ([2**31 - 1], "int32"),
        ([2**31], "int64"),
        ([2**53 + 1], "int64"),
        ([0.5, 70_000.0], "float32"),
        ([float("nan"), float("inf"), 3.0], "float32"),
        ([0.1], "float64"),
        ([0.5, 2**24 + 1], "float64"),
        ([1e300], "float64"),
        ([], "uint16"),
    ],
)
def test_the_type_is_the_narrowest_that_loses_nothing(values: list[float], dtype: str) -> None:
    data = np.array(values)
    traits = value_traits(data)
    assert counts_dtype(traits) == dtype
    assert fits(traits, np.dtype(dtype))
    np.testing.assert_array_equal(data.astype(dtype).astype(data.dtype), data)


@pytest.mark.parametrize(("value", "narrow"), [(65536, "uint16"), (0.5, "int32"), (0.1, "float32")])
def test_a_value_that_does_not_fit_is_noticed(value: float, narrow: str) -> None:
    matrix = sparse.csr_matrix(np.array([[1, value, 2.0]]))
    numbers = np.arange(3, dtype=np.uint64)
    packed = pack_rows(block_of(matrix), np.arange(3, dtype=np.int32), numbers, 3, np.dtype(narrow))
    assert not fits(packed.traits, np.dtype(narrow))


def test_sums_of_repeated_narrow_integers_do_not_overflow() -> None:
    data, indices = np.array([200, 100, 7], np.uint8), np.array([1, 1, 0], np.int32)
    matrix = CsrBlock(data=data, indices=indices, indptr=np.array([0, 3], np.int64), n_columns=2)
    numbers = np.array([3, 4], np.uint64)
    packed = pack_rows(matrix, np.arange(2, dtype=np.int32), numbers, 2, np.dtype(np.uint16))
    assert packed.values.tolist() == [7, 300]
    assert packed.merged == 1


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_row_that_was_changed_is_found(dtype: str) -> None:
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 4, (6, 30)) * (0.25 if dtype == "float32" else 1)
    matrix = sparse.csr_matrix(dense.astype(np.float32))
    numbers = rng.integers(0, 2**64, 30, dtype=np.uint64)
    packed = pack_rows(block_of(matrix), np.arange(30, dtype=np.int32), numbers, 30, np.dtype(dtype))
    good = checked(packed, 30)
    assert first_difference(good, numbers, packed.records) is None
    start, stop = good.indptr[3:5]

    def changed(**arrays: Any) -> int | None:
        whole = {"data": good.data.copy(), "indices": good.indices.copy(), "indptr": good.indptr, **arrays}
        return first_difference(CsrBlock(n_columns=30, **whole), numbers, packed.records)

    swapped = good.data.copy()
    other = start + int(np.flatnonzero(swapped[start:stop] != swapped[start])[0])
    swapped[[start, other]] = swapped[[other, start]]  # two genes' counts: the sum is the same
    assert changed(data=swapped) == 3
    flipped = good.data.copy()
    flipped[stop - 1] += 1
    assert changed(data=flipped) == 3
    moved = good.indices.copy()
    free = next(j for j in range(30) if dense[3, j] == 0 and j > moved[start] and j < moved[start + 1] + 30)
    moved[start:stop] = np.sort(np.where(np.arange(start, stop) == start, free, moved[start:stop]))
    assert changed(indices=moved) == 3
    crossed = good.indices.copy()
    crossed[[start, start + 1]] = crossed[[start + 1, start]]
    values = good.data.copy()
    values[[start, start + 1]] = values[[start + 1, start]]
    assert changed(indices=crossed, data=values) == 3  # the same matrix, out of order
    shifted = good.indptr.copy()
    shifted[4] -= 1
    assert changed(indptr=shifted) == 3
