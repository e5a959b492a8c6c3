"""What names the cells of a query: a trained projection, or one fitted to labelled cells here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lexicell.annotate.result import Mode
from lexicell.embedding import Listener, Note, Plan, Quality, embed_source, fold
from lexicell.embedding.recipe import resolve_recipe
from lexicell.learn.bridge import fit_bridge
from lexicell.learn.classify import fit_classifier, fit_knn
from lexicell.learn.loadings import fit_loadings
from lexicell.learn.ranked import RankedCells, rank_cells
from lexicell.learn.statistics import GeneStatistics, gene_statistics, most_dispersed
from lexicell.projection import Projection

__all__ = [
    "EVERY_GENE",
    "Cells",
    "Fitted",
    "NamesCells",
    "embed_plan",
    "fit_reference",
    "with_projection",
]

#: All described genes, weight log1p, vectors as they are in the lexicon.
EVERY_GENE = "genept-w"
_INFORMATIVE = 2_000
#: Share of the variance of the informative genes that a query has to measure for expression to be compared
#: directly. Where a panel has a random 30 % of them, both ways are as good; a panel of chosen genes is few in
#: number and has most of the variance.
_SHARED = 0.3


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
    """A data set that is planned, and what is computed of it once.

    Attributes
    ----------
    plan
        Its counts and genes, without a projection.
    listener
        Is told the progress.
    """

    plan: Plan
    listener: Listener

    @cached_property
    def statistics(self) -> GeneStatistics:
        """Of all described genes."""
        plan = self.plan
        return gene_statistics(plan.source, plan.folded, plan.values, listener=self.listener)

    def dispersed(self, among: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
        """The 2,000 most dispersed genes, of all or among some."""
        found = self.statistics
        if among is not None:
            kept = np.isin(found.rows, among)
            parts = {of.name: getattr(found, of.name) for of in fields(found)}
            by_gene: dict[str, Any] = {n: p[kept] for n, p in parts.items() if isinstance(p, np.ndarray)}
            found = replace(found, **by_gene)
        return most_dispersed(found, _INFORMATIVE)

    def ranked(self, genes: NDArray[np.int32]) -> RankedCells:
        """All counts of some genes."""
        plan = self.plan
        folded = fold(plan.lexicon, plan.alignment, masked=~_among(plan, genes))
        return rank_cells(replace(plan, folded=folded), listener=self.listener)

    def embed(self, projection: Projection, genes: NDArray[np.int32]) -> tuple[NDArray[np.float32], Quality]:
        """Vectors ``[N, p]`` that only these genes make."""
        return embed_plan(with_projection(self.plan, projection, genes), self.listener)


@dataclass(frozen=True)
class Fitted:
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
    """

    mode: Mode
    classifier: NamesCells
    plan: Plan
    finish: Callable[[NDArray[np.float32], NDArray[np.int32]], NDArray[np.float32]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def probability(self, listener: Listener) -> tuple[NDArray[np.float32], Quality]:
        """Of each class, ``[N, C]``, for all cells of the query; 0 for cells without any gene in use."""
        vectors, quality = embed_plan(self.plan, listener)
        full = quality.n_genes > 0
        if self.finish is None or not full.any():
            return self.classifier.predict_proba(vectors), quality
        found = np.zeros((len(full), len(self.classifier.classes)), np.float32)
        finished = self.finish(vectors[full], quality.n_genes[full])
        found[full] = self.classifier.predict_proba(finished)
        return found, quality


def with_projection(
    plan: Plan, projection: Projection | None, genes: NDArray[np.int32] | None = None
) -> Plan:
    """Plan the same data set with a projection and its recipe, or every gene; only `genes` where given."""
    masked = None if genes is None else ~_among(plan, genes)
    folded = fold(plan.lexicon, plan.alignment, projection, masked=masked)
    recipe = resolve_recipe(EVERY_GENE)
    if projection is not None:
        recipe = resolve_recipe(None, pooling=projection.pooling)
    return replace(plan, folded=folded, projection=projection, recipe=recipe)


def embed_plan(plan: Plan, listener: Listener) -> tuple[NDArray[np.float32], Quality]:
    """Vectors of all cells, ``[N, p]`` float32."""
    vectors = np.empty((plan.source.n_cells, plan.dim), np.float32)
    filled = 0

    def sink(rows: NDArray[np.float32]) -> None:
        nonlocal filled
        vectors[filled : filled + len(rows)] = rows
        filled += len(rows)

    quality = embed_source(plan.source, plan.embedder, sink, listener=listener)
    return vectors, quality


def fit_reference(
    reference: Cells,
    labels: NDArray[Any],
    query: Cells,
    *,
    method: Literal["logistic", "knn"],
    seed: int,
    listener: Listener,
) -> Fitted:
    """Fit what suits the genes that reference and query measure.

    Where the query measures genes that hold at least 30 % of the variance (of ``log1p(1e4 x / N)``) of the
    reference's 2,000 most dispersed genes, cells are compared by principal components of the genes that both
    measure (`lexicell.learn.loadings`). Elsewhere the genes' texts connect the two (`lexicell.learn.bridge`).

    Parameters
    ----------
    reference, labels
        Cells and their ``[N]`` labels, "" for none.
    query
        Cells to name.
    method
        Which classifier.
    seed
        Of whatever is drawn.
    listener
        Is told the progress, and which of the two it is.

    Raises
    ------
    InputError
        Fewer than two classes have cells with genes in use.
    """
    informative = reference.dispersed()
    measured = query.plan.folded.lexicon_rows
    here = int(np.isin(informative, measured).sum())
    share = _measured(reference.statistics, informative, measured)
    known = np.flatnonzero(labels != "")
    vectors = reference.plan.lexicon.vectors(reference.plan.lexicon.rows)
    facts: dict[str, Any] = {
        "informative_genes": len(informative),
        "informative_measured": here,
        "informative_variance": share,
    }
    where = (
        f"the query measures {here:,} of the {len(informative):,} most dispersed genes of the reference, "
        f"with {share:.0%} of their variance"
    )
    if share >= _SHARED:
        genes = reference.dispersed(np.intersect1d(reference.plan.folded.lexicon_rows, measured))
        facts["why"] = f"{where}, so cells are compared by the {len(genes):,} most dispersed genes of both"
        listener(Note(facts["why"]))
        cells = reference.ranked(genes).take(known)
        # Turned to the labels, components would tell the same cells apart too well to calibrate on, and
        # what is of another type lies nearer to one of the known ones.
        projection = fit_loadings(cells, vectors, seed=seed, listener=listener)
        embedded, _ = reference.embed(projection, genes)
        classifier = _classifier(embedded[known], labels[known], method, seed)
        plan = with_projection(query.plan, projection, genes)
        return Fitted("loadings", classifier, plan, None, facts | {"genes": plan.folded.table.n_genes})
    facts["why"] = (
        f"{where}, so the genes' texts connect them, and the query's vectors are centred and scaled by its "
        "own mean and standard deviation (transductive: a cell's label depends on the others)"
    )
    listener(Note(facts["why"], serious=True))
    cells = reference.ranked(informative).take(known)
    bridge = fit_bridge(cells, vectors, labels[known], seed=seed, listener=listener)
    classifier = _classifier(bridge.held_out, labels[known][bridge.labelled], method, seed)
    plan = with_projection(query.plan, bridge.projection, query.dispersed())
    return Fitted("bridge", classifier, plan, bridge.finish, facts | {"genes": plan.folded.table.n_genes})


def _measured(
    statistics: GeneStatistics, informative: NDArray[np.int32], measured: NDArray[np.int32]
) -> float:
    """Share of the informative genes' variance that lies in genes which are measured, too."""
    of = np.isin(statistics.rows, informative)
    there = of & np.isin(statistics.rows, measured)
    total = float(statistics.variance[of].sum())
    return float(statistics.variance[there].sum()) / total if total else 0.0


def _classifier(vectors: NDArray[np.float32], labels: NDArray[Any], method: str, seed: int) -> NamesCells:
    return fit_knn(vectors, labels) if method == "knn" else fit_classifier(vectors, labels, seed=seed)


def _among(plan: Plan, genes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which genes of the lexicon are some of these, ``[G]``."""
    found = np.zeros(plan.lexicon.n_genes, bool)
    found[genes] = True
    return found
