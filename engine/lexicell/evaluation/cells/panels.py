"""Panels: labelled cells and the described genes that were measured in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import AlignOptions, Listener, align_cells
from lexicell.embedding.events import ignore
from lexicell.embedding.inputs import open_data
from lexicell.embedding.labels import read_column, read_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

    from lexicell.learn.likeness import Likeness
    from lexicell.lexicon import GeneAtlas

__all__ = ["Panel", "Task", "panel_of"]


@dataclass(frozen=True)
class Panel:
    """Cells, and the genes that were measured in them.

    Attributes
    ----------
    counts
        ``[n, m]`` float32; columns are described genes, those that are one gene summed.
    rows
        ``[m]`` int32 lexicon rows of the columns, ascending.
    totals
        ``[n]`` float32 sums over all genes that were measured, described or not.
    labels, batch
        ``[n]`` str, or None.
    expression
        ``[n, v]`` float32 counts of all columns, for controls that read no text; None for `counts`.
    names
        ``[n]`` str names of the cells, by which vectors from elsewhere are theirs; or None.
    organism
        Whose genes the data set names; "" where nobody has said.
    """

    counts: sp.csr_array
    rows: NDArray[np.int32]
    totals: NDArray[np.float32]
    labels: NDArray[np.str_] | None = None
    batch: NDArray[np.str_] | None = None
    expression: sp.csr_array | None = None
    names: NDArray[np.object_] | None = None
    organism: str = ""

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.counts.shape[0])

    @property
    def all_counts(self) -> sp.csr_array:
        """``[n, v]`` counts of everything that was measured, or ``[n, m]`` where that is all."""
        return self.counts if self.expression is None else self.expression

    def classes(self) -> dict[str, int]:
        """Number of cells of each label, in sorted order."""
        return dict(sorted(Counter([] if self.labels is None else self.labels.tolist()).items()))

    def take(self, cells: NDArray[np.integer[Any]]) -> Panel:
        """Some of the cells, in the order given."""
        return Panel(
            self.counts[cells],
            self.rows,
            self.totals[cells],
            None if self.labels is None else self.labels[cells],
            None if self.batch is None else self.batch[cells],
            None if self.expression is None else self.expression[cells],
            None if self.names is None else self.names[cells],
            self.organism,
        )

    def restrict(self, genes: NDArray[np.integer[Any]]) -> Panel:
        """What a panel of these lexicon rows would have measured: nothing else counts, also not in totals."""
        columns = np.flatnonzero(np.isin(self.rows, genes))
        counts = self.counts[:, columns]
        totals = np.asarray(counts.sum(axis=1, dtype=np.float64), np.float32)
        return replace(self, counts=counts, rows=self.rows[columns], totals=totals, expression=None)

    def without_genes(self, genes: NDArray[np.integer[Any]]) -> Panel:
        """The panel without some lexicon rows, whose counts still count in totals."""
        kept = np.flatnonzero(~np.isin(self.rows, genes))
        return replace(self, counts=self.counts[:, kept], rows=self.rows[kept], expression=None)

    def without_labels(self) -> Panel:
        """The same cells, of unknown type."""
        return replace(self, labels=None)

    @property
    def identity(self) -> str:
        """Hash (hex) of counts, genes and labels."""
        digest = blake3.blake3()
        counts = self.all_counts
        for part in (counts.data, counts.indices.astype(np.int64), counts.indptr.astype(np.int64), self.rows):
            digest.update(np.ascontiguousarray(part).tobytes())
        if self.labels is not None:
            digest.update("\n".join(self.labels.tolist()).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Task:
    """What a method is given: it returns a vector for each cell of reference and query.

    Attributes
    ----------
    vectors
        ``[G, d]`` float32 vectors of all genes of the lexicon, or a control's in their place.
    reference
        Cells whose labels may be used.
    query
        Cells to be classified; without labels.
    unlabelled
        Cells that a transductive method may also learn from: the query's. None where there are none.
    seed
        Of whatever a method draws.
    gene_scale
        ``[G]`` float32 lengths of the vectors; see `lexicell.lexicon.gene_scales`. A control has them too.
    refined
        Gives the ``[G, p]`` float32 rows that the recipe "lexicell" folds of the lexicon. None for a control,
        whose vectors are refined as a lexicon's are.
    atlas
        What cells of other data sets have told of genes, and texts foretold.
    through
        Gives the expression of genes in some cells of the query that have measured those of both sides; None
        where there are no such cells.
    """

    vectors: NDArray[np.float32]
    reference: Panel
    query: Panel
    unlabelled: Panel | None
    seed: int
    gene_scale: NDArray[np.float32] | None = None
    refined: Callable[[], NDArray[np.float32]] | None = None
    atlas: GeneAtlas | None = None
    through: Callable[[int], Likeness | None] | None = None


def panel_of(
    data: str | Path | AnnData | Sequence[str | Path],
    options: AlignOptions,
    *,
    label: str | None,
    batch_key: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    listener: Listener = ignore,
) -> Panel:
    """Read all cells of a data set, or all labelled ones, and align its genes.

    Parameters
    ----------
    data
        See `lexicell.embed`; read into memory whole.
    options
        Lexicon and how counts and gene names are understood.
    label, batch_key
        Columns of ``obs``. Cells without a label are left out and counted; none are where `label` is None.
    layer, use_raw, modality, follow_links
        See `lexicell.embed`.
    listener
        Called with notes on how the input was understood.

    Returns
    -------
    Panel
        With names, labels and all columns of the data set.

    Raises
    ------
    InputError
        There is no such column, or fewer than two classes.
    CountsError, CoverageError
        As `lexicell.embedding.align_cells`, or a count is negative or not finite.
    """
    with open_data(data, layer, modality, use_raw=use_raw, follow_links=follow_links) as source:
        labels = None if label is None else read_labels(source, label, listener)
        batches = None if batch_key is None else read_column(source, batch_key)
        labelled = np.arange(source.n_cells) if labels is None else np.flatnonzero(labels != "")
        cells = align_cells(source, options, listener)
        v = source.n_columns
        names = np.asarray(source.names(0, source.n_cells).astype(str), object)
        parts = [
            sp.csr_array((b.data.astype(np.float32), b.indices, b.indptr), shape=(b.n_rows, v))
            for _, b in cells.blocks(summed=False)
        ]
    expression = sp.csr_array(sp.vstack(parts, format="csr"))
    expression.sum_duplicates()
    expression = expression[labelled]
    genes = cells.genes
    described = np.flatnonzero(genes.rank >= 0)
    ones = np.ones(len(described), np.float32)
    chosen = sp.csr_array((ones, (described, genes.rank[described])), shape=(v, len(genes.rows)))
    counts = sp.csr_array(expression @ chosen)
    counts.sort_indices()
    return Panel(
        counts,
        genes.rows,
        np.asarray(expression.sum(axis=1, dtype=np.float64), np.float32),
        None if labels is None else labels[labelled].astype(np.str_),
        None if batches is None else batches[labelled].astype(np.str_),
        expression,
        names[labelled],
        cells.alignment.organism,
    )
