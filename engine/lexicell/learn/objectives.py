"""What a projection can be learned for, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding.events import Listener, ignore
from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError
from lexicell.learn.closed_form import fit_contrastive_pca, fit_ridge
from lexicell.learn.settings import Stopped, Trained, TrainedObjective, TrainSettings
from lexicell.projection import HeadLayer, Pooling, Projection, Residual
from lexicell.projection.whitening import Whitening, fit_whitening

__all__ = ["DEFAULT_OBJECTIVE", "OBJECTIVES", "FitResult", "Objective", "fit", "resolve_objective"]

DEFAULT_OBJECTIVE = "loadings"
#: Principal components of the genes' vectors that are trained on: the others are noise, and slow.
_WHITENED = 128


@dataclass(frozen=True, eq=False)
class FitResult:
    """What an objective gives.

    Attributes
    ----------
    projection
        Without lexicon, card and classifier.
    settings
        What decided it, as plain JSON.
    history
        One entry a round; see `lexicell.learn.settings.Trained`. Empty where nothing was trained.
    step
        The step whose weights these are, the best on the validation cells; 0 where nothing was trained.
    stopped
        Why training ended.
    """

    projection: Projection
    settings: dict[str, Any]
    history: tuple[dict[str, Any], ...] = ()
    step: int = 0
    stopped: Stopped = "finished"


@dataclass(frozen=True)
class Objective:
    """A way to learn a projection.

    Attributes
    ----------
    name
        What people call it.
    run
        ``(cells, vectors, labels, *, seed, listener, **options) -> FitResult``.
    options
        Names of the options that it takes.
    needs_labels
        Whether it can't do without.
    keeps_unlabelled
        Whether it also learns from cells without a label.
    about
        A few words.
    all_genes
        Whether it needs all genes of a cell, and not the highest ones only.
    """

    name: str
    run: Callable[..., FitResult]
    options: frozenset[str]
    needs_labels: bool
    keeps_unlabelled: bool
    about: str
    all_genes: bool = False

    @property
    def trained(self) -> bool:
        """Whether it is trained in steps, with torch."""
        return "checkpoint" in self.options


def fit(
    objective: str,
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    labels: NDArray[Any] | None = None,
    *,
    seed: int = 0,
    listener: Listener = ignore,
    **options: Any,
) -> FitResult:
    """Learn a projection from ranked cells.

    Parameters
    ----------
    objective
        Its name.
    cells
        ``N`` cells.
    vectors
        ``[G, d]`` float32 by lexicon row.
    labels
        ``[N]`` names; empty or missing where there is none.
    seed
        Of everything random.
    listener
        Called with notes and progress.
    **options
        Of the objective; see `OBJECTIVES`, `lexicell.learn.trainer.train` for those that are trained, and
        the functions of `lexicell.learn.closed_form`, ``bridge`` and ``loadings``.

    Returns
    -------
    FitResult
        A projection for these vectors.

    Raises
    ------
    InputError
        There is no such objective, it lacks labels, does not take an option, or something does not fit.
    MissingExtraError
        It needs torch or scikit-learn.
    """
    chosen = resolve_objective(objective)
    if labels is None and chosen.needs_labels:
        message = f"{objective} learns from labels; name their column, or choose an objective without"
        raise InputError(message)
    if unknown := sorted(set(options) - chosen.options):
        takes = ", ".join(sorted(chosen.options)) or "no options"
        message = f"the objective {objective} takes no {unknown[0]}; it takes {takes}"
        raise InputError(message)
    return chosen.run(cells, vectors, labels, seed=seed, listener=listener, **options)


def resolve_objective(name: str) -> Objective:
    """Look an objective up; InputError lists what there is."""
    if name not in OBJECTIVES:
        message = f"there is no objective {name!r}; there are {', '.join(OBJECTIVES)}"
        raise InputError(message)
    return OBJECTIVES[name]


def _train(loss: TrainedObjective) -> Callable[..., FitResult]:
    def run(
        cells: SelectedCells,
        vectors: NDArray[np.float32],
        labels: NDArray[Any] | None,
        *,
        settings: TrainSettings | None = None,
        **options: Any,
    ) -> FitResult:
        from lexicell.learn.trainer import train

        used = replace(settings or TrainSettings(), objective=loss)
        whitening = fit_whitening(vectors[cells.used], components=min(_WHITENED, vectors.shape[1]))
        trained = train(cells, whitening.apply(vectors), labels, settings=used, **options)
        projection = _folded(trained, whitening, cells)
        return FitResult(projection, asdict(used), trained.history, trained.step, trained.stopped)

    return run


def _folded(trained: Trained, whitening: Whitening, cells: SelectedCells) -> Projection:
    """Make a projection of the vectors themselves from a map of whitened ones."""
    weight, offset = whitening.compose(trained.weight, trained.offset)
    residual = None
    if trained.residual_rows is not None:
        rows, coefficients = trained.residual_rows, cast("NDArray[Any]", trained.residual_coefficients)
        residual = Residual(rows, coefficients, cast("NDArray[Any]", trained.residual_basis))
    return Projection(
        weight,
        trained.bias,
        gene_scale=trained.gene_scale,
        offset=offset,
        residual=residual,
        head=tuple(HeadLayer(layer.weight, layer.bias, layer.activation) for layer in trained.head),
        pooling=Pooling(cells.top_k, cells.weight),
    )


def _contrastive_pca(
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    labels: NDArray[Any] | None,  # noqa: ARG001 - as all objectives
    *,
    background: SelectedCells | None = None,
    seed: int,  # noqa: ARG001
    listener: Listener,  # noqa: ARG001
    **options: Any,
) -> FitResult:
    if background is None:
        message = "cpca compares cells with a background; name another file, or a column of obs and a value"
        raise InputError(message)
    projection = fit_contrastive_pca(cells, vectors, background, **options)
    return FitResult(projection, {"background_cells": len(background), **options})


def _ridge(
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    labels: NDArray[Any] | None,  # noqa: ARG001 - as all objectives
    *,
    seed: int,
    listener: Listener,  # noqa: ARG001
    **options: Any,
) -> FitResult:
    return FitResult(fit_ridge(cells, vectors, seed=seed, **options), dict(options))


def _bridge(
    cells: SelectedCells, vectors: NDArray[np.float32], labels: NDArray[Any] | None, **options: Any
) -> FitResult:
    from lexicell.learn.bridge import fit_bridge

    given = {name: options[name] for name in ("beside", "through") if options.get(name)}
    names = {name: [like.name for like in np.atleast_1d(likes)] for name, likes in given.items()}
    settings = _plain({name: value for name, value in options.items() if name not in {*given, "genes"}})
    return FitResult(fit_bridge(cells, vectors, labels, **options).projection, settings | names)


def _loadings(
    cells: SelectedCells, vectors: NDArray[np.float32], labels: NDArray[Any] | None, **options: Any
) -> FitResult:
    from lexicell.learn.loadings import fit_loadings

    return FitResult(fit_loadings(cells, vectors, labels, **options), _plain(options))


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in {"seed", "listener"}}


_STEPS = frozenset({"batches", "settings", "checkpoint", "resume"})
OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(
            "loadings",
            _loadings,
            frozenset({"n_components", "n_genes"}),
            needs_labels=False,
            keeps_unlabelled=True,
            about="components of expression, turned to the labels where there are any",
            all_genes=True,
        ),
        Objective(
            "bridge",
            _bridge,
            frozenset({"gamma", "ridge", "beside", "through", "genes"}),
            needs_labels=True,
            keeps_unlabelled=False,
            about="from a gene's text to what it tells about the labels, for panels of other genes",
            all_genes=True,
        ),
        Objective(
            "supcon",
            _train("supcon"),
            _STEPS,
            needs_labels=True,
            keeps_unlabelled=False,
            about="cells of a label attract each other",
        ),
        Objective(
            "infonce",
            _train("infonce"),
            _STEPS,
            needs_labels=False,
            keeps_unlabelled=True,
            about="two views of a cell attract each other",
        ),
        Objective(
            "semi", _train("semi"), _STEPS, needs_labels=True, keeps_unlabelled=True, about="both of these"
        ),
        Objective(
            "cross-entropy",
            _train("cross-entropy"),
            _STEPS,
            needs_labels=True,
            keeps_unlabelled=False,
            about="a linear classifier on the vectors",
        ),
        Objective(
            "ridge",
            _ridge,
            frozenset({"n_components", "penalty"}),
            needs_labels=False,
            keeps_unlabelled=True,
            about="from a gene's text to its loadings on components of expression",
        ),
        Objective(
            "cpca",
            _contrastive_pca,
            frozenset({"n_components", "alpha", "background"}),
            needs_labels=False,
            keeps_unlabelled=True,
            about="directions in which cells vary and a background does not",
        ),
    )
}
