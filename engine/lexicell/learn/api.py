"""``lexicell.train``: from files to a projection."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell._files import check_new_folder, remove
from lexicell.counts import Values
from lexicell.embedding.align import DEFAULT_LEXICON, AlignOptions, align_cells
from lexicell.embedding.aligned import AlignedCells
from lexicell.embedding.events import Listener, Note, log
from lexicell.embedding.inputs import open_data, run_mode
from lexicell.embedding.labels import read_labels
from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError, OutputExistsError
from lexicell.learn._tensors import hash_arrays
from lexicell.learn.gene_atlas import atlas_likenesses, read_through, resolve_atlas
from lexicell.learn.judging import judge, one_thread
from lexicell.learn.objectives import DEFAULT_OBJECTIVE, FitResult, Objective, fit, resolve_objective
from lexicell.learn.settings import TrainSettings
from lexicell.learn.training_data import (
    Data,
    background_cells,
    choose_genes,
    read_batches,
    select_background,
    split_labelled,
    tell_small_classes,
)
from lexicell.lexicon import GeneAtlas, GeneList, Lexicon
from lexicell.projection import Projection

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["train"]


def train(
    data: Data,
    output: str | Path | None = None,
    *,
    label: str | None = None,
    objective: str = DEFAULT_OBJECTIVE,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    batch_key: str | None = None,
    background: Data | tuple[str, str] | None = None,
    alpha: float | None = None,
    atlas: str | Path | GeneAtlas = "bundled",
    through: str | Path | AnnData | None = None,
    top_k: int | None = None,
    n_top_genes: int | None = 4_000,
    dim: int | None = None,
    settings: TrainSettings | None = None,
    held_out: float = 0.2,
    seed: int = 0,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.5,
    mask_genes: Sequence[str] = (),
    genes: GeneList | None = None,
    listener: Listener = log,
) -> Projection:
    """Learn a projection from cells.

    Parameters
    ----------
    data
        See `lexicell.embed`; read twice, block by block.
    output
        Folder to write the projection to, or None.
    label
        Column of ``obs`` with the classes. Needed by objectives that learn from labels; with the others it
        gives a classifier and scores.
    objective
        ``"loadings"``, ``"bridge"``, ``"supcon"``, ``"infonce"``, ``"semi"``, ``"cross-entropy"``,
        ``"ridge"`` or ``"cpca"``; see `lexicell.learn.OBJECTIVES`.
    lexicon
        Bundled name, folder or opened lexicon.
    batch_key
        Column of ``obs`` with batches or donors, for the objectives that are trained in steps: cells are then
        told apart from cells of their own batch only.
    background
        Of "cpca": other cells, or a column of ``obs`` and the value that the background has there.
    alpha
        Of "cpca": how much the background counts; 1 by default.
    atlas
        Of "bridge": what unlabelled cells have told of genes, beside their texts; a file of
        ``lexicell genes learn``, "bundled" or "none".
    through
        Of "bridge": unlabelled cells that have measured the genes of both panels; ten are of use.
    top_k
        Genes per cell, the highest first; None for all that are used.
    n_top_genes
        The most variable genes, which are used; other genes of the data set are masked. None for all. Flavour
        "seurat" of scanpy's ``highly_variable_genes``.
    dim
        Dimensions; None for what the objective has by default.
    settings
        Of the objectives that are trained in steps; its objective is not used.
    held_out
        Share of the labelled cells, of each class, that nothing is learned from and scores are made with;
        classes of few cells give none. 0 for none at all.
    seed
        Of everything random.
    device
        Where to train: ``"auto"``, ``"cpu"`` or ``"cuda"``, in place of the settings'.
    checkpoint
        File that training can be continued from; by default `output` with ``.partial``, which is deleted
        at the end.
    resume
        Go on from the checkpoint, or begin where there is none.
    overwrite
        Replace a projection at `output`, and begin anew where there is a checkpoint beside it.
    layer, use_raw, modality, follow_links, values, gene_column, organism, min_coverage, mask_genes, genes
        See `lexicell.embed`.
    listener
        Called with notes and progress: cells read, then training steps.

    Returns
    -------
    Projection
        With the lexicon's identity, a card (data, classes, settings, versions, loss curve, scores on the
        held-out cells, seconds), and with labels a classifier. Where the loss was not finite, these are the
        last good weights, and ``card["stopped"]`` is "diverged"; the checkpoint is then kept.

    Raises
    ------
    InputError
        A column or an option is not there or does not fit, there is one class only, or the loss is not
        finite from the start.
    CountsError, CoverageError, CorruptDataError, OutputExistsError, WriteError
        As `lexicell.embed`.
    MissingExtraError
        The objective needs torch or scikit-learn.

    Examples
    --------
    >>> import lexicell
    >>> lexicell.train("pbmc.h5ad", "pbmc.map", label="cell_type")  # doctest: +SKIP
    >>> lexicell.embed("other.h5ad", "other.zarr", projection="pbmc.map")  # doctest: +SKIP
    """
    started = time.perf_counter()
    chosen = resolve_objective(objective)
    _check_options(chosen, label, top_k, n_top_genes, held_out)
    target = None if output is None else Path(output)
    checkpoint_path = _checkpoint(chosen, target, checkpoint, resume=resume, overwrite=overwrite)
    options = _options(chosen, dim, settings, device, alpha)
    _check_beside(chosen, atlas, through)
    if chosen.trained:
        import lexicell.learn.trainer  # noqa: F401 - a missing torch is an error before anything is read
    align_options = AlignOptions(
        lexicon=lexicon, values=values, gene_column=gene_column, organism=organism,
        min_coverage=min_coverage, mask_genes=mask_genes, genes=genes,
    )  # fmt: skip
    with ExitStack() as opened:
        source = opened.enter_context(
            open_data(data, layer, modality, use_raw=use_raw, follow_links=follow_links)
        )
        labels = None
        if label is not None:
            kept_as = "learned from as cells without a label" if chosen.keeps_unlabelled else "left out"
            labels = read_labels(source, label, listener, unlabelled=kept_as)
            tell_small_classes(labels, listener)
        if batch_key is not None:
            options["batches"] = read_batches(source, batch_key, chosen)
        background_mask = background_cells(source, background)
        aligned, masked = choose_genes(align_cells(source, align_options, listener), n_top_genes, listener)
        cells = aligned.select(top_k, listener=listener)
        if background_mask is None and background is not None:
            options["background"] = select_background(
                background, aligned, align_options, top_k, listener, follow_links=follow_links
            )
    if "beside" in chosen.options:
        options["beside"] = atlas_likenesses(resolve_atlas(atlas, aligned.lexicon))
        if through is not None:
            options["through"] = read_through(
                through, align_options, listener, follow_links=follow_links, seed=seed
            )
    vectors = aligned.lexicon.vectors(aligned.lexicon.rows).astype(np.float32)
    used, tested = split_labelled(cells, labels, chosen, background_mask, held_out, seed)
    if background_mask is not None:
        options["background"] = cells.take(np.flatnonzero(background_mask))
    if "batches" in options:
        options["batches"] = options["batches"][used]
    if checkpoint_path is not None:
        options |= {"checkpoint": checkpoint_path, "resume": resume}
    targets = None if labels is None else labels[used]
    limited = one_thread() if chosen.trained else nullcontext()
    with _keeping(checkpoint_path, listener), limited:
        model = fit(objective, cells.take(used), vectors, targets, seed=seed, listener=listener, **options)
    masks = [part for part in (model.projection.masked, masked) if part is not None]
    projection = replace(
        model.projection,
        masked=np.any(masks, axis=0) if masks else None,
        lexicon=aligned.lexicon.identity,
    )
    card = _card(chosen, model, aligned, cells, target, seed) | {"held_out": held_out}
    if labels is not None:
        with one_thread():
            judged = judge(projection, cells, vectors, labels, used, tested, options.get("batches"), seed)
        projection = replace(projection, classifier=judged.classifier)
        card |= {"label": label, "classes": _counts(labels), "scores": judged.scores}
    card |= {"seconds": round(time.perf_counter() - started, 2)}
    projection = replace(projection, card=json.loads(json.dumps(card)))  # as it will be read again
    if target is not None:
        projection.save(target, overwrite=overwrite)
    if checkpoint_path is not None and checkpoint is None and model.stopped != "diverged":
        remove(checkpoint_path)
    return projection


def _check_options(
    chosen: Objective, label: str | None, top_k: int | None, n_top_genes: int | None, held_out: float
) -> None:
    if chosen.needs_labels and label is None:
        message = f"{chosen.name} learns from labels: name a column of obs with --label, or choose another "
        raise InputError(message + "objective (--objective)")
    if chosen.all_genes and top_k is not None:
        message = f"{chosen.name} uses all chosen genes of a cell: choose them by --n-top-genes, not --top-k"
        raise InputError(message)
    if n_top_genes is not None and n_top_genes < 3:
        message = f"a projection is learned from three genes or more, not {n_top_genes}"
        raise InputError(message)
    if not 0 <= held_out < 1:
        message = f"the share of held-out cells is at least 0 and less than 1, not {held_out:g}"
        raise InputError(message)


def _check_beside(chosen: Objective, atlas: str | Path | GeneAtlas, through: object) -> None:
    if "beside" not in chosen.options and (through is not None or atlas not in ("bundled", "none")):
        message = f"{chosen.name} does not ask which genes are alike: --atlas and --through are of bridge"
        raise InputError(message)


def _options(
    chosen: Objective,
    dim: int | None,
    settings: TrainSettings | None,
    device: str | None,
    alpha: float | None,
) -> dict[str, Any]:
    """Options of the objective; one that it does not take is refused here, before anything is read."""
    options: dict[str, Any] = {}
    if chosen.trained:
        base = settings or TrainSettings()
        options["settings"] = replace(base, dim=dim or base.dim, device=device or base.device)
    elif settings is not None or device not in {None, "auto", "cpu"}:
        message = f"{chosen.name} is solved for, not trained: it has no steps, no rate and no device"
        raise InputError(message)
    elif dim is not None:
        if "n_components" not in chosen.options:
            message = f"{chosen.name} has one dimension for each class, so none can be chosen (--dim)"
            raise InputError(message)
        options["n_components"] = dim
    if alpha is not None:
        if "alpha" not in chosen.options:
            message = f"{chosen.name} has no background, so --alpha says nothing; it belongs to cpca"
            raise InputError(message)
        options["alpha"] = alpha
    return options


def _checkpoint(
    chosen: Objective, target: Path | None, checkpoint: str | Path | None, *, resume: bool, overwrite: bool
) -> Path | None:
    """Path of the checkpoint; raises now, not after the training, if the output exists."""
    run_mode(overwrite=overwrite, resume=resume)
    if target is not None:
        check_new_folder(target, "projection.json", "projection", overwrite=overwrite)
    if not chosen.trained:
        if resume or checkpoint is not None:
            message = (
                f"{chosen.name} is solved for at once: there is nothing to go on with, and no checkpoint"
            )
            raise InputError(message)
        return None
    if checkpoint is not None:
        return Path(checkpoint)
    if target is None:
        if resume:
            message = "there is nothing to go on with: name the output, or the checkpoint"
            raise InputError(message)
        return None
    beside = target.with_name(f"{target.name}.partial")
    if beside.exists() and not resume:
        if not overwrite:
            message = f"{beside} is a training that was interrupted; go on with --resume, or give --overwrite"
            raise OutputExistsError(message)
        remove(beside)
    return beside


@contextmanager
def _keeping(checkpoint: Path | None, listener: Listener) -> Iterator[None]:
    """Say what an interrupt leaves."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint is not None and checkpoint.exists():
            listener(Note(f"{checkpoint} is kept: go on with --resume", serious=True))
        raise


def _counts(labels: NDArray[np.object_]) -> dict[str, int]:
    names, counts = np.unique(labels[labels != ""].astype(str), return_counts=True)
    return {str(name): int(n) for name, n in zip(names, counts, strict=True)}


def _card(
    chosen: Objective,
    result: FitResult,
    aligned: AlignedCells,
    cells: SelectedCells,
    target: Path | None,
    seed: int,
) -> dict[str, Any]:
    """What people should know, as plain JSON."""
    packages = ["lexicell", "numpy", "scipy", *(["torch"] if chosen.trained else [])]
    counts = {"genes": cells.genes, "counts": cells.counts, "indptr": cells.indptr, "totals": cells.totals}
    return {
        "name": chosen.name if target is None else target.name,
        "objective": chosen.name,
        "data": Path(aligned.source.label).name,
        "fingerprint": hash_arrays(counts),
        "cells": len(cells),
        "genes": len(aligned.genes.rows),
        "lexicon": aligned.lexicon.name,
        "settings": result.settings,
        "seed": seed,
        "versions": {name: version(name) for name in packages},
        "stopped": result.stopped,
        "step": result.step,
        "loss_curve": list(result.history),
    }
