"""Methods for a query that has measured other genes than the reference, or some of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding import Recipe
from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.embedding.selected import SelectedCells, select_counts
from lexicell.evaluation.cells.methods import Method, Vectors, embed_panel
from lexicell.evaluation.cells.panels import Panel, Task
from lexicell.learn.bridge import Bridge, fit_bridge
from lexicell.learn.common_genes import common_components
from lexicell.learn.gene_atlas import atlas_likenesses
from lexicell.projection import Pooling
from lexicell_kernels import Weight

__all__ = ["ACROSS_PANELS", "THROUGH", "selected_cells"]

#: Query cells that are given as having measured the genes of both panels.
THROUGH = (10, 50, 200)
#: The most variable genes of a panel that a bridge learns from.
_GENES = 4_000


def selected_cells(
    panel: Panel,
    n_lexicon: int,
    n_genes: int | None = None,
    *,
    recipe: Recipe | None = None,
    least_cells: int = 0,
) -> SelectedCells:
    """All described genes of a panel's cells, those that vary most, or as a recipe selects them."""
    counts, rows = panel.counts, panel.rows
    if recipe is None and n_genes is not None and len(rows) > n_genes:
        columns = highly_variable_columns(counts, panel.totals, n_genes, least_cells=least_cells)
        counts, rows = counts[:, columns], rows[columns]
    top_k, weight = (None, Weight.LOG1P) if recipe is None else (recipe.top_k, recipe.weight)
    return select_counts(counts, rows, panel.totals, n_lexicon=n_lexicon, top_k=top_k, weight=weight)


def _bridge(task: Task, *, atlas: bool = False, through: int = 0) -> Vectors:
    bridge, query = _fitted(task, atlas=atlas, through=through)
    return bridge.held_out, query


def _other_evidence(task: Task) -> NDArray[np.float64]:
    """What the genes say that only one side has."""
    bridge, query = _fitted(task, atlas=True)
    return bridge.evidence(query)


def _fitted(task: Task, *, atlas: bool, through: int = 0) -> tuple[Bridge, NDArray[np.float32]]:
    """A bridge of the genes that only one side has, and finished vectors of the query."""
    apart = [
        side.without_genes(other.rows)
        for side, other in ((task.reference, task.query), (task.query, task.reference))
    ]
    bridge = fit_bridge(
        selected_cells(apart[0], len(task.vectors), _GENES),
        task.vectors,
        task.reference.labels,
        beside=atlas_likenesses(task.atlas) if atlas else (),
        through=task.through(through) if through and task.through is not None else None,
        genes=apart[1].rows,
        seed=task.seed,
    )
    table = bridge.projection.apply(task.vectors[apart[1].rows], apart[1].rows)
    rows = embed_panel(apart[1], table, Pooling(None, Weight.LOG1P, normalise=False))
    return bridge, bridge.finish(rows.vectors, rows.n_genes)


def _common_genes(task: Task) -> Vectors:
    sides = (selected_cells(side, len(task.vectors)) for side in (task.reference, task.query))
    return common_components(*sides)


_KERNEL = "kernel ridge from {} to a gene's class profile; scaled by the query's own cells"
_ATLAS = "texts, their words and loadings in other data sets"


def _with_mixture(
    name: str, run: Callable[[Task], Vectors], source: str, *, alone: bool = True, **options: bool
) -> list[Method]:
    return [
        Method(
            f"{name}{'+mixture' if mixture else ''}",
            run,
            transductive=True,
            mixture=mixture,
            source=source + "; then a mixture of classes in their components" * mixture,
            **options,  # type: ignore[arg-type]
        )
        for mixture in ((False, True) if alone else (True,))
    ]


ACROSS_PANELS: dict[str, Method] = {
    method.name: method
    for method in (
        *_with_mixture("bridge", _bridge, _KERNEL.format("texts"), other_genes=True),
        *_with_mixture(
            "bridge+atlas", partial(_bridge, atlas=True), _KERNEL.format(_ATLAS), other_genes=True, atlas=True
        ),
        *(
            _with_mixture(
                f"bridge+atlas+{n} cells",
                partial(_bridge, atlas=True, through=n),
                _KERNEL.format(f"{_ATLAS}, and from {n} cells that measured both panels"),
                alone=False,
                other_genes=True,
                atlas=True,
            )[0]
            for n in THROUGH
        ),
        *_with_mixture(
            "common genes",
            _common_genes,
            "components of the genes that both sides have",
            text=False,
            some_genes=True,
        ),
        *(
            Method(
                f"common genes x bridge+atlas{'+mixture' if mixture else ''}",
                _common_genes,
                transductive=True,
                some_genes=True,
                atlas=True,
                mixture=mixture,
                evidence=_other_evidence,
                source="evidence of the genes that both sides have, times that of the others by a bridge"
                + "; then a mixture" * mixture,
            )
            for mixture in (False, True)
        ),
    )
}
