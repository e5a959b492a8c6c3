"""What names the cells of a query: a trained projection, or one fitted to labelled cells here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.annotation.across import LEAST_GENES, Likenesses, connect_panels
from lexicell.annotation.namer import CellNamer, Cells, fit_cells
from lexicell.embedding import Listener, Note, embed_in_memory, plan_cells
from lexicell.embedding.gene_statistics import GeneStatistics
from lexicell.errors import InputError
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.loadings import fit_loadings
from lexicell.learn.mixture import mixing, own_components, spread_labels
from lexicell.projection import Projection

__all__ = ["check_projection", "fit_reference", "of_projection", "projection_of"]

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


def fit_reference(
    reference: Cells,
    labels: NDArray[Any],
    query: Cells,
    *,
    method: Literal["logistic", "knn"],
    mixture: bool | None,
    likenesses: Likenesses,
    seed: int,
    listener: Listener,
) -> CellNamer:
    """Fit what suits the genes that reference and query measure.

    Where the query measures genes that hold at least 30 % of the variance (of ``log1p(1e4 x / N)``) of the
    reference's 2,000 most variable genes, cells are compared by principal components of the genes that both
    measure (`lexicell.learn.loadings`); and where the reference has all genes of the query. Elsewhere the
    genes' texts, and what other cells tell of them, connect the two (`lexicell.learn.bridge`); if some genes
    are common, what these say is multiplied with it.

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
    likenesses
        What else tells which genes are alike.
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
    facts: dict[str, Any] = {
        "informative_genes": len(informative),
        "informative_measured": here,
        "informative_variance": share,
    }
    where = (
        f"the query measures {here:,} of the {len(informative):,} most variable genes of the reference, "
        f"with {share:.0%} of their variance"
    )
    alone = np.setdiff1d(measured, reference.aligned.genes.rows)
    common = np.intersect1d(reference.aligned.genes.rows, measured)
    few = len(alone) < LEAST_GENES or len(query.highly_variable(alone)) < LEAST_GENES
    if share >= _SHARED or (few and len(common) >= LEAST_GENES):
        genes = reference.highly_variable(common)
        facts["why"] = f"{where}, so cells are compared by the {len(genes):,} most variable genes of both"
        listener(Note(facts["why"]))
        cells = reference.select(genes).take(known)
        # Turned to the labels, components would tell the same cells apart too well to calibrate on, and
        # what is of another type lies nearer to one of the known ones.
        projection = fit_loadings(cells, lexicon.vectors(lexicon.rows), seed=seed, listener=listener)
        known_plan = reference.plan(projection, genes)
        embedded, _ = embed_in_memory(known_plan.cells.source, known_plan.embedder, listener=listener)
        classifier = fit_cells(embedded[known], labels[known], method, seed)
        plan = query.plan(projection, genes)
        facts["genes"] = plan.folded.table.n_genes
        together = None
        spreads = len(known) <= _FEW * len(classifier.classes)
        if mixture or (mixture is None and spreads and query.aligned.source.n_cells <= _MOST_CELLS):
            codes = np.searchsorted(np.array(classifier.classes), labels[known].astype(str))
            together, facts["mixture_why"] = _spread(reference, known, codes, query, seed)
            listener(Note(facts["mixture_why"], serious=together is not None))
        return CellNamer("loadings", classifier, plan, None, facts, together)
    return connect_panels(
        reference, labels, query, likenesses, facts, where, method=method, seed=seed, listener=listener
    )


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


def projection_of(reference: Any) -> Projection | None:
    """The projection that a reference is, or None where it is a data set."""
    if isinstance(reference, Projection):
        return reference
    if isinstance(reference, str | os.PathLike) and (Path(reference) / "projection.json").is_file():
        return Projection.load(Path(reference))
    return None


def check_projection(projection: Projection, label: str | None, method: str) -> None:
    """Raise InputError where a projection can not name cells, or an option is for labelled cells."""
    name = projection.name
    if projection.classifier is None:
        msg = f"the projection {name} has no classifier; train it with labels, or give labelled cells"
        raise InputError(msg)
    if label is not None:
        msg = f"the projection {name} has labels of its own; leave --label out"
        raise InputError(msg)
    if method != "logistic":
        msg = f"the projection {name} holds no cells to be neighbours; leave --method out, or give the cells"
        raise InputError(msg)


def of_projection(projection: Projection, cells: Cells) -> CellNamer:
    """Name cells by the classifier of a trained projection."""
    plan = plan_cells(cells.aligned, projection, listener=cells.listener)
    if projection.card.get("objective") == "bridge":
        text = (
            "a trained bridge does not centre vectors by the query, so another panel is named less rightly "
            "than by the labelled cells themselves: give these as --reference, if they are at hand"
        )
        cells.listener(Note(text, serious=True))
    facts = {
        "why": f"the reference is the trained projection {projection.name}",
        "objective": projection.card.get("objective"),
        "projection": projection.identity,
        "genes": plan.folded.table.n_genes,
    }
    assert projection.classifier is not None  # noqa: S101 -- `_check_projection` has looked
    return CellNamer("projection", projection.classifier, plan, None, facts)
