"""What names the cells of a query: a trained projection, or one fitted to labelled cells here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.annotation.result import Mode
from lexicell.embedding import AlignedCells, Listener, Note, Plan, Quality, embed_in_memory, plan_cells
from lexicell.embedding.gene_statistics import (
    GeneStatistics,
    enough_cells,
    gene_statistics,
    highly_variable_genes,
)
from lexicell.embedding.selected import SelectedCells
from lexicell.learn.bridge import fit_bridge, weight_matrix
from lexicell.learn.classify import fit_classifier, fit_knn
from lexicell.learn.loadings import fit_loadings
from lexicell.learn.mixture import mixing, own_components, spread_labels
from lexicell.projection import Projection

__all__ = ["CellNamer", "Cells", "fit_reference"]

_INFORMATIVE = 2_000
#: Share of the variance of the informative genes that a query has to measure for expression to be compared
#: directly. Where a panel has a random 30 % of them, both ways are as good; a panel of chosen genes is few in
#: number and has most of the variance.
_SHARED = 0.3
#: Labelled cells of a class, in the mean, from which on those without a label add little.
_FEW = 50
#: Cells of a query whose components are made without being asked for.
_MOST_CELLS = 50_000
#: Components in which labels are spread, and how well the two must mix for it. Halves of one data set have
#: 0.9 to 1, PBMC3k and PBMC 68k 0 to 0.6.
_COMPONENTS, _MIXED = 50, 0.75


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
    """

    mode: Mode
    classifier: NamesCells
    plan: Plan
    finish: Callable[[NDArray[np.float32], NDArray[np.int32]], NDArray[np.float32]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    together: NDArray[np.float32] | None = None

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
        return found, quality


def fit_reference(
    reference: Cells,
    labels: NDArray[Any],
    query: Cells,
    *,
    method: Literal["logistic", "knn"],
    mixture: bool | None,
    seed: int,
    listener: Listener,
) -> CellNamer:
    """Fit what suits the genes that reference and query measure.

    Where the query measures genes that hold at least 30 % of the variance (of ``log1p(1e4 x / N)``) of the
    reference's 2,000 most variable genes, cells are compared by principal components of the genes that both
    measure (`lexicell.learn.loadings`). Elsewhere the genes' texts connect the two (`lexicell.learn.bridge`).

    Parameters
    ----------
    reference, labels
        Cells and their ``[N]`` labels, "" for none.
    query
        Cells to name.
    method
        Which classifier.
    mixture
        Whether labels are spread to the query's cells where both measure the same and lie among each other
        (`lexicell.learn.mixture.spread_labels`); None for where a class has few labelled cells.
    seed
        Of whatever is drawn.
    listener
        Is told the progress, and which of the two it is.

    Raises
    ------
    InputError
        Fewer than two classes have cells with genes in use.
    """
    informative = reference.highly_variable()
    lexicon, measured = reference.aligned.lexicon, query.aligned.genes.rows
    here = int(np.isin(informative, measured).sum())
    share = _measured(reference.statistics, informative, measured)
    known = np.flatnonzero(labels != "")
    vectors = lexicon.vectors(lexicon.rows)
    facts: dict[str, Any] = {
        "informative_genes": len(informative),
        "informative_measured": here,
        "informative_variance": share,
    }
    where = (
        f"the query measures {here:,} of the {len(informative):,} most variable genes of the reference, "
        f"with {share:.0%} of their variance"
    )
    if share >= _SHARED:
        genes = reference.highly_variable(np.intersect1d(reference.aligned.genes.rows, measured))
        facts["why"] = f"{where}, so cells are compared by the {len(genes):,} most variable genes of both"
        listener(Note(facts["why"]))
        cells = reference.select(genes).take(known)
        # Turned to the labels, components would tell the same cells apart too well to calibrate on, and
        # what is of another type lies nearer to one of the known ones.
        projection = fit_loadings(cells, vectors, seed=seed, listener=listener)
        known_plan = reference.plan(projection, genes)
        embedded, _ = embed_in_memory(known_plan.cells.source, known_plan.embedder, listener=listener)
        classifier = _classifier(embedded[known], labels[known], method, seed)
        plan = query.plan(projection, genes)
        facts["genes"] = plan.folded.table.n_genes
        together = None
        few = len(known) <= _FEW * len(classifier.classes)
        if mixture or (mixture is None and few and query.aligned.source.n_cells <= _MOST_CELLS):
            codes = np.searchsorted(np.array(classifier.classes), labels[known].astype(str))
            together, facts["mixture_why"] = _spread(reference, known, codes, query, seed)
            listener(Note(facts["mixture_why"], serious=together is not None))
        return CellNamer("loadings", classifier, plan, None, facts, together)
    facts["why"] = (
        f"{where}, so the genes' texts connect them, and the query's vectors are centred and scaled by its "
        "own mean and standard deviation (transductive: a cell's label depends on the others)"
    )
    listener(Note(facts["why"], serious=True))
    cells = reference.select(informative).take(known)
    bridge = fit_bridge(cells, vectors, labels[known], seed=seed, listener=listener)
    classifier = _classifier(bridge.held_out, labels[known][bridge.labelled], method, seed)
    plan = query.plan(bridge.projection, query.highly_variable())
    return CellNamer("bridge", classifier, plan, bridge.finish, facts | {"genes": plan.folded.table.n_genes})


def _spread(
    reference: Cells,
    known: NDArray[np.intp],
    codes: NDArray[np.integer[Any]],
    query: Cells,
    seed: int,
) -> tuple[NDArray[np.float32] | None, str]:
    """Spread labels in components of both together, if they look like one experiment; and why, or why not."""
    common = np.intersect1d(reference.aligned.genes.rows, query.aligned.genes.rows)
    genes = query.highly_variable(common)
    sides = [weight_matrix(cells.select(genes)) for cells in (reference, query)]
    shared = np.intersect1d(sides[0][1], sides[1][1])
    logged = [sp.csc_array(weights)[:, np.searchsorted(rows, shared)] for weights, rows in sides]
    both = sp.csr_array(sp.vstack([sp.csr_array(logged[0])[known], logged[1]], format="csr"))
    components = own_components(both, n_components=_COMPONENTS, seed=seed)
    of_class = int(np.median(np.bincount(codes)))
    mixed = mixing(components, len(known), neighbours=min(max(of_class - 1, 1), 10))
    where = f"cells of the query are {mixed:.2f} times as often next to labelled ones as by chance"
    if mixed < _MIXED:
        return None, f"{where}, so these are another experiment's, and labels are not spread to the query"
    unknown = np.full(query.aligned.source.n_cells, -1)
    spread = spread_labels(components, np.concatenate([codes, unknown]), seed=seed)
    judged = f"of labelled cells that were held out, it won {spread.won} and lost {spread.lost}"
    why = f"{where}, so labels are spread to the query's cells by a mixture of classes: {judged}"
    if not spread.mixed:
        why = f"{where}; a mixture of classes was tried, but {judged}, so logistic regression decides"
    return spread.probability[len(known) :].astype(np.float32), f"{why} (in components of all cells together)"


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
