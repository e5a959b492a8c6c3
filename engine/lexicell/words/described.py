"""All cells of a data set scored and named by sentences, with the genes that speak for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.errors import InputError
from lexicell.words.cells import group_cells
from lexicell.words.descriptions import Description
from lexicell.words.known import Known
from lexicell.words.naming import ABSENT, called_up, name_groups, of_cells
from lexicell.words.panel import gene_table, on_panel
from lexicell.words.scoring import Scorer

__all__ = ["Described", "name_cells"]

#: Cosine of two sentences' genes from which they say the same.
_ALIKE = 0.95


@dataclass(frozen=True)
class Described:
    """Cells scored by sentences.

    Attributes
    ----------
    probability
        ``[N, S]`` float32 of each sentence for each cell, 0 for a cell without genes and for a type that is
        not there.
    scores
        ``[N, S]`` float32, standardised by the cells that groups were made of.
    types
        One row a sentence, index = name: ``sentence``, ``measured`` (of the 200 genes of the lexicon that it
        is most like), ``cells``, ``share``, ``evidence``, ``p_value``, ``present``.
    genes
        ``type``, ``gene``, ``likeness`` (standard deviations above the lexicon's mean), ``weight`` and
        ``added``: by how much the gene raises the mean score of the type's cells above that of all cells,
        exactly, before it is standardised; of a search, the score of the group of cells that has the highest
        one above that of the mean group. Largest first.
    n_genes
        ``[N]`` described genes of each cell that could speak.
    n_fitted
        Cells that groups were made of.
    """

    probability: NDArray[np.float32]
    scores: NDArray[np.float32]
    types: pd.DataFrame
    genes: pd.DataFrame
    n_genes: NDArray[np.int64]
    n_fitted: int


def name_cells(
    cells: AlignedCells,
    descriptions: Sequence[Description],
    *,
    known: Known | None = None,
    seed: int,
    listener: Listener,
) -> Described:
    """Let sentences compete for all cells of a data set; see `lexicell.words.naming.name_groups`.

    Parameters
    ----------
    cells
        ``N`` cells, read twice.
    descriptions
        ``S`` types; two or more.
    known
        What else is known of the cells. Cells whose type is told keep it.
    seed
        Of groupings and of the test of presence.
    listener
        Is told the progress, and of sentences that are alike or that few measured genes speak for.

    Raises
    ------
    InputError
        A sentence calls up hardly any gene that is measured, there are fewer than two, or a type is known
        that none describes.
    """
    names = [kind.name for kind in descriptions]
    if known is not None:
        known.check(names)
    if len(descriptions) < 2:
        msg = "one sentence can't compete for cells; describe two types or more, or use `lexicell search`"
        raise InputError(msg)
    likeness, null, types = on_panel(cells, descriptions, listener)
    _tell_alike(descriptions, likeness, listener)
    told = np.zeros(0, np.intp) if known is None else known.cells
    groups = group_cells(cells, always=told, seed=seed, listener=listener)
    prior = None if known is None else known.prior(groups, names)
    type_of, there = np.full(cells.source.n_cells, -1), np.zeros(len(names), bool)
    if known is not None:
        type_of[told], there = known.of_cells(names), known.there(names)
    naming = name_groups(groups, likeness, null, prior=prior, there=there, seed=seed)
    present = (naming.evidence >= ABSENT) | there
    if absent := [name for name, there in zip(names, present, strict=True) if not there]:
        text = f"{len(absent)} described types are not found here: {', '.join(absent)}"
        listener(Note(text, serious=True))
    for name in np.array(names, object)[present & naming.held_back]:
        listener(Note(f"little speaks for {name!r}: it is held back; look at its genes", serious=True))
    if present.sum() == 1:
        text = (
            f"only {names[int(present.argmax())]!r} is found here, so nothing competes with it for the cells"
        )
        listener(Note(text, serious=True))
    probability = np.zeros((cells.source.n_cells, len(descriptions)), np.float32)

    def place(start: int, nearest: list[NDArray[np.intp]], full: NDArray[np.bool_]) -> NDArray[np.intp]:
        found = of_cells(naming.probability, nearest, present, full)
        here = type_of[start : start + len(found)]
        found[here >= 0] = np.eye(len(names))[here[here >= 0]]
        probability[start : start + len(found)] = found
        return np.where(found.any(axis=1), found.argmax(axis=1), -1)

    scorer = Scorer.of(groups, naming.weights)
    used = np.flatnonzero(naming.weights.any(axis=0))
    n, s = len(probability), len(names)
    scores, n_genes = np.zeros((n, s), np.float32), np.zeros(n, np.int64)
    sums, total, sizes = np.zeros((s, len(used))), np.zeros(len(used)), np.zeros(s, np.int64)
    for start, logged, nearest, genes in groups.place(used, listener):
        stop = start + logged.shape[0]
        scores[start:stop] = logged @ scorer.linear - scorer.offset
        n_genes[start:stop] = genes
        total += np.asarray(logged.sum(axis=0, dtype=np.float64)).ravel()
        chosen = place(start, nearest, genes > 0)
        for k in np.unique(chosen[chosen >= 0]):
            mine = chosen == k
            sums[k] += np.asarray(logged[mine].sum(axis=0, dtype=np.float64)).ravel()
            sizes[k] += mine.sum()
    added = np.zeros(naming.weights.shape)
    above = sums / np.maximum(sizes, 1)[:, None] - total / max(n, 1)
    added[:, used] = naming.weights[:, used] / groups.spread[used] * above
    table = gene_table(cells.lexicon, cells.genes.rows, types.index, likeness, naming.weights, added)
    types["cells"] = sizes
    types["share"] = sizes / max(n, 1)
    types["evidence"], types["p_value"], types["present"] = naming.evidence, naming.p_value, present
    return Described(probability, scores, types, table, n_genes, len(groups.fitted))


def _tell_alike(
    descriptions: Sequence[Description], likeness: NDArray[np.float32], listener: Listener
) -> None:
    called = called_up(likeness)
    called /= np.maximum(np.linalg.norm(called, axis=1, keepdims=True), 1e-12)
    for i, j in np.argwhere(np.triu(called @ called.T, 1) > _ALIKE).tolist():
        names = f"{descriptions[i].name!r} and {descriptions[j].name!r}"
        listener(Note(f"{names} call up the same genes: nothing tells them apart", serious=True))
