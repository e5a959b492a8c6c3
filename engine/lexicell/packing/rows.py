"""Rows of a packed atlas: columns renamed, put in order and narrowed, with sums to check them by.

A row is put in order by a bitmap over all columns: its values are scattered to their places, and reading the
bitmap upwards gives them in order. That reads and writes each value twice and 4 kB of bits a row, whatever
the order they came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lexicell_kernels.jit import double_bits, kernel, trailing_zeros
from lexicell_kernels.types import CsrBlock

__all__ = ["RECORD", "PackedRows", "counts_dtype", "first_difference", "fits", "pack_rows", "value_traits"]

#: What is noted of each row, from its values as the source has them: how many are not 0; the sum of the
#: values (a fraction counts by its bits); and the sum of values times a number drawn for their gene. Sums are
#: modulo 2**64, so their order is no matter.
RECORD = np.dtype([("values", "<u4"), ("sum", "<u8"), ("genes", "<u8")])

#: What values have been seen that a narrow type does not hold.
_FRACTION, _BEYOND_U16, _BEYOND_I32, _BEYOND_F32 = 1, 2, 4, 8
_HELD = {
    "uint16": 0,
    "int32": _BEYOND_U16 | _BEYOND_F32,
    "int64": _BEYOND_U16 | _BEYOND_I32 | _BEYOND_F32,
    "float32": _FRACTION | _BEYOND_U16 | _BEYOND_I32,
    "float64": _FRACTION | _BEYOND_U16 | _BEYOND_I32 | _BEYOND_F32,
}
_2_31, _2_63 = float(1 << 31), float(1 << 63)


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Consecutive rows as they are stored.

    Attributes
    ----------
    values
        ``[nnz]``, none of them 0.
    columns
        ``[nnz]`` uint16 or int32, ascending in each row.
    records
        ``[n]`` `RECORD`.
    traits
        See `value_traits`.
    dropped, merged
        Zeros that were stored, and values added to another of their gene and cell.
    """

    values: NDArray[Any]
    columns: NDArray[Any]
    records: NDArray[Any]
    traits: int
    dropped: int
    merged: int


def counts_dtype(traits: int) -> np.dtype[Any]:
    """The narrowest type that loses nothing: uint16, int32, int64, float32 or float64.

    Parameters
    ----------
    traits
        Of the values, see `value_traits`.
    """
    if traits & _FRACTION:
        return np.dtype(np.float64 if traits & _BEYOND_F32 else np.float32)
    if traits & _BEYOND_I32:
        return np.dtype(np.int64)
    return np.dtype(np.int32 if traits & _BEYOND_U16 else np.uint16)


def fits(traits: int, dtype: np.dtype[Any]) -> bool:
    """Whether values with these traits can be stored as `dtype` without loss."""
    return not traits & ~_HELD[dtype.name]


def value_traits(data: NDArray[Any]) -> int:
    """Look through some values for what a narrow type does not hold; traits of several are or-ed."""
    return int(_traits(data))


