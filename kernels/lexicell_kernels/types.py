"""What goes into the kernels and what comes out.

Shapes: ``n`` cells, ``v`` data-set columns, ``m`` candidate genes, ``p`` output dimensions.
All arrays of one call live on one device; which one decides the backend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

__all__ = [
    "CsrBlock",
    "DeviceMemoryError",
    "DisorderedRowsError",
    "GeneTable",
    "GpuUnavailableError",
    "InvalidBlockError",
    "InvalidCountsError",
    "Order",
    "Picks",
    "Ranking",
    "RowTooLongError",
    "Rows",
    "Weight",
]

#: An array of any backend: NumPy on the CPU, CuPy on a GPU.
Array = Any

_VECTORS = (np.float16, np.float32)
#: What the arrays of a block hold, and kinds of dtypes that say so.
_HOLDS = {
    "data": ("integers or fractions", "iuf"),
    "indices": ("integers", "iu"),
    "indptr": ("signed integers", "i"),
}


class Weight(StrEnum):
    """How much a selected gene counts in the pooled mean.

    With ``x`` the gene's count, ``N`` the cell's total over all columns and ``r`` the gene's place
    among the ``m`` selected: ``log1p`` is ``log1p(1e4 x / N)``, ``count`` is ``1e4 x / N``, ``uniform``
    is 1 and ``rank`` is ``(m - r) / m``.
    """

    LOG1P = "log1p"
    COUNT = "count"
    UNIFORM = "uniform"
    RANK = "rank"


class Order(StrEnum):
    """Order in which `select_topk` lists a cell's genes."""

    LEXICON = "lexicon"
    SCORE = "score"


class InvalidCountsError(ValueError):
    """A count is negative, NaN or infinite.

    Attributes
    ----------
    row, column
        Position inside the block.
    value
        The offending value.
    """

    def __init__(self, row: int, column: int, value: float) -> None:
        super().__init__(row, column, value)
        self.row, self.column, self.value = row, column, value

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column} holds {self.value}; counts are finite and not negative"


class InvalidBlockError(ValueError):
    """The arrays of a block do not make a CSR matrix; the message names the one that is wrong."""


class DisorderedRowsError(ValueError):
    """The columns of a row do not ascend strictly, where there is no time to put them in order.

    Attributes
    ----------
    row
        The first such row of the block.
    """

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row

    def __str__(self) -> str:
        return f"the columns of row {self.row} are not sorted and unique: call sum_duplicates() on the matrix"


class RowTooLongError(ValueError):
    """A row has 2**31 values or more.

    Attributes
    ----------
    row, length
        The longest row, and how many values it has.
    """

    def __init__(self, row: int, length: int) -> None:
        super().__init__(row, length)
        self.row, self.length = row, length

    def __str__(self) -> str:
        return f"row {self.row} has {self.length:,} values; a GPU takes fewer than 2**31 in a row"


class GpuUnavailableError(RuntimeError):
    """There is no GPU, or something is missing that it needs; the message says what to install."""


class DeviceMemoryError(MemoryError):
    """The GPU's memory does not hold what was asked for; fewer rows at a time may fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrBlock:
    """Consecutive rows of a cells x genes count matrix in CSR form; kernels refuse what is none.

    Attributes
    ----------
    data
        ``[nnz]`` values, integers or fractions. uint16 and float32 are taken as they are, others converted.
    indices
        ``[nnz]`` columns, integers; uint16 and int32 are taken as they are. Sorted and unique within a row
        for the fast path; anything else is put in order first (duplicates are summed), but on a GPU, where
        such rows are flagged (`lexicell_kernels.check_rows`).
    indptr
        ``[n + 1]`` signed integers, int64 as they are: none below the one before, from 0 to ``nnz`` at most.
    n_columns
        ``v``.
    """

    data: Array
    indices: Array
    indptr: Array
    n_columns: int

    @property
    def n_rows(self) -> int:
        """Number of cells in the block."""
        return int(self.indptr.shape[0]) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays."""
        return int(self.data.nbytes + self.indices.nbytes + self.indptr.nbytes)


