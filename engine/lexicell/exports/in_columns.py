"""Counts of cells as lists, in the order of columns: the stream of AnnData and of scBank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.arrays import check_counts
from lexicell.embedding import Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.exports.cell_lists import cell_lists
from lexicell.exports.vectors import VectorEncoder
from lexicell_kernels import CsrBlock

__all__ = ["ColumnEncoder", "Rounded", "counts_in_columns", "every_column", "inexact", "told_rounded"]

#: From here on float32 does not tell all whole numbers apart.
_EXACT = 2**24


@dataclass(frozen=True)
class ColumnEncoder:
    """Makes ``genes`` and ``values`` of each cell; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    place
        ``[v]`` int32, which column of the output each column becomes, -1 for none; several may be one.
    n_columns
        ``m``, columns of the output.
    vectors
        Makes vectors beside; None for none.
    """

    place: NDArray[np.int32]
    n_columns: int
    vectors: VectorEncoder | None = None

    @property
    def genes(self) -> CandidateGenes:
        """See `Encoder`: all columns, as they are."""
        return every_column(len(self.place))

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return ()

    def encode(
        self, counts: CsrBlock, start: int, obs: pd.DataFrame
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        x = counts_in_columns(counts, self.place, self.n_columns)
        rows = np.repeat(np.arange(counts.n_rows), np.diff(counts.indptr))
        made = {
            "row": pa.array(np.arange(start, start + counts.n_rows, dtype=np.int64)),
            "genes": cell_lists(x.indices.astype(np.int32), x.indptr),
            "values": cell_lists(x.data.astype(np.float32), x.indptr),
            "n_genes": pa.array(np.diff(x.indptr).astype(np.int32)),
            "n_total": pa.array(np.bincount(rows, counts.data, counts.n_rows)),
            "n_inexact": pa.array(inexact(x)),
        }
        if self.vectors is not None:
            used = self.vectors.genes
            made |= self.vectors.encode(used.summed(counts), start, obs)[0]
        return made, None


def every_column(n: int) -> CandidateGenes:
    """All of `n` columns, each for itself, so that blocks stay as they are."""
    each = np.arange(n, dtype=np.int32)
    return CandidateGenes(each, each, None)


def counts_in_columns(counts: CsrBlock, place: NDArray[np.int32], m: int) -> sp.csr_matrix:
    """Counts of ``n`` cells above 0 as ``[n, m]``, ascending in each row; columns of one place are summed.

    Raises
    ------
    InvalidCountsError
        A count is negative, NaN or infinite.
    """
    check_counts(counts)
    at = place[counts.indices]
    kept = (at >= 0) & (counts.data > 0)
    ends = np.concatenate([[0], np.cumsum(kept)])[counts.indptr]
    x = sp.csr_matrix((counts.data[kept].astype(np.float64), at[kept], ends), shape=(counts.n_rows, m))
    x.sum_duplicates()
    return x


def inexact(x: sp.csr_matrix) -> NDArray[np.int32]:
    """How many counts of each cell are not the same in 32 bits."""
    large = x.data > _EXACT
    if not large.any():
        return np.zeros(x.shape[0], np.int32)
    rounded: Any = large & (x.data.astype(np.float32) != x.data)
    return np.diff(np.concatenate([[0], np.cumsum(rounded)])[x.indptr]).astype(np.int32)


class Rounded:
    """Tables without ``n_inexact``, whose sum is told when they have been read."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables, self._n = tables, 0

    def __iter__(self) -> Iterator[pa.Table]:
        for table in self._tables:
            self._n += int(np.sum(table.column("n_inexact").to_numpy()))
            yield table.drop_columns(["n_inexact"])

    def told(self, listener: Listener) -> dict[str, int]:
        """Tell how many counts were rounded, for the run card too."""
        return told_rounded(self._n, listener)


def told_rounded(n: int, listener: Listener) -> dict[str, int]:
    """Tell that counts were rounded, if any were; what goes to the run card."""
    if not n:
        return {}
    listener(Note(f"{n:,} counts are above 2^24 and were rounded to 32 bits", serious=True))
    return {"counts_rounded_to_32_bits": n}
