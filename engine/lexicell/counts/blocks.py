"""CSR blocks: dtypes, bounds, cutting, joining and gathering.

Blocks of CuPy arrays stay on their GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell.arrays import Array, namespace, rows_of
from lexicell.containers.faults import Where
from lexicell.errors import InputError
from lexicell_kernels.types import CsrBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "MAX_NNZ",
    "Array",
    "Offsets",
    "check_columns",
    "check_indptr",
    "check_indptr_shape",
    "check_value_dtype",
    "concat_rows",
    "cut_spans",
    "gather_rows",
    "keep_columns",
    "kernel_values",
    "new_places",
    "slice_rows",
    "slim_indices",
    "to_block",
]

#: Stored values of one block: 32 MB as float32 with int32 columns. Larger blocks are slower, since fresh
#: pages cost more than decoding; much smaller ones wait for each other.
MAX_NNZ = 4_000_000

Offsets = NDArray[np.int64]


_KERNEL_DTYPES = {
    "bool": np.uint8, "int8": np.int32, "int16": np.int32, "uint64": np.int64,
    "float16": np.float32, "longdouble": np.float64, "float128": np.float64,
}  # fmt: skip
_INDEX_DTYPES = {
    "int8": np.int32,
    "uint8": np.uint16,
    "int16": np.int32,
    "uint32": np.int64,
    "uint64": np.int64,
}


def check_value_dtype(dtype: Any, where: Where) -> np.dtype[Any]:
    """Return `dtype` as NumPy's, or raise InputError where its values are not real numbers."""
    value_dtype: np.dtype[Any] = np.dtype(dtype)
    if value_dtype.kind not in "buif":
        msg = f"{where} holds values of type {value_dtype}, which are no counts; choose another layer or file"
        raise InputError(msg)
    return value_dtype


def kernel_values(data: Array) -> Array:
    """Values in a dtype that the kernels take, unchanged and uncopied where theirs already is one."""
    target = _KERNEL_DTYPES.get(data.dtype.name)
    if target is not None:
        return data.astype(target)
    return data if data.dtype.isnative else data.astype(data.dtype.newbyteorder("="))


def slim_indices(indices: Array) -> Array:
    """Columns as uint16, int32 or int64, uncopied where they already are."""
    target = _INDEX_DTYPES.get(indices.dtype.name)
    if target is not None:
        return indices.astype(target)
    return indices if indices.dtype.isnative else indices.astype(indices.dtype.newbyteorder("="))


def check_columns(indices: Array, n: int, where: Where) -> None:
    """Raise CorruptDataError unless every index lies in ``[0, n)``."""
    if indices.dtype.kind not in "iu":
        fault = f"has indices of type {indices.dtype}, not integers"
        raise where.corrupt(fault)
    # Seen as unsigned, a negative index is a huge one: one pass finds both faults.
    unsigned = indices.view(indices.dtype.str.replace("i", "u")) if indices.dtype.kind == "i" else indices
    if unsigned.size and int(unsigned.max()) >= n:
        bad = indices[int(unsigned.argmax())]
        fault = f"points to index {bad}, outside 0:{n}"
        raise where.corrupt(fault)


def check_indptr(indptr: Array, n: int, nnz: int, where: Where) -> Offsets:
    """Return `indptr` as int64, or raise CorruptDataError unless it fits `n` rows and `nnz` values."""
    check_indptr_shape(indptr, n, where)
    fault = None
    if int(indptr[0]) != 0 or int(indptr[-1]) != nnz:
        fault = f"has an indptr that runs from {indptr[0]} to {indptr[-1]} where 0 to {nnz} are stored"
    elif bool((indptr[1:] < indptr[:-1]).any()):
        fault = "has an indptr that decreases"
    if fault is not None:
        raise where.corrupt(fault)
    return indptr.astype(np.int64, copy=False)


def check_indptr_shape(indptr: Any, n: int, where: Where) -> None:
    """Raise CorruptDataError unless an indptr, read or not, can be that of `n` rows."""
    if tuple(indptr.shape) != (n + 1,) or indptr.dtype.kind not in "iu":
        fault = f"has an indptr that is not {n + 1} integers"
        raise where.corrupt(fault)