@dataclass(frozen=True, slots=True)
class GeneTable:
    """One vector per candidate gene, everything linear folded in, rows in lexicon order.

    Candidates only, and not a row per column: that is smaller, and `rank` is mask, tie order and order of
    summation in one.

    Attributes
    ----------
    vectors
        ``[m, p]`` float16 or float32, C-contiguous.
    rank
        ``[v]`` int32: the row of `vectors` that a data-set column means, -1 where the column is not a
        candidate (no description, or masked). Columns that are one gene mean the same row; in each row of a
        block at most one of them is not 0.
    rank_factor
        ``[m]`` float32 > 0: the rank factor that scores are multiplied with, or None for 1.
    bias
        ``[p]`` float32, or None for 0.
    derived
        What backends have made of the table, kept with it: the copy on a GPU, say. Not compared, and left
        behind where the table is pickled or replaced.
    """

    vectors: Array
    rank: Array
    rank_factor: Array | None = None
    bias: Array | None = None
    derived: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the table was made from."""
        return type(self), (self.vectors, self.rank, self.rank_factor, self.bias)

    @property
    def n_columns(self) -> int:
        """Number of data-set columns, ``v``."""
        return int(self.rank.shape[0])

    @property
    def n_genes(self) -> int:
        """Number of candidate genes, ``m``."""
        return int(self.vectors.shape[0])

    @property
    def dim(self) -> int:
        """Output dimensions, ``p``."""
        return int(self.vectors.shape[1])


@dataclass(frozen=True, slots=True)
class Rows:
    """Embedded cells.

    Attributes
    ----------
    vectors
        ``[n, p]`` float32, or float16 where an `out` is; a zero row where the cell has no candidate gene.
    n_genes
        ``[n]`` int32, genes used; 0 flags a cell that could not be embedded, and a number below 0 a row that
        can't be used (on a GPU, where nothing is raised: see `lexicell_kernels.check_rows`).
    coverage
        ``[n]`` float32, share of the cell's counts that lies in candidate genes; masked ones are none.
    n_tied
        ``[n]`` int32, candidates whose score equals the last selected one's; 0 where k cut nothing.
    """

    vectors: Array
    n_genes: Array
    coverage: Array
    n_tied: Array


@dataclass(frozen=True, slots=True)
class Picks:
    """The selected genes of each cell.

    Attributes
    ----------
    genes
        ``[n, k]`` int32 rows of `GeneTable.vectors`, -1 beyond ``n_genes``.
    scores
        ``[n, k]`` float32 scores (count times rank factor), 0 beyond ``n_genes``.
    counts
        ``[n, k]`` float32 counts, 0 beyond ``n_genes``; those of a table without factors are the scores, and
        may be the same array.
    n_genes
        ``[n]`` int32, genes selected; below 0 as in `Rows.n_genes`.
    totals
        ``[n]`` float64, sum of all of the cell's counts, described or not; 0 where ``n_genes`` is below 0.
    """

    genes: Array
    scores: Array
    counts: Array
    n_genes: Array
    totals: Array


@dataclass(frozen=True, slots=True)
class Ranking:
    """The genes of each cell in the order of their scores, one cell after another.

    Attributes
    ----------
    genes
        ``[nnz]`` int32 rows of the gene table, or ids that were given for them: the highest score first,
        equal ones by row ascending.
    counts
        ``[nnz]`` float32.
    indptr
        ``[n + 1]`` int64.
    totals
        ``[n]`` float64, sum of all of the cell's counts.
    n_tied
        ``[n]`` int32, of the genes that are listed, how many have the score of the first one that is not.
    """

    genes: Array
    counts: Array
    indptr: Array
    totals: Array
    n_tied: Array

    def __len__(self) -> int:
        return len(self.totals)


def check_block(block: CsrBlock) -> None:
    """Raise InvalidBlockError where the arrays of a block are not those of a CSR matrix.

    Costs nothing per value. Offsets that lie on a GPU are looked at there, by the kernel, since nobody waits
    for it: `lexicell_kernels.check_rows` raises what it says.
    """
    for name, (what, kinds) in _HOLDS.items():
        array = getattr(block, name)
        if array.ndim != 1 or array.dtype.kind not in kinds:
            msg = f"{name} of a block holds {what} along one axis, not {array.dtype} {list(array.shape)}"
            raise InvalidBlockError(msg)
    nnz = len(block.data)
    if len(block.indices) != nnz:
        msg = f"a block has {nnz:,} values and {len(block.indices):,} columns for them; give one for each"
        raise InvalidBlockError(msg)
    if not len(block.indptr):
        msg = "indptr of a block is empty; it has one entry more than there are rows"
        raise InvalidBlockError(msg)
    if not isinstance(block.indptr, np.ndarray):
        return
    if not 0 <= block.indptr[0] <= block.indptr[-1] <= nnz or (block.indptr[1:] < block.indptr[:-1]).any():
        bad = (block.indptr < 0) | (block.indptr > nnz)
        bad[1:] |= block.indptr[1:] < block.indptr[:-1]
        raise InvalidBlockError(bad_offsets(max(0, int(bad.argmax()) - 1), nnz))


def bad_offsets(row: int, nnz: int) -> str:
    """Say that indptr does not say where `row` lies within `nnz` values."""
    return f"indptr does not ascend from 0 to at most the {nnz:,} values of the block: look at row {row}"


def check_options(k: int | None, table: GeneTable, block: CsrBlock) -> None:
    """Raise ValueError where block, table and k do not fit together, TypeError for other vectors."""
    check_block(block)
    if k is not None and k < 1:
        msg = f"k must be at least 1, got {k}"
        raise ValueError(msg)
    if block.n_columns != table.n_columns:
        msg = f"the block has {block.n_columns} columns and the gene table {table.n_columns}"
        raise ValueError(msg)
    if table.vectors.dtype not in _VECTORS:
        msg = f"vectors of a gene table are float16 or float32, not {table.vectors.dtype}"
        raise TypeError(msg)


def out_of_range(row: int, block: CsrBlock) -> str:
    """Say that `row` has a column that `block` has not."""
    return f"row {row} has a column outside [0, {block.n_columns})"


def empty_rows(n: int, p: int, vectors: Array | None = None) -> Rows:
    """Allocate NumPy output for `n` cells of `p` dimensions; ValueError where `vectors` can't be used."""
    if vectors is None:
        vectors = np.empty((n, p), np.float32)
    fits = vectors.shape == (n, p) and vectors.dtype in (np.float32, np.float16)
    if not fits or not vectors.flags.c_contiguous or not vectors.flags.writeable:
        msg = f"out must be float32 or float16 [{n}, {p}], C-contiguous and writeable"
        raise ValueError(msg)
    return Rows(vectors, np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.int32))
