"""What is learned from: cells of a data set, their labels, and the genes that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._say import listed
from lexicell.counts import CountSource
from lexicell.embedding.align import AlignOptions, align_cells
from lexicell.embedding.aligned import AlignedCells
from lexicell.embedding.events import Listener, Note
from lexicell.embedding.gene_statistics import gene_statistics, highly_variable_genes
from lexicell.embedding.inputs import open_data
from lexicell.embedding.labels import read_column
from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError
from lexicell.learn.batches import split_cells
from lexicell.learn.objectives import Objective

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "Data",
    "background_cells",
    "choose_genes",
    "read_batches",
    "select_background",
    "split_labelled",
    "tell_small_classes",
]

#: What cells are read from; see `lexicell.embed`.
Data: TypeAlias = Union[str, Path, Sequence[str | Path], "AnnData"]

#: What the generator of held-out cells is seeded with beside the user's seed.
_HELD = 11
#: Names of classes or values in a message.
_MOST_NAMED = 10


def tell_small_classes(labels: NDArray[np.object_], listener: Listener) -> None:
    """Say which classes have one cell only."""
    classes, counts = np.unique(labels[labels != ""], return_counts=True)
    if single := classes[counts < 2].tolist():
        text = f"classes of one cell, of which little can be learned: {listed(single, _MOST_NAMED)}"
        listener(Note(text, serious=True))


def read_batches(source: CountSource, name: str, chosen: Objective) -> NDArray[np.object_]:
    """Batch of each cell, ``[N]`` text.

    Raises
    ------
    InputError
        The objective does not look at batches, there is no such column, or a cell has none.
    """
    if "batches" not in chosen.options:
        message = f"{chosen.name} does not look at batches (--batch-key); supcon, infonce and semi do"
        raise InputError(message)
    batches = read_column(source, name)
    if missing := int((batches == "").sum()):
        message = f"{source.label}: {missing:,} cells have no {name}; give each a batch, or leave them out"
        raise InputError(message)
    return batches


def background_cells(source: CountSource, background: Any) -> NDArray[np.bool_] | None:
    """Which cells ``[N]`` are the background, for a column of ``obs`` and its value; None for anything else.

    Raises
    ------
    InputError
        There is no such column, or no cell has the value, or all have.
    """
    if not isinstance(background, tuple):
        return None
    name, value = background
    column = read_column(source, name)
    aside: NDArray[np.bool_] = column == str(value)
    if not aside.any() or aside.all():
        have = ", ".join(sorted(set(column) - {""})[:_MOST_NAMED])
        message = (
            f"{source.label}: {'all' if aside.any() else 'no'} cells have {name} {value!r}, so there is "
            f"nothing to compare; it has {have}"
        )
        raise InputError(message)
    return aside


def choose_genes(
    cells: AlignedCells, n_top_genes: int | None, listener: Listener
) -> tuple[AlignedCells, NDArray[np.bool_] | None]:
    """The same cells with the highly variable genes only, and the genes ``[G]`` that are left out for it.

    Those are genes that the data set has. What it never had was not found wanting: it keeps its text, unless
    the user listed the genes.
    """
    rows = cells.genes.rows
    chosen = cells
    if n_top_genes is not None and n_top_genes < len(rows):
        statistics = gene_statistics(cells, listener=listener)
        chosen = cells.restrict(highly_variable_genes(statistics, n_top_genes))
        n_chosen = len(chosen.genes.rows)
        listener(Note(f"learning from the {n_chosen:,} most variable of {len(rows):,} described genes"))
    masked = np.full(cells.lexicon.n_genes, bool(cells.listed))
    masked[cells.alignment.rows[cells.alignment.rows >= 0]] = True
    masked[chosen.genes.rows] = False
    return chosen, masked if masked.any() else None


def select_background(
    background: Data,
    cells: AlignedCells,
    options: AlignOptions,
    top_k: int | None,
    listener: Listener,
    *,
    follow_links: bool,
) -> SelectedCells:
    """Select genes of another data set among the candidates of the first."""
    with open_data(background, follow_links=follow_links) as source:
        aligned = align_cells(source, replace(options, lexicon=cells.lexicon), listener)
        return aligned.restrict(cells.genes.rows).select(top_k, listener=listener)


def split_labelled(
    cells: SelectedCells,
    labels: NDArray[np.object_] | None,
    chosen: Objective,
    aside: NDArray[np.bool_] | None,
    share: float,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the cells to learn from, and of those to judge by.

    Parameters
    ----------
    cells
        ``N`` cells.
    labels
        ``[N]``, "" for none; None without labels.
    chosen
        Whether cells without a label are learned from.
    aside
        ``[N]`` cells for neither.
    share
        Of each class, to judge by.
    seed
        Draws them.
    """
    usable = np.ones(len(cells), bool) if aside is None else ~aside
    if labels is None:
        return np.flatnonzero(usable), np.empty(0, np.int64)
    labelled = np.flatnonzero(usable & (labels != "") & (cells.sizes > 0))
    codes = pd.factorize(labels)[0].astype(np.int64)
    _, validation = split_cells(codes, labelled, share, np.random.default_rng([seed, _HELD]))
    if not chosen.keeps_unlabelled:
        usable &= labels != ""
    usable[validation] = False
    return np.flatnonzero(usable), validation
