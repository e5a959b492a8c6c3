"""What a page is told of its cells: their places, columns, and all that is made of their counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.atlas import take_cells
from lexicell.embedding import Advanced, GeneCoverage, Listener, Note, Plan, gene_coverage
from lexicell.embedding.remake import is_imported, remake_plan
from lexicell.errors import InputError
from lexicell.explanation import Explanation
from lexicell.explanation.api import GeneSets
from lexicell.explanation.grouping import read_groups
from lexicell.explanation.groups import GroupQuestion, explain_groups
from lexicell.explanation.pathways import read_pathways
from lexicell.exports.coordinates import read_coordinates
from lexicell.lexicon import GeneList, Lexicon
from lexicell.projection import Projection
from lexicell.reporting.content import Categories, Genes
from lexicell.reporting.genes import check_vectors, gene_contributions
from lexicell.reporting.opened import OpenedRun
from lexicell.words import Search
from lexicell.words.api import Text, descriptions_of, search_counts
from lexicell.words.stored import search_by_text

if TYPE_CHECKING:
    from lexicell.atlas import CountSource

__all__ = ["Beside", "OfCounts", "files_beside", "of_counts", "placed_cells", "search_stored"]

#: Groups up to which sets of genes have p-values, and permutations of their nulls: a second a group.
_MOST_WITH_P, _PERMUTATIONS = 20, 10_000
#: First genes of each group, which cells can be coloured by.
_OF_GROUPS = 5


@dataclass(frozen=True)
class Beside:
    """What other verbs wrote about a run; None for nothing."""

    annotation: Path | None
    evaluation: Path | None
    profile: Path | None


def files_beside(
    store: Any,
    annotation: str | Path | None,
    evaluation: str | Path | None,
    profile: str | Path | None,
    listener: Listener,
) -> Beside:
    """What the user names, else what lies beside ``NAME.zarr`` as ``NAME.evaluation`` ..., which is told."""

    def one(named: str | Path | None, *suffixes: str) -> Path | None:
        if named is not None:
            return Path(named)
        if not isinstance(store, str | Path) or "://" in str(store):
            return None
        for suffix in suffixes:
            path = Path(store).with_suffix(suffix)
            if path.exists():
                listener(Note(f"{path} lies beside the store, and is part of the page"))
                return path
        return None

    return Beside(
        one(annotation, ".annotation.csv", ".annotation.parquet"),
        one(evaluation, ".evaluation"),
        one(profile, ".profile.json"),
    )


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
        Why there are no contributions; a sentence.
    """

    coverage: GeneCoverage | None = None
    genes: Genes | None = None
    explanation: Explanation | None = None
    search: Search | None = None
    why: str = ""


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
    if is_imported(run.facts):
        return OfCounts(why="The vectors are of another model, so genes have no contributions to them.")
    with _taken(run, shown, group, listener) as source:
        plan = remake_plan(
            source, run.facts, run.label, listener, lexicon=lexicon, projection=projection, genes=genes
        )
        check_vectors(plan, vectors, run.label)
        coverage = gene_coverage(plan.cells)
        search = None
        if text is not None:
            search = search_counts(plan.cells, descriptions_of(text), seed, listener)
        if plan.folded.head:
            why = "The projection has a head, which is not linear: genes have no exact contributions."
            return OfCounts(coverage, search=search, why=why)
        explanation = None if group is None else _explained(plan, group, sets, seed, listener)
        first: list[str] = []
        if explanation is not None:
            more = explanation.genes[explanation.genes["more"]]
            first = list(more.groupby("group", sort=False).head(_OF_GROUPS)["gene"])
        contributions = gene_contributions(plan, first, color_genes, seed=seed, listener=listener)
    return OfCounts(coverage, contributions, explanation, search)


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
