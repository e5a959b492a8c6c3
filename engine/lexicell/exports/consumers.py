"""What each model that reads an AnnData of counts will leave out or cut, counted while it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

__all__ = ["Tally"]

#: Genes that scGPT, Geneformer v1, TranscriptFormer and Geneformer v2 take of a cell.
_SCGPT, _V1, _TRANSCRIPTFORMER, _V2 = 1_199, 2_048, 2_047, 4_094
#: Genes with fewer cells and cells with fewer genes are no part of UCE's output.
_UCE_CELLS, _UCE_GENES = 10, 25
#: Genes that SCimilarity must know.
_SCIMILARITY = 5_000


class Tally:
    """Counts cells that are too long, too short or empty for a consumer.

    Parameters
    ----------
    genes
        ``[m]`` genes, with the column ``has_id``: whether they have an Ensembl id.
    """

    def __init__(self, genes: pd.DataFrame) -> None:
        self._has_id = genes["has_id"].to_numpy(bool)
        self._cells_of_gene = np.zeros(len(genes), np.int64)
        self._longer = dict.fromkeys((_SCGPT, _V1, _TRANSCRIPTFORMER, _V2), 0)
        self.n_cells = self.n_empty = self.n_inexact = self._short = self._without_id = 0

    def watching(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Pass tables on, and count."""
        for table in tables:
            lists = table.column("genes").combine_chunks()
            genes, offsets = lists.values.to_numpy(), np.asarray(lists.offsets)
            self._cells_of_gene += np.bincount(genes, minlength=len(self._cells_of_gene))
            n_genes = np.diff(offsets)
            with_id = np.diff(np.concatenate([[0], np.cumsum(self._has_id[genes])])[offsets])
            self.n_cells += len(n_genes)
            self.n_empty += int((n_genes == 0).sum())
            self.n_inexact += int(np.sum(table.column("n_inexact").to_numpy()))
            self._short += int((n_genes < _UCE_GENES).sum())
            self._without_id += int((with_id == 0).sum())
            for most in self._longer:
                of = n_genes if most == _SCGPT else with_id
                self._longer[most] += int((of > most).sum())
            yield table

    def sentences(self) -> dict[str, str]:
        """What becomes of the cells, by the names of consumers."""
        m, n, longer = len(self._has_id), self.n_cells, self._longer
        rare = int((self._cells_of_gene < _UCE_CELLS).sum())
        gib = n * m * 4 / 2**30
        few = "" if m >= _SCIMILARITY else f"; it asks for {_SCIMILARITY:,} of its genes, here are {m:,}"
        return {
            "TranscriptFormer": f"up to {longer[_TRANSCRIPTFORMER]:,} cells have more genes than the "
            f"{_TRANSCRIPTFORMER:,} that it takes, and lose the last columns",
            "UCE": f"leaves out {rare:,} genes in fewer than {_UCE_CELLS} cells and {self._short:,} cells "
            f"with fewer than {_UCE_GENES} genes, and draws 1,024 genes of each: join by names of cells",
            "SCimilarity": f"normalises over its own genes only{few}",
            "STATE": "takes all cells",
            "scPRINT": f"takes the 2,000 most expressed genes, and all of {self.n_empty:,} empty cells",
            "scGPT": f"{longer[_SCGPT]:,} cells have more than {_SCGPT:,} genes, of which it draws some",
            "Geneformer v1": f"{longer[_V1]:,} cells may have more than {_V1:,} genes with a token; "
            "the others are cut",
            "Geneformer v2": f"drops {self._without_id:,} cells without a gene that it may know; "
            f"{longer[_V2]:,} may have more than {_V2:,}",
            "CFGen": f"makes the matrix dense, {gib:,.2f} GiB; empty cells ({self.n_empty:,}) break it",
        }
