"""A query's cells, and what names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lexicell.annotation.result import Mode
from lexicell.embedding import AlignedCells, Listener, Plan, Quality, embed_in_memory, plan_cells
from lexicell.embedding.gene_statistics import (
    GeneStatistics,
    enough_cells,
    gene_statistics,
    highly_variable_genes,
)
from lexicell.embedding.selected import SelectedCells
from lexicell.learn.classify import fit_classifier, fit_knn
from lexicell.projection import Projection

__all__ = ["CellNamer", "Cells", "NamesCells", "fit_cells"]

_INFORMATIVE = 2_000


class NamesCells(Protocol):
    """A classifier of finished vectors."""

    @property
    def classes(self) -> tuple[str, ...]:
        """``C`` names."""
        ...

    @property
    def threshold(self) -> float:
        """Probability below which a cell is "unknown"."""
        ...

    def predict_proba(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """``[n, C]``; 0 for a zero row."""
        ...


@dataclass(frozen=True)
class Cells:
    """A data set that is understood, and the statistics of its genes, computed once.

    Attributes
    ----------
    aligned
        Its counts and genes.
    listener
        Is told the progress.
    """

    aligned: AlignedCells
    listener: Listener

    @cached_property
    def statistics(self) -> GeneStatistics:
        """Of all described genes."""
        return gene_statistics(self.aligned, listener=self.listener)

    def highly_variable(self, among: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
        """The 2,000 most variable genes, of all; or among some, of those that enough cells have."""
        if among is None:
            return highly_variable_genes(self.statistics, _INFORMATIVE)
        statistics = self.statistics.among(among)
        return highly_variable_genes(statistics, _INFORMATIVE, least_cells=enough_cells(statistics.n_cells))

    def select(self, genes: NDArray[np.int32]) -> SelectedCells:
        """All counts of some genes."""
        return self.aligned.restrict(genes).select(None, listener=self.listener)

    def plan(self, projection: Projection, genes: NDArray[np.int32]) -> Plan:
        """Embed with these genes only."""
        return plan_cells(self.aligned.restrict(genes), projection)


@dataclass(frozen=True)
class CellNamer:
    """All that is needed to name the cells of a query.

    Attributes
    ----------
    mode
        How it was made.
    classifier
        Of finished vectors.
    plan
        The query's, with the projection.
    finish
        Makes finished vectors of those that are embedded, and of the number of genes of each cell.
    facts
        What there is to say about it.
    together
        ``[N, C]`` in place of what the classifier says, where few labels were spread to the query's cells.
    common
        ``[N, C]`` what the genes say that both sides have, to be multiplied with what the classifier says.
    """

    mode: Mode
    classifier: NamesCells
    plan: Plan
    finish: Callable[[NDArray[np.float32], NDArray[np.int32]], NDArray[np.float32]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    together: NDArray[np.float32] | None = None
    common: NDArray[np.float32] | None = None

    def probability(self, listener: Listener) -> tuple[NDArray[np.float32], Quality]:
        """Of each class, ``[N, C]``, for all cells of the query; 0 for cells without any gene in use."""
        plan = self.plan
        vectors, quality = embed_in_memory(plan.cells.source, plan.embedder, listener=listener)
        full = quality.n_genes > 0
        if self.together is not None:
            return np.where(full[:, None], self.together, np.float32(0)), quality
        if self.finish is None or not full.any():
            return self.classifier.predict_proba(vectors), quality
        found = np.zeros((len(full), len(self.classifier.classes)), np.float32)
        finished = self.finish(vectors[full], quality.n_genes[full])
        found[full] = self.classifier.predict_proba(finished)
        if self.common is not None:
            found = np.where(full[:, None], found, np.float32(1)) * self.common
            found /= np.maximum(found.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return found, quality


def fit_cells(vectors: NDArray[np.float32], labels: NDArray[Any], method: str, seed: int) -> NamesCells:
    """Fit the classifier that is asked for."""
    return fit_knn(vectors, labels) if method == "knn" else fit_classifier(vectors, labels, seed=seed)
