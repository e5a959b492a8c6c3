"""Scores of all cells by sentences, each for itself: linear in the genes, so one table makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.selected import Selection, select_block
from lexicell.words.cells import CellGroups, group_cells, logged_counts
from lexicell.words.descriptions import Description
from lexicell.words.naming import weigh_alone
from lexicell.words.panel import gene_table, on_panel
from lexicell_kernels import CsrBlock

__all__ = ["Question", "ScoreEncoder", "Scorer", "ask", "score_cells"]


@dataclass(frozen=True)
class Scorer:
    """Scores of ``S`` sentences; it can be pickled.

    Attributes
    ----------
    genes
        Those that are read; a cell with none of them has no score.
    columns
        ``[c]`` which of these have a weight.
    linear, offset
        ``[c, S]`` and ``[S]`` float32: a score is ``log1p(1e4 x / N)`` times the former less the latter; its
        mean is 0 and its standard deviation 1 over the cells that groups were made of.
    """

    genes: CandidateGenes
    columns: NDArray[np.intp]
    linear: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def of(cls, groups: CellGroups, weights: NDArray[np.float32]) -> Scorer:
        """Fold ``[S, m]`` weights of standardised expression."""
        used = np.flatnonzero(weights.any(axis=0))
        linear = (weights[:, used] / groups.spread[used]).T
        fitted = np.asarray(groups.logged[:, used] @ linear)
        deviation = np.maximum(fitted.std(axis=0), 1e-9)
        few, columns = groups.reading(used)
        offset = fitted.mean(axis=0) / deviation
        return cls(few.genes, columns, (linear / deviation).astype(np.float32), offset.astype(np.float32))

    def scores(self, selection: Selection) -> NDArray[np.float32]:
        """Score cells with all counts of the genes in use, ``[n, S]``; NaN for a cell without any."""
        logged = logged_counts(selection, self.genes.rows)
        found = np.asarray(logged[:, self.columns] @ self.linear, np.float32) - self.offset
        found[np.diff(logged.indptr) == 0] = np.nan
        return found


@dataclass(frozen=True)
class Question:
    """What is asked of all cells, settled by some of them.

    Attributes
    ----------
    scorer
        Makes the scores.
    types
        One row a sentence, index = name: ``sentence``, ``measured``; see `lexicell.words.Described`.
    genes
        See `lexicell.words.Described`.
    n_fitted
        Cells that corrected the genes.
    """

    scorer: Scorer
    types: pd.DataFrame
    genes: pd.DataFrame
    n_fitted: int


def ask(
    cells: AlignedCells, descriptions: Sequence[Description], *, seed: int, listener: Listener
) -> Question:
    """Read a data set once, and let its cells correct the genes of each sentence.

    Parameters
    ----------
    cells
        ``N`` cells.
    descriptions
        ``S`` sentences, each looked for alone; see `lexicell.words.naming.weigh_alone`.
    seed
        Of the groups.
    listener
        Is told the progress.

    Raises
    ------
    InputError, CountsError, MissingExtraError
        See `lexicell.words.name_cells`.
    """
    likeness, null, types = on_panel(cells, descriptions, listener)
    groups = group_cells(cells, seed=seed, listener=listener)
    weights = weigh_alone(groups, likeness, null)
    added = np.mean([_added_in_best(part.expression, weights) for part in groups.profiles], axis=0)
    genes = gene_table(cells.lexicon, cells.genes.rows, types.index, likeness, weights, added)
    return Question(Scorer.of(groups, weights), types, genes, len(groups.fitted))


def score_cells(cells: AlignedCells, scorer: Scorer, listener: Listener) -> NDArray[np.float32]:
    """Score all cells, ``[N, S]``, block by block; NaN for a cell without genes."""
    scores = np.empty((cells.source.n_cells, len(scorer.offset)), np.float32)
    few = cells.restrict(scorer.genes.rows)
    for selection in few.selections(None, listener=listener):
        scores[selection.start : selection.start + len(selection)] = scorer.scores(selection)
    return scores


@dataclass(frozen=True)
class ScoreEncoder:
    """Makes columns of scores; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    scorer
        Makes the scores.
    questions
        ``S`` names of columns.
    """

    scorer: Scorer
    questions: tuple[str, ...]

    @property
    def genes(self) -> CandidateGenes:
        """See `Encoder`."""
        return self.scorer.genes

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return ()

    def encode(
        self,
        counts: CsrBlock,
        start: int,
        obs: pd.DataFrame,  # noqa: ARG002
    ) -> tuple[dict[str, pa.Array], None]:
        """See `Encoder`."""
        scores = self.scorer.scores(select_block(counts, self.genes, None, start=start))
        return {name: pa.array(column) for name, column in zip(self.questions, scores.T, strict=True)}, None


def _added_in_best(expression: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each gene adds to the score of the group with the highest one, above the mean group ``[S, m]``."""
    best = (expression @ weights.T).argmax(axis=0)
    added: NDArray[np.float32] = weights * (expression[best] - expression.mean(axis=0))
    return added