def pack_rows(
    block: CsrBlock,
    place: NDArray[np.int32],
    weight: NDArray[np.uint64],
    n_columns: int,
    dtype: np.dtype[Any],
) -> PackedRows:
    """Put rows in the form in which they are stored.

    Parameters
    ----------
    block
        As the source has them. Values of one cell and gene are added up as scipy does, in their own type;
        whole numbers without its overflow.
    place
        ``[v]`` for each column of the block its column among all.
    weight
        ``[v]`` the number of each column's gene, see `RECORD`.
    n_columns
        Number of all columns.
    dtype
        Of the stored values; where ``traits`` do not fit it, there are none.
    """
    n_in, n = int(block.indptr[-1]), block.n_rows
    records = np.zeros(n, RECORD)
    columns = np.empty(n_in, np.uint16 if n_columns <= 1 << 16 else np.int32)
    while True:
        traits = _noted(block, weight, records)
        if not fits(traits, dtype):
            return PackedRows(np.empty(0, dtype), columns[:0], records, traits, 0, 0)
        values = np.empty(len(block.data), dtype)
        stored = _ordered(
            block.data.astype(dtype, copy=False), block.indices, block.indptr, place,
            np.zeros((n_columns + 63) // 64, np.uint64), np.empty(n_columns, dtype), values, columns,
        )  # fmt: skip
        if stored == int(records["values"].sum()):
            size = int(block.indptr[-1])
            return PackedRows(values[:stored], columns[:stored], records, traits, size - stored, n_in - size)
        block = _summed(block)  # a row has a column twice


def first_difference(block: CsrBlock, weight: NDArray[np.uint64], records: NDArray[Any]) -> int | None:
    """Compare rows that were read back with what was noted of them; the first that differs, or None.

    Parameters
    ----------
    block
        ``[n]`` rows of the atlas.
    weight
        ``[v]`` the number of each column's gene.
    records
        ``[n]`` `RECORD` of the same rows.
    """
    noted = np.zeros(block.n_rows, RECORD)
    _noted(block, weight, noted)
    wrong = (noted != records) | (np.diff(block.indptr) != records["values"])
    descends = np.zeros(len(block.indices) + 1, np.bool_)
    descends[1:-1] = block.indices[1:] <= block.indices[:-1]
    descends[block.indptr[:-1]] = False  # where rows begin
    wrong |= np.logical_or.reduceat(descends, block.indptr[:-1]) & (np.diff(block.indptr) > 0)
    return int(wrong.argmax()) if wrong.any() else None


def _noted(block: CsrBlock, weight: NDArray[np.uint64], records: NDArray[Any]) -> int:
    """Fill in the records of some rows; traits of their values."""
    columns = [np.empty(block.n_rows, RECORD[name]) for name in RECORD.names or ()]
    traits = _sums(block.data, block.indices, block.indptr, weight, *columns)
    for name, column in zip(RECORD.names or (), columns, strict=True):
        records[name] = column
    return int(traits)


def _summed(block: CsrBlock) -> CsrBlock:
    data = block.data.astype(np.int64) if block.data.dtype.kind in "bui" else block.data.copy()
    shape = (block.n_rows, block.n_columns)
    matrix = sparse.csr_matrix((data, block.indices.astype(np.int64), block.indptr), shape=shape)
    matrix.sum_duplicates()
    return CsrBlock(
        data=matrix.data,
        indices=matrix.indices,
        indptr=matrix.indptr.astype(np.int64),
        n_columns=block.n_columns,
    )


@kernel()
def _is_small(x):  # type: ignore[no-untyped-def]
    """Whether a value is a whole number of 0 to 65535."""
    inside = (x >= 0) & (x <= 65535)
    return inside & (np.float64(np.uint16(x if inside else 0)) == np.float64(x))


@kernel()
def _amount(x):  # type: ignore[no-untyped-def]
    """What a value adds to a sum: itself where it is whole, else its bits."""
    wide = np.float64(x)
    if -_2_63 <= wide < _2_63 and np.float64(np.int64(wide)) == wide:
        return np.uint64(np.int64(wide))
    return double_bits(wide)


@kernel()
def _unusual(x):  # type: ignore[no-untyped-def]
    """Traits of a value that is not small."""
    wide = np.float64(x)
    traits = 0
    if not (-_2_63 <= wide < _2_63 and np.float64(np.int64(wide)) == wide):
        traits |= _FRACTION
    else:
        traits |= _BEYOND_U16
        if not -_2_31 <= wide < _2_31:
            traits |= _BEYOND_I32
    if wide == wide and np.float64(np.float32(wide)) != wide:  # noqa: PLR0124 -- float32 has NaN
        traits |= _BEYOND_F32
    return traits


@kernel(cache=True)
def _traits(data):  # type: ignore[no-untyped-def]
    traits = 0
    for x in data:
        if not _is_small(x):
            traits |= _unusual(x)
    return traits


@kernel()
def _sum_row(x, columns, weight):  # type: ignore[no-untyped-def]
    """Number of values that are not 0, their sum, that of values times weights, and traits."""
    small, n = 0, 0
    for i in range(x.size):
        small += _is_small(x[i])
        n += x[i] != 0
    total, genes, traits = np.uint64(0), np.uint64(0), 0
    if small == x.size:  # short loops without a branch, which vectorise
        for i in range(x.size):
            total += np.uint64(np.int32(x[i]))
        for i in range(x.size):
            genes += np.uint64(np.int32(x[i])) * weight[np.uint32(columns[i])]
        return n, total, genes, traits
    for i in range(x.size):
        if not _is_small(x[i]):
            traits |= _unusual(x[i])
        total += _amount(x[i])
        genes += _amount(x[i]) * weight[np.uint32(columns[i])]
    return n, total, genes, traits


@kernel(cache=True)
def _sums(data, indices, indptr, weight, lengths, sums, genes):  # type: ignore[no-untyped-def]
    """Note rows, see `RECORD`; traits of all values."""
    all_traits = 0
    for row in range(indptr.size - 1):
        x, idx = data[indptr[row] : indptr[row + 1]], indices[indptr[row] : indptr[row + 1]]
        lengths[row], sums[row], genes[row], traits = _sum_row(x, idx, weight)
        all_traits |= traits
    return all_traits


@kernel(cache=True)
def _ordered(data, indices, indptr, place, present, slot, values, columns):  # type: ignore[no-untyped-def]
    """Fill values and columns, each row in the order of its new columns; how many there are."""
    # Unsigned throughout: Numba looks for negative indices otherwise, which costs as much as the work.
    end, one, low = np.uint64(0), np.uint64(1), np.uint64(63)
    for row in range(indptr.size - 1):
        x, idx = data[indptr[row] : indptr[row + 1]], indices[indptr[row] : indptr[row + 1]]
        for i in range(x.size):
            if x[i] != 0:
                column = np.uint64(np.uint32(place[np.uint32(idx[i])]))
                present[column >> np.uint64(6)] |= one << (column & low)
                slot[column] = x[i]
        for word in range(present.size):
            bits = present[word]
            if bits:
                present[word] = 0
                base = np.uint64(word) << np.uint64(6)
                while bits:
                    column = base + trailing_zeros(bits)
                    columns[end] = column
                    values[end] = slot[column]
                    end += one
                    bits &= bits - one
    return end
