"""What every backend needs on the host: naming bad rows, putting rows in order, bringing arrays back.

Everything that moves blocks and results between host and GPU stands here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lexicell_kernels.types import (
    CsrBlock,
    DisorderedRowsError,
    GeneTable,
    InvalidBlockError,
    InvalidCountsError,
    Picks,
    Rows,
    bad_offsets,
    out_of_range,
)

__all__ = [
    "block_to_host",
    "candidate_words",
    "check_columns",
    "check_rows",
    "check_values",
    "in_order",
    "result_to_host",
    "table_on_host",
    "to_host",
]

#: How a GPU flags a row that does not lie within the values; see ``cuda/common.cuh``.
_NOWHERE = -4

Result = TypeVar("Result", Rows, Picks)


def to_host(array: Any) -> NDArray[Any]:
    """Copy an array to the host, after the work of the current stream; NumPy arrays are passed on."""
    return np.asarray(array if isinstance(array, np.ndarray) else array.get())


def block_to_host(block: CsrBlock) -> CsrBlock:
    """Copy a block to the host."""
    return replace(
        block, data=to_host(block.data), indices=to_host(block.indices), indptr=to_host(block.indptr)
    )


def result_to_host(result: Result) -> Result:
    """Copy what a backend returned to the host."""
    given = [getattr(result, name) for name in result.__slots__]
    copies = {id(array): to_host(array) for array in given}  # two fields may be one array
    return type(result)(*(copies[id(array)] for array in given))


def table_on_host(table: GeneTable) -> GeneTable:
    """Return the table with NumPy arrays; a copy is made once and kept with it."""
    given = (table.vectors, table.rank, table.rank_factor, table.bias)
    if all(array is None or isinstance(array, np.ndarray) for array in given):
        return table
    if "host" not in table.derived:
        table.derived["host"] = GeneTable(*(None if array is None else to_host(array) for array in given))
    there: GeneTable = table.derived["host"]
    return there


def candidate_words(rank: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Bitmap of the candidates, ``[ceil(v / 32)]``: it fits the first-level cache, the ranks don't.

    One word at least, since column 0 is looked up before it is known whether there is one.
    """
    candidate = np.zeros(max(1, (len(rank) + 31) // 32) * 4, np.uint8)
    packed = np.packbits(rank >= 0, bitorder="little")
    candidate[: len(packed)] = packed
    return candidate.view("<u4")


def check_columns(block: CsrBlock) -> None:
    """Raise ValueError for the first column outside the matrix."""
    first, last = int(block.indptr[0]), int(block.indptr[-1])
    outside = (block.indices[first:last] < 0) | (block.indices[first:last] >= block.n_columns)
    if outside.any():
        row = int(np.searchsorted(block.indptr, first + int(outside.argmax()), side="right")) - 1
        raise ValueError(out_of_range(row, block))


def check_values(block: CsrBlock) -> None:
    """Raise InvalidCountsError for the first value that is no count."""
    first, last = int(block.indptr[0]), int(block.indptr[-1])
    x = block.data[first:last]
    bad = ~(np.isfinite(x) & (x >= 0))
    if bad.any():
        at = first + int(bad.argmax())
        row = int(np.searchsorted(block.indptr, at, side="right")) - 1
        raise InvalidCountsError(row, int(block.indices[at]), float(block.data[at]))


def in_order(block: CsrBlock) -> CsrBlock:
    """Sort the columns of each row and sum those that stand twice."""
    import scipy.sparse as sp

    first, last = int(block.indptr[0]), int(block.indptr[-1])
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and reported as that
        block = CsrBlock(
            data=block.data[first:last].astype(np.float32),
            indices=block.indices[first:last].astype(np.int64),
            indptr=block.indptr.astype(np.int64) - first,
            n_columns=block.n_columns,
        )
    check_columns(block)
    check_values(block)  # before a negative one disappears in a sum
    shape = (block.n_rows, block.n_columns)
    matrix = sp.csr_array((block.data, block.indices, block.indptr), shape=shape)
    matrix.sum_duplicates()
    return CsrBlock(
        data=matrix.data,
        indices=matrix.indices,
        indptr=matrix.indptr.astype(np.int64),
        n_columns=block.n_columns,
    )


def check_rows(result: Rows | Picks, block: CsrBlock) -> None:
    """Raise what a GPU's result says of the block's rows: there, a row that can't be used is only flagged.

    Waits for the GPU and brings one row back. Results of the CPU pass, since bad rows were errors there.

    Parameters
    ----------
    result
        What `embed_rows` or `select_topk` returned. ``n_genes`` is below 0 for a row that can't be used: its
        vector is zero, and it has no genes.
    block
        What they were given.

    Raises
    ------
    InvalidBlockError
        ``indptr`` does not say where a row lies.
    InvalidCountsError
        A count is negative, NaN or infinite.
    ValueError
        A column lies outside the matrix.
    DisorderedRowsError
        The columns of a row do not ascend strictly.
    """
    used = to_host(result.n_genes)
    flagged = used < 0
    if not flagged.any():
        return
    nowhere = used == _NOWHERE  # first: nothing else can be said of a block that is none
    row = int((nowhere if nowhere.any() else flagged).argmax())
    a, b = (int(i) for i in to_host(block.indptr[row : row + 2]))
    if not 0 <= a <= b <= len(block.data):
        raise InvalidBlockError(bad_offsets(row, len(block.data)))
    columns, given = to_host(block.indices[a:b]), to_host(block.data[a:b])
    if ((columns < 0) | (columns >= block.n_columns)).any():
        raise ValueError(out_of_range(row, block))
    with np.errstate(over="ignore"):
        values = given.astype(np.float32)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        at = int(bad.argmax())
        raise InvalidCountsError(row, int(columns[at]), float(values[at]))
    raise DisorderedRowsError(row)