def cut_spans(indptr: Offsets, max_nnz: int) -> Iterator[tuple[int, int]]:
    """Cut rows into the longest consecutive spans of at most `max_nnz` values, one row at least."""
    start, n = 0, indptr.shape[0] - 1
    while start < n:
        stop = int(np.searchsorted(indptr, indptr[start] + max_nnz, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield start, stop
        start = stop


def slice_rows(block: CsrBlock, start: int, stop: int) -> CsrBlock:
    """Rows ``start:stop`` of a block whose indptr starts at 0; data and indices are views."""
    if start == 0 and stop == block.n_rows:
        return block
    indptr = block.indptr[start : stop + 1]
    first, last = int(indptr[0]), int(indptr[-1])
    return CsrBlock(
        data=block.data[first:last],
        indices=block.indices[first:last],
        indptr=indptr - first,
        n_columns=block.n_columns,
    )


def concat_rows(blocks: Sequence[CsrBlock]) -> CsrBlock:
    """Stack blocks whose indptr starts at 0."""
    if len(blocks) == 1:
        return blocks[0]
    xp = namespace(blocks[0].data)
    ends = np.cumsum([0, *(int(block.indptr[-1]) for block in blocks)]).tolist()
    pieces = [block.indptr[1:] + end for block, end in zip(blocks, ends, strict=False)]
    return CsrBlock(
        data=xp.concatenate([block.data for block in blocks]),
        indices=xp.concatenate([block.indices for block in blocks]),
        indptr=xp.concatenate([xp.zeros(1, np.int64), *pieces]),
        n_columns=blocks[0].n_columns,
    )


def gather_rows(block: CsrBlock, rows: Array) -> CsrBlock:
    """Rows of a block in the order given, repeats allowed."""
    xp = namespace(block.data)
    starts = block.indptr[rows]
    lengths = block.indptr[rows + 1] - starts
    indptr = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(lengths)])
    flat = xp.arange(int(indptr[-1]))
    if xp is np:
        flat += np.repeat(starts - indptr[:-1], lengths)
    else:  # CuPy repeats only by numbers that lie on the host
        flat += (starts - indptr[:-1])[rows_of(indptr, flat)]
    return CsrBlock(
        data=block.data[flat], indices=block.indices[flat], indptr=indptr, n_columns=block.n_columns
    )


def new_places(columns: Array, n: int) -> NDArray[np.int32]:
    """Place of each of `n` columns among those that are kept, -1 for others."""
    places = np.full(n, -1, np.int32)
    places[columns] = np.arange(len(columns), dtype=np.int32)
    return places


def keep_columns(block: CsrBlock, new_column: NDArray[np.int32], n_columns: int) -> CsrBlock:
    """Rename columns by ``new_column[old]`` and drop those that map to -1; the order in a row stays."""
    xp = namespace(block.data)
    renamed = xp.asarray(new_column)[block.indices]
    mask = renamed >= 0
    offsets = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(mask)])
    return CsrBlock(
        data=block.data[mask], indices=renamed[mask], indptr=offsets[block.indptr], n_columns=n_columns
    )


def to_block(matrix: Any, where: Where) -> CsrBlock:
    """CSR block of a small piece of a matrix: dense, or any sparse format of scipy's or CuPy's.

    Parameters
    ----------
    matrix
        ``[n, v]`` array or sparse matrix.
    where
        For messages.
    """
    if hasattr(matrix, "tocsr"):
        csr = matrix.tocsr()
        n, v = csr.shape
        indptr = check_indptr(csr.indptr, n, csr.indices.shape[0], where)
        check_columns(csr.indices, v, where)
        return CsrBlock(
            data=kernel_values(csr.data), indices=slim_indices(csr.indices), indptr=indptr, n_columns=v
        )
    xp = namespace(matrix)
    dense = xp.asarray(matrix)
    n, v = dense.shape
    check_value_dtype(dense.dtype, where)
    stored = dense != 0
    indptr = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(xp.count_nonzero(stored, axis=1))])
    flat = xp.flatnonzero(stored)
    return CsrBlock(
        data=kernel_values(dense.reshape(-1)[flat]),
        indices=(flat % v).astype(np.int32),
        indptr=indptr,
        n_columns=v,
    )
