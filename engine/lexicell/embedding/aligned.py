"""AlignedCells: a data set that is understood - its values, its genes, and how much of it is described."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.arrays import move
from lexicell.counts import CountSource, Values, check_values, decode_values, gather_rows, naming_bad_counts
from lexicell.embedding.blocks import read_blocks
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.events import Advanced, Listener, ignore
from lexicell.embedding.selected import SelectedCells, Selection, select_block
from lexicell.lexicon import Alignment, Lexicon
from lexicell_kernels import CsrBlock, Order, Weight

__all__ = ["AlignedCells"]

#: Cells of which machines compare what they become.
_PROBED = 64


@dataclass(frozen=True)
class AlignedCells:
    """Counts whose values and genes are understood; nothing is embedded or folded.

    Attributes
    ----------
    source
        The opened counts, ``N`` cells.
    lexicon, alignment
        Which of its genes the columns are.
    values
        What the numbers are.
    genes
        The candidates: the described genes that may be selected.
    sample
        Up to 1,800 cells as they are stored.
    coverage
        Share of the sample's counts that lies in candidates.
    mask
        What leaves genes out: flags of texts, "projection".
    listed
        Hash of the list of genes that the user gave; empty for none.
    names
        Hash of names of cells and genes.
    """

    source: CountSource
    lexicon: Lexicon
    alignment: Alignment
    values: Values
    genes: CandidateGenes
    sample: CsrBlock
    coverage: float
    mask: tuple[str, ...] = ()
    listed: str = ""
    names: str = ""

    @property
    def n_masked(self) -> int:
        """Genes of the data set that are described, and left out."""
        return self.alignment.n_genes - len(self.genes.rows)

    def provenance(self) -> dict[str, Any]:
        """What was read and how it was understood, as plain JSON."""
        alignment = self.alignment
        return {
            "values": str(self.values),
            "lexicon": {"name": self.lexicon.name, "identity": self.lexicon.identity},
            "input": {"cells": self.source.n_cells, "names": self.names},
            "genes": {
                "column": alignment.column,
                "organism": alignment.organism,
                "matched_columns": alignment.n_matched,
                "genes": alignment.n_genes,
                "columns": len(alignment.names),
                "mask": ",".join(self.mask) or "none",
                "masked": self.n_masked,
                **({"list": self.listed} if self.listed else {}),
            },
        }

    @property
    def probe(self) -> CsrBlock:
        """A few cells, as they are stored."""
        return gather_rows(self.sample, np.arange(min(_PROBED, self.sample.n_rows)))

    def restrict(self, rows: NDArray[np.integer[Any]]) -> AlignedCells:
        """Keep some lexicon rows only as candidates; nothing is opened or aligned again."""
        masked = np.ones(self.lexicon.n_genes, bool)
        masked[rows] = False
        genes = self.genes.without(masked)
        return replace(self, genes=genes, coverage=genes.share(decode_values(self.sample, self.values)))

    def blocks(
        self,
        max_nnz: int | None = None,
        *,
        summed: bool = True,
        listener: Listener = ignore,
    ) -> Iterator[tuple[int, CsrBlock]]:
        """Read the counts of all cells in order, the next block while the caller works on this one.

        Parameters
        ----------
        max_nnz
            Stored values of one block; None for what suits the source.
        summed
            Whether columns that are one gene are summed in one of them.
        listener
            Is told the progress, in cells, when the caller is done with a block.

        Yields
        ------
        tuple
            Number of the first row, and a block of counts on the host.

        Raises
        ------
        CountsError
            A count is negative, NaN or infinite; the message names cell and gene.
        """
        for start, stored in self._stored(max_nnz, listener):
            check_values(self.source, stored, start, self.values)
            counts = self.genes.counts if summed else decode_values
            yield start, counts(stored, self.values)

    def _stored(self, max_nnz: int | None, listener: Listener) -> Iterator[tuple[int, CsrBlock]]:
        """Blocks on the host as they are stored, and the progress when the caller is done with each."""
        decoded = 0
        for start, block in read_blocks(self.source, max_nnz):
            yield start, move(block, "cpu")
            decoded += int(block.data.nbytes + block.indices.nbytes)
            listener(Advanced(start + block.n_rows, self.source.n_cells, decoded))

    def selections(
        self,
        k: int | None,
        *,
        weight: Weight = Weight.LOG1P,
        order: Order = Order.LEXICON,
        rank_factor: NDArray[np.float32] | None = None,
        only: NDArray[np.integer[Any]] | None = None,
        listener: Listener = ignore,
    ) -> Iterator[Selection]:
        """Select the genes of cells, block by block.

        Parameters
        ----------
        k
            Genes of a cell; None for all candidates.
        weight, order
            See `Selection`.
        rank_factor
            ``[G]`` float32 rank factors, None for 1.
        only
            Numbers of some cells, ascending; a `Selection` then starts at its place among them. None for all.
        listener
            Is told the progress, in cells.

        Raises
        ------
        CountsError
            A count is negative, NaN or infinite; the message names cell and gene.
        """
        source, genes = self.source, self.genes
        of_genes = None if rank_factor is None else rank_factor[genes.rows].astype(np.float32)
        for first, block in self._stored(None, listener):
            start, stored = first, block
            if only is not None:
                check_values(source, block, first, self.values)
                start, stop = (int(at) for at in np.searchsorted(only, [first, first + block.n_rows]))
                stored = gather_rows(block, only[start:stop] - first)
            # The kernel looks at the values itself.
            with naming_bad_counts(stored, start, self.values, source.label, source.names, source.var.index):
                selection = select_block(
                    genes.counts(stored, self.values),
                    genes,
                    k,
                    start=start,
                    weight=weight,
                    order=order,
                    rank_factor=of_genes,
                )
            yield selection

    def select(
        self,
        k: int | None,
        *,
        weight: Weight = Weight.LOG1P,
        rank_factor: NDArray[np.float32] | None = None,
        only: NDArray[np.integer[Any]] | None = None,
        listener: Listener = ignore,
    ) -> SelectedCells:
        """Select the genes of cells and keep them; see `selections`."""
        return SelectedCells.of(
            self.selections(k, weight=weight, rank_factor=rank_factor, only=only, listener=listener),
            self.lexicon.n_genes,
            lexicon=self.lexicon.identity,
            top_k=k,
            weight=weight,
            rank_factor=rank_factor,
        )
