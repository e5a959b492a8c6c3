"""What lexicell makes of the texts, and all methods by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import RECIPES, Recipe
from lexicell.embedding.default_projection import whiten_and_scale
from lexicell.embedding.gene_statistics import enough_cells
from lexicell.errors import InputError
from lexicell.evaluation.cells.across_panels import ACROSS_PANELS, selected_cells
from lexicell.evaluation.cells.methods import BASELINES, Method, Vectors, embed_panel, pool
from lexicell.evaluation.cells.panels import Panel, Task
from lexicell.learn.augment import Views
from lexicell.learn.objectives import fit, resolve_objective
from lexicell.learn.settings import TrainSettings
from lexicell.projection import Pooling, Projection
from lexicell_kernels import Rows, Weight

__all__ = ["LEARNED", "METHODS", "resolve_methods"]

#: The most variable genes of reference and unlabelled cells, which objectives learn from.
_GENES = 4_000
#: The same for those that are trained in steps.
_TRAINED_GENES = 2_000


def _lexicell(task: Task) -> Vectors:
    """What the recipe `lexicell` makes of the lexicon, or of a control in its place."""
    if task.refined is not None:
        vectors = task.refined()
    else:
        gene_scale = np.ones(len(task.vectors), np.float32) if task.gene_scale is None else task.gene_scale
        vectors = whiten_and_scale(task.vectors, gene_scale).apply(task.vectors, np.arange(len(task.vectors)))
    recipe = RECIPES["lexicell"]
    return pool(task.reference, vectors, recipe), pool(task.query, vectors, recipe)


def _learn(
    objective: str, *, unlabelled: bool, labels: bool, recipe: Recipe | None = None
) -> Callable[[Task], Vectors]:
    """Learn from the reference, and from the unlabelled cells where the method may.

    With a recipe, cells are pooled as it says, and one linear map of the pooled vectors is learned.
    """

    def run(task: Task) -> Vectors:
        panel, labelled = task.reference, task.reference.labels
        if unlabelled and task.unlabelled is not None and _same_genes(panel, task.unlabelled):
            panel = _stack(panel, task.unlabelled)
        trained = resolve_objective(objective).trained
        least = enough_cells(panel.n_cells) if objective == "loadings" else 0
        n_genes = _TRAINED_GENES if trained else _GENES
        cells = selected_cells(panel, len(task.vectors), n_genes, recipe=recipe, least_cells=least)
        names: NDArray[np.object_] | None = None
        if labels and labelled is not None:
            names = np.full(panel.n_cells, None, object)
            names[: len(labelled)] = labelled
        options: dict[str, Any] = {"settings": _settings(len(cells), recipe)} if trained else {}
        projection = fit(objective, cells, task.vectors, names, seed=task.seed, **options).projection
        left_out = np.setdiff1d(panel.rows, cells.used) if recipe is None else np.empty(0, np.int32)
        reference, query = (
            _embed(side, projection, task.vectors, left_out).vectors for side in (task.reference, task.query)
        )
        return reference, query

    return run


def _package(objective: str) -> str:
    return "torch" if resolve_objective(objective).trained else ""


def _settings(n: int, recipe: Recipe | None) -> TrainSettings:
    """Fewer cells take fewer steps, and can't spare any for validation."""
    few = n < 500
    return TrainSettings(
        dim=64,
        batch=min(256, n),
        steps=60 if few else 200,
        validation=0 if few else 0.1,
        views=Views(),
        learn_genes=recipe is None,
    )


def _same_genes(first: Panel, second: Panel) -> bool:
    return np.array_equal(first.rows, second.rows)


def _stack(first: Panel, second: Panel) -> Panel:
    counts = sp.csr_array(sp.vstack([first.counts, second.counts], format="csr"))
    return Panel(counts, first.rows, np.concatenate([first.totals, second.totals]))


def _embed(
    panel: Panel, projection: Projection, vectors: NDArray[np.float32], unused: NDArray[np.int32]
) -> Rows:
    """Embed a panel through the kernel, without the genes that were measured but not learned from."""
    rows = panel.rows
    used = ~np.isin(rows, unused)
    if projection.masked is not None:
        used &= ~projection.masked[rows]
    table = projection.apply(vectors[rows[used]], rows[used])
    pooling = projection.pooling or Pooling(None, Weight.LOG1P)
    return embed_panel(panel, table, pooling, used=used, bias=projection.bias)


def _objective(name: str, objective: str, about: str, *, unlabelled: bool, labels: bool = True) -> Method:
    run = _learn(objective, unlabelled=unlabelled, labels=labels)
    package = _package(objective)
    return Method(name, run, transductive=unlabelled, per_draw=labels, package=package, source=about)


LEARNED: dict[str, Method] = {
    method.name: method
    for method in (
        Method("lexicell", _lexicell, per_draw=False, source=RECIPES["lexicell"].source),
        *(
            Method(
                f"loadings{'+mixture' if mixture else ''}",
                run,
                transductive=True,
                per_draw=False,
                mixture=mixture,
                source="components of expression; genes that were not measured get what their text predicts"
                + "; then a mixture of classes" * mixture,
            )
            for run in [
                _learn("loadings", unlabelled=True, labels=False)
            ]  # one, so that vectors are made once
            for mixture in (False, True)
        ),
        _objective(
            "loadings+labels",
            "loadings",
            "the same, turned to the classes; labels are spread to the surest cells",
            unlabelled=True,
        ),
        Method(
            "paper+supcon",
            _learn("supcon", unlabelled=False, labels=True, recipe=RECIPES["paper"]),
            package=_package("supcon"),
            source="a linear map of what paper pools, supervised contrastive (Khosla et al. 2020)",
        ),
        _objective("supcon", "supcon", "supervised contrastive (Khosla et al. 2020)", unlabelled=False),
        _objective("cross-entropy", "cross-entropy", "a linear classifier's map", unlabelled=False),
        _objective(
            "semi", "semi", "supervised contrastive, and InfoNCE on cells without a label", unlabelled=True
        ),
        _objective(
            "infonce",
            "infonce",
            "two views of a cell, no labels (van den Oord et al. 2018)",
            unlabelled=True,
            labels=False,
        ),
        _objective(
            "ridge",
            "ridge",
            "ridge from a gene's text to its loadings; no labels",
            unlabelled=True,
            labels=False,
        ),
    )
}
METHODS: dict[str, Method] = {**LEARNED, **ACROSS_PANELS, **BASELINES}


def resolve_methods(names: Sequence[str | Method] | None) -> tuple[Method, ...]:
    """Look methods up by name; all there are for None.

    Raises
    ------
    InputError
        There is none of that name, or one is given twice.
    """
    if names is None:
        return tuple(METHODS.values())
    methods = []
    for name in names:
        if isinstance(name, str) and name not in METHODS:
            msg = f"there is no method {name!r}; there are {', '.join(METHODS)}"
            raise InputError(msg)
        methods.append(METHODS[name] if isinstance(name, str) else name)
    called = [method.name for method in methods]
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        msg = f"the method {twice!r} is given twice; name each once"
        raise InputError(msg)
    return tuple(methods)
