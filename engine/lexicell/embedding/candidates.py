"""CandidateGenes: which columns of a data set are described genes that may be selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.arrays import namespace, rows_of
from lexicell.counts import Values, decode_values
from lexicell_kernels import CsrBlock

__all__ = ["CandidateGenes"]


@dataclass(frozen=True)
class CandidateGenes:
    """The described genes of a data set that may be selected, and how its blocks are brought to them.

    Attributes
    ----------
    rank
        ``[v]`` int32, the place in `rows` of each column's gene; -1 where a column is no candidate.
    rows
        ``[m]`` int32 lexicon rows of the candidates, ascending.
    shared
        ``[v]`` bool, columns whose gene another column is too; None where no gene has two.
    """

    rank: NDArray[np.int32]
    rows: NDArray[np.int32]
    shared: NDArray[np.bool_] | None

    @classmethod
    def of(cls, lexicon_rows: NDArray[np.int32], masked: NDArray[np.bool_] | None = None) -> CandidateGenes:
        """Make candidates of what each column is.

        Parameters
        ----------
        lexicon_rows
            ``[v]`` int32, the lexicon row of each column, -1 for none; see `lexicell.lexicon.Alignment`.
        masked
            ``[G]``, genes that are never candidates.
        """
        described = lexicon_rows >= 0
        if masked is not None:
            described = described & ~masked[np.maximum(lexicon_rows, 0)]
        rows = np.unique(lexicon_rows[described])
        rank = np.full(len(lexicon_rows), -1, np.int32)
        rank[described] = np.searchsorted(rows, lexicon_rows[described])
        shared = None
        if described.sum() > len(rows):
            shared = described & (np.bincount(rank[described])[rank] > 1)
        return cls(rank, rows, shared)

    def without(self, masked: NDArray[np.bool_]) -> CandidateGenes:
        """Leave out the genes of a mask ``[G]``."""
        return CandidateGenes.of(np.append(self.rows, np.int32(-1))[self.rank], masked)

    def share(self, block: CsrBlock) -> float:
        """Share of the counts of a block, 0 to 1, that lies in candidates; what is no count is left out."""
        x = np.nan_to_num(block.data.astype(np.float64), posinf=0.0).clip(min=0)
        total = float(x.sum())
        return float(x[self.rank[block.indices] >= 0].sum()) / total if total else 0.0

    def counts(self, block: CsrBlock, values: Values) -> CsrBlock:
        """Make counts of stored values, and sum those of columns that are one gene, where the block lies."""
        return self.summed(decode_values(block, values))

    def summed(self, block: CsrBlock) -> CsrBlock:
        """Give one of a cell's counts of a gene the sum; the others become 0.

        So the order of columns stays, on a GPU as on the host. Where no gene has two columns, as usual, this
        is the block itself.
        """
        if self.shared is None:
            return block
        xp = namespace(block.data)
        if xp is np:
            from lexicell.embedding._marked import marked

            at: Any = marked(block.indices, self.shared)
        else:
            at = xp.flatnonzero(xp.asarray(self.shared)[block.indices])
        values = block.data[at]
        if not bool((values >= 0).all()):
            return block  # the kernel names a negative value or NaN, which a sum would hide
        rank = xp.asarray(self.rank)
        genes = rows_of(block.indptr, at) * len(self.rows) + rank[block.indices[at]]
        _, first, owner = xp.unique(genes, return_index=True, return_inverse=True)
        # Both libraries sum in float64, so the order of columns does not show.
        sums = xp.bincount(owner, weights=values)
        whole = xp is np and block.data.dtype.kind == "u"
        small = whole and sums.max(initial=0) <= np.iinfo(block.data.dtype).max
        data = block.data.copy() if small else block.data.astype(np.float32)
        data[at] = 0
        data[at[first]] = sums
        return replace(block, data=data)
