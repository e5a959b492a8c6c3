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
        ``[N, C]`` what the genes say that both sides have, to be multiplied with what the classifier says; 0
        for cells without any of them.
    shares, recentred
        ``[C]`` parts that classes are of the reference, and a classifier for a query where they are others.
    """

    mode: Mode
    classifier: NamesCells
    plan: Plan
    finish: Callable[[NDArray[np.float32], NDArray[np.int32]], NDArray[np.float32]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    together: NDArray[np.float32] | None = None
    common: NDArray[np.float32] | None = None
    shares: NDArray[np.float64] | None = None
    recentred: Callable[[NDArray[np.float64]], NamesCells] | None = None

    @property
    def across(self) -> bool:
        """Whether panels were connected by more than the genes that both have, which is transductive."""
        return self.mode in ("bridge", "both")

    def probability(self, listener: Listener) -> tuple[NDArray[np.float32], Quality]:
        """Of each class, ``[N, C]``, for all cells of the query; 0 for cells without any gene in use."""
        vectors, quality = self.embed(listener)
        return self.name(vectors, quality), quality

    def embed(self, listener: Listener) -> tuple[NDArray[np.float32], Quality]:
        """Finished vectors of all cells of the query; 0 for cells without any gene in use."""
        plan = self.plan
        vectors, quality = embed_in_memory(plan.cells.source, plan.embedder, listener=listener)
        full = quality.n_genes > 0
        if self.finish is None or not full.any():
            return vectors, quality
        finished = self.finish(vectors[full], quality.n_genes[full])
        placed = np.zeros((len(full), finished.shape[1]), np.float32)
        placed[full] = finished
        return placed, quality

    def name(
        self, vectors: NDArray[np.float32], quality: Quality, classifier: NamesCells | None = None
    ) -> NDArray[np.float32]:
        """Probabilities ``[N, C]`` for the vectors of `embed`, by another classifier where one is given."""
        full = (quality.n_genes > 0)[:, None]
        if self.together is not None:
            return np.where(full, self.together, np.float32(0))
        found = (classifier or self.classifier).predict_proba(vectors)
        if self.common is None:
            return np.where(full, found, np.float32(0))
        has_common = self.common.any(axis=1, keepdims=True)
        product = np.where(full, found, has_common) * np.where(has_common, self.common, full)
        sums = np.maximum(product.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return np.asarray(product / sums, np.float32)


def fit_cells(vectors: NDArray[np.float32], labels: NDArray[Any], method: str, seed: int) -> NamesCells:
    """Fit the classifier that is asked for."""
    return fit_knn(vectors, labels) if method == "knn" else fit_classifier(vectors, labels, seed=seed)
