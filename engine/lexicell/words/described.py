"""All cells of a data set scored and named by sentences, with the genes that speak for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon
from lexicell.words.cells import CellGroups, group_cells
from lexicell.words.descriptions import Description, shipped_types
from lexicell.words.encoding import encode_sentences
from lexicell.words.known import Known
from lexicell.words.naming import ABSENT, CALLED, called_up, name_groups, of_cells, weigh_alone
from lexicell.words.retrieval import call_up

__all__ = ["Described", "likeness_of", "name_cells", "score_cells"]

#: Sentences at once; each takes the likeness of all genes in memory.
_MOST_SENTENCES = 1_000
#: Genes of the 200 most alike of a lexicon that a panel must measure for a sentence to be used, and below
#: which it is told.
_LEAST_MEASURED, _FEW_MEASURED = 3, 10
#: Cosine of two sentences' genes from which they say the same.
_ALIKE = 0.95


@dataclass(frozen=True)
class Described:
    """Cells scored by sentences.

    Attributes
    ----------
    probability
        ``[N, S]`` float32 of each sentence for each cell, 0 for a cell without genes and for a type that is
        not there; ``[N, 0]`` of a search.
    scores
        ``[N, S]`` float32, standardised over the cells.
    types
        One row a sentence, index = name: ``sentence``, ``measured`` (of the 200 genes of the lexicon that it
        is most like), ``cells``, ``share``, ``evidence``, ``p_value``, ``present``; of a search without the
        last five.
    genes
        ``type``, ``gene``, ``likeness`` (standard deviations above the lexicon's mean), ``weight`` and
        ``added``: by how much the gene raises the mean score of the type's cells above that of all cells,
        exactly; of a search, the score of the group of cells that has the highest one above that of the mean
        group. Largest first.
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


def likeness_of(
    descriptions: Sequence[Description], lexicon: Lexicon, listener: Listener
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Likeness of given sentences, and of those that are shipped, to all genes, ``[S, G]`` and ``[B, G]``.

    Raises
    ------
    InputError
        There are more than 1,000 sentences, or one calls up no gene.
    """
    if len(descriptions) > _MOST_SENTENCES:
        msg = f"{len(descriptions):,} sentences are too many to tell apart; give at most {_MOST_SENTENCES:,}"
        raise InputError(msg)
    null = shipped_types()
    sentences = [kind.sentence for kind in (*descriptions, *null)]
    found = call_up(sentences, encode_sentences(sentences, lexicon, listener), lexicon)
    return found[: len(descriptions)], found[len(descriptions) :]


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
    likeness, null, measured = _on_panel(cells, descriptions, listener)
    _tell_alike(descriptions, likeness, listener)
    told = np.zeros(0, np.intp) if known is None else known.cells
    groups = group_cells(cells, always=told, seed=seed, listener=listener)
    prior = None if known is None else known.prior(groups, names)
    type_of = np.full(cells.source.n_cells, -1)
    if known is not None:
        type_of[told] = known.of_cells(names)
    there = np.isin(np.arange(len(names)), type_of)
    naming = name_groups(groups, likeness, null, prior=prior, there=there, seed=seed)
    present = (naming.evidence >= ABSENT) | there
    if absent := [name for name, there in zip(names, present, strict=True) if not there]:
        text = f"{len(absent)} described types are not found here: {', '.join(absent)}"
        listener(Note(text, serious=True))
    probability = np.zeros((cells.source.n_cells, len(descriptions)), np.float32)

    def place(start: int, nearest: list[NDArray[np.intp]], full: NDArray[np.bool_]) -> NDArray[np.intp]:
        found = of_cells(naming.probability, nearest, present, full)
        here = type_of[start : start + len(found)]
        found[here >= 0] = np.eye(len(names))[here[here >= 0]]
        probability[start : start + len(found)] = found
        return np.where(found.any(axis=1), found.argmax(axis=1), -1)

    scores, n_genes, genes, sizes = _score(groups, naming.weights, likeness, place, listener)
    types = _types(descriptions, measured)
    types["cells"] = sizes
    types["share"] = sizes / max(len(n_genes), 1)
    types["evidence"], types["p_value"], types["present"] = naming.evidence, naming.p_value, present
    return Described(probability, scores, types, _named(genes, types.index), n_genes, len(groups.fitted))


def score_cells(
    cells: AlignedCells, descriptions: Sequence[Description], *, seed: int, listener: Listener
) -> Described:
    """Score all cells by sentences, each for itself; see `lexicell.words.naming.weigh_alone`."""
    likeness, null, measured = _on_panel(cells, descriptions, listener)
    groups = group_cells(cells, seed=seed, listener=listener)
    weights = weigh_alone(groups, likeness, null)
    scores, n_genes, genes, _ = _score(groups, weights, likeness, None, listener)
    types = _types(descriptions, measured)
    nothing = np.zeros((len(scores), 0), np.float32)
    return Described(nothing, scores, types, _named(genes, types.index), n_genes, len(groups.fitted))


def _on_panel(
    cells: AlignedCells, descriptions: Sequence[Description], listener: Listener
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Likenesses to the candidates, and how many of each sentence's genes are among them."""
    likeness, null = likeness_of(descriptions, cells.lexicon, listener)
    rows = cells.genes.rows
    measured = (called_up(likeness)[:, rows] > 0).sum(axis=1)
    for kind, n in zip(descriptions, measured.tolist(), strict=True):
        what = f"{cells.source.label} measures {n} of the {CALLED} genes that {kind.name!r} calls up"
        if n < _LEAST_MEASURED:
            msg = f"{what}; describe it otherwise, or leave it out"
            raise InputError(msg)
        if n < _FEW_MEASURED:
            listener(Note(f"{what}: little speaks for or against it", serious=True))
    return likeness[:, rows], null[:, rows], measured


def _tell_alike(
    descriptions: Sequence[Description], likeness: NDArray[np.float32], listener: Listener
) -> None:
    called = called_up(likeness)
    called /= np.maximum(np.linalg.norm(called, axis=1, keepdims=True), 1e-12)
    for i, j in np.argwhere(np.triu(called @ called.T, 1) > _ALIKE).tolist():
        names = f"{descriptions[i].name!r} and {descriptions[j].name!r}"
        listener(Note(f"{names} call up the same genes: nothing tells them apart", serious=True))


def _score(
    groups: CellGroups,
    weights: NDArray[np.float32],
    likeness: NDArray[np.float32],
    place: Any,
    listener: Listener,
) -> tuple[NDArray[np.float32], NDArray[np.int64], pd.DataFrame, NDArray[np.int64]]:
    """Score all cells, block by block, and sum up what each gene adds in the cells that are chosen."""
    used = np.flatnonzero(weights.any(axis=0))
    n, s = groups.cells.source.n_cells, len(weights)
    linear = np.ascontiguousarray((weights[:, used] / groups.spread[used]).T, np.float32)
    scores, n_genes = np.zeros((n, s), np.float32), np.zeros(n, np.int64)
    sums, total, sizes = np.zeros((s, len(used))), np.zeros(len(used)), np.zeros(s, np.int64)
    for start, logged, nearest, genes in groups.place(used, listener, grouped=place is not None):
        stop = start + logged.shape[0]
        scores[start:stop] = logged @ linear
        n_genes[start:stop] = genes
        total += np.asarray(logged.sum(axis=0, dtype=np.float64)).ravel()
        if place is not None:
            chosen = place(start, nearest, genes > 0)
            for k in np.unique(chosen[chosen >= 0]):
                mine = chosen == k
                sums[k] += np.asarray(logged[mine].sum(axis=0, dtype=np.float64)).ravel()
                sizes[k] += mine.sum()
    if place is None:
        own = weights[:, used]
        added = np.mean([_added_in_best(part.expression[:, used], own) for part in groups.profiles], axis=0)
    else:
        added = linear.T * (sums / np.maximum(sizes, 1)[:, None] - total / max(n, 1))
    kept, column = np.nonzero(weights[:, used])
    rows = groups.cells.genes.rows[used[column]]
    symbols = np.asarray(groups.cells.lexicon.genes.column("symbol").to_pylist(), dtype=object)
    genes_table = pd.DataFrame({
        "type": kept,
        "gene": symbols[rows],
        "likeness": likeness[kept, used[column]],
        "weight": weights[kept, used[column]],
        "added": added[kept, column],
    }).sort_values(["type", "added"], ascending=[True, False], kind="stable", ignore_index=True)  # fmt: skip
    scores -= scores.mean(axis=0)
    scores /= np.maximum(scores.std(axis=0), 1e-9)
    return scores, n_genes, genes_table, sizes


def _added_in_best(expression: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each gene adds to the score of the group with the highest one, above the mean group ``[S, c]``."""
    best = (expression @ weights.T).argmax(axis=0)
    added: NDArray[np.float32] = weights * (expression[best] - expression.mean(axis=0))
    return added


def _types(descriptions: Sequence[Description], measured: NDArray[np.int64]) -> pd.DataFrame:
    names = pd.Index([kind.name for kind in descriptions], name="type")
    sentences = [kind.sentence for kind in descriptions]
    return pd.DataFrame({"sentence": sentences, "measured": measured}, index=names)


def _named(genes: pd.DataFrame, names: pd.Index[Any]) -> pd.DataFrame:
    return genes.assign(type=names[genes["type"].to_numpy()])
