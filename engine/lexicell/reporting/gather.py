"""What a page is told of its cells: their places, columns, and all that is made of their counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.counts import take_cells
from lexicell.embedding import (
    Advanced,
    AlignedCells,
    AlignOptions,
    GeneCoverage,
    Listener,
    Note,
    Plan,
    align_cells,
    gene_coverage,
)
from lexicell.embedding.remake import is_imported, remake_plan
from lexicell.errors import InputError
from lexicell.explanation import Explanation
from lexicell.explanation.api import GeneSets
from lexicell.explanation.grouping import read_groups
from lexicell.explanation.groups import GroupQuestion, explain_groups
from lexicell.explanation.pathways import read_pathways
from lexicell.exports.coordinates import read_coordinates
from lexicell.lexicon import GeneList, Lexicon
from lexicell.projection import UNKNOWN, Projection
from lexicell.reporting.content import Categories, Genes
from lexicell.reporting.genes import check_vectors, gene_contributions
from lexicell.reporting.opened import OpenedRun
from lexicell.words import Search
from lexicell.words.api import Text, descriptions_of, search_counts
from lexicell.words.stored import search_by_text

if TYPE_CHECKING:
    from lexicell.counts import CountSource

__all__ = ["OfCounts", "of_counts", "placed_cells", "search_stored"]

#: Groups up to which sets of genes have p-values, and permutations of their nulls: a second a group.
_MOST_WITH_P, _PERMUTATIONS = 20, 10_000
#: First genes of each group, which cells can be coloured by.
_OF_GROUPS = 5


def placed_cells(run: OpenedRun, basis: str | None, listener: Listener) -> tuple[NDArray[np.bool_], Any]:
    """Which of ``N`` cells can be drawn, and the coordinates ``[N, 2]`` that the data have; None without.

    Raises
    ------
    InputError
        There are no such coordinates, or no cell has a place.
    """
    there = run.has_vector
    points = None
    if basis is not None:
        if run.counts is None:
            msg = f"{run.label} holds vectors only; name the data that {basis} is in (--data)"
            raise InputError(msg)
        points = read_coordinates(run.counts, basis)
        if points.shape[1] > 2:
            listener(Note(f"{basis} has three dimensions; cells are drawn by the first two"))
        points = points[run.counts_rows, :2]
        without = there & ~np.isfinite(points).all(axis=1)
        if without.any():
            listener(
                Note(
                    f"{int(without.sum()):,} cells have no value in {basis}: they are not drawn", serious=True
                )
            )
        there &= ~without
    if not there.any():
        msg = f"{run.label}: no cell has a vector{'' if basis is None else f' and a place in {basis}'}"
        raise InputError(msg)
    return there, points


@dataclass(frozen=True)
class OfCounts:
    """What is made of the counts of the cells that are drawn; None for what can't be.

    Attributes
    ----------
    coverage
        Genes without a description.
    genes
        Contributions.
    explanation
        Of the groups.
    search
        Scores of sentences.
    why
        Why groups are not explained; a sentence.
    gene_column
        Column of ``var`` that the run was told to read genes from; None where it found out.
    """

    coverage: GeneCoverage | None = None
    genes: Genes | None = None
    explanation: Explanation | None = None
    search: Search | None = None
    why: str = ""
    gene_column: str | None = None


def of_counts(
    run: OpenedRun,
    shown: NDArray[np.intp],
    vectors: NDArray[np.float32],
    group: Categories | None,
    text: Text | None,
    color_genes: Sequence[str],
    sets: GeneSets,
    *,
    lexicon: str | Lexicon,
    projection: Projection | str | Path | None,
    genes: GeneList | None,
    seed: int,
    listener: Listener,
) -> OfCounts:
    """Read the cells that are drawn once, and make all of them that a page tells of genes.

    Parameters
    ----------
    run
        With counts, or nothing is made.
    shown
        ``[n]`` numbers of cells, ascending.
    vectors
        ``[n, p]`` of these.
    group
        Their groups; None for none.
    text, color_genes, sets, lexicon, projection, genes, seed
        See `lexicell.report`.
    listener
        Is told what was understood and how far it is.

    Raises
    ------
    InputError
        The counts are others than the store was made of, or an option does not fit.
    """
    if run.counts is None:
        return OfCounts(why="Contributions of genes need the counts of the cells (--data).")
    with _taken(run, shown, group, listener) as source:
        if is_imported(run.facts):
            options = AlignOptions(lexicon=lexicon, genes=genes, min_coverage=None)
            cells = align_cells(source, options, listener)
            why = "The vectors are of another model, so genes have no contributions to them."
            return OfCounts(gene_coverage(cells), search=_searched(cells, text, seed, listener), why=why)
        plan, named = remake_plan(
            source, run.facts, run.label, listener, lexicon=lexicon, projection=projection, genes=genes
        )
        check_vectors(plan, vectors, run.label)
        coverage = gene_coverage(plan.cells)
        search = _searched(plan.cells, text, seed, listener)
        if plan.folded.head:
            why = "The projection has a head, which is not linear: genes have no exact contributions."
            return OfCounts(coverage, search=search, why=why, gene_column=named)
        explanation, why = None, ""
        if group is not None:
            why = _why_not(group)
            explanation = None if why else _explained(plan, group, sets, seed, listener)
        first: list[str] = []
        if explanation is not None:
            more = explanation.genes[explanation.genes["more"]]
            first = list(more.groupby("group", sort=False).head(_OF_GROUPS)["gene"])
        contributions = gene_contributions(plan, first, color_genes, seed=seed, listener=listener)
    return OfCounts(coverage, contributions, explanation, search, why, named)


def _taken(
    run: OpenedRun, shown: NDArray[np.intp], group: Categories | None, listener: Listener
) -> CountSource:
    """The cells that are drawn, in memory; of their columns only the groups."""
    assert run.counts is not None  # noqa: S101 -- the caller has looked
    obs = pd.DataFrame(index=run.names[shown])
    if group is not None:
        obs[group.name] = np.append(np.array(group.names, object), "")[group.codes]
    rows = run.counts_rows[shown]
    return take_cells(run.counts, rows, obs, tick=lambda *passed: listener(Advanced(*passed)))


def _searched(cells: AlignedCells, text: Text | None, seed: int, listener: Listener) -> Search | None:
    return None if text is None else search_counts(cells, descriptions_of(text), seed, listener)


def _why_not(group: Categories) -> str:
    """Why groups can't be told apart, a sentence; "" where they can."""
    there = [name.lower() not in {UNKNOWN, "nan"} for name in group.names]  # what has no class for all verbs
    sizes = np.bincount(group.codes[group.codes >= 0], minlength=len(there))[np.array(there, bool)]
    if (sizes > 0).sum() < 2:
        return f"{group.name} has fewer than two groups with cells that are drawn, so none can be compared."
    if sizes.max() < 2:
        return "No group has two cells that are drawn, so groups are not explained."
    return ""


def _explained(plan: Plan, group: Categories, sets: GeneSets, seed: int, listener: Listener) -> Explanation:
    pathways = None
    if sets is not None and sets != "none":
        pathways = read_pathways(sets, plan.cells.lexicon, plan.folded.genes.rows, listener)
    groups = read_groups(plan, group.name, None, None, listener, needs_two=True)
    permutations = _PERMUTATIONS if pathways is not None and len(groups.names) <= _MOST_WITH_P else 0
    question = GroupQuestion(groups, None, pathways, permutations, seed, gsea=False, about={})
    return explain_groups(plan, question, None, None, workers=None, scheduler=None, listener=listener)


def search_stored(run: OpenedRun, text: Text, lexicon: str | Lexicon, listener: Listener) -> Search:
    """Score all cells of a store by what their vectors say of the genes of sentences.

    Raises
    ------
    InputError
        The vectors say nothing of single genes; see `lexicell.words.stored.search_by_text`.
    """
    if run.stored is None:
        msg = f"{run.label} holds vectors of another model: cells are scored by counts of its data (--data)"
        raise InputError(msg)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    return search_by_text(run.stored, descriptions_of(text), opened, listener)
