"""Train a map from ranked cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding.events import Advanced, Listener, Note, ignore
from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError, OutputExistsError, needing
from lexicell.learn._tensors import hash_arrays
from lexicell.learn.augment import draw_views
from lexicell.learn.batches import Sampler, split_cells
from lexicell.learn.settings import Stopped, Trained, TrainSettings

with needing("train", "Training"):
    import torch

from lexicell.learn.checkpoint import TrainProgress, read_checkpoint, write_checkpoint
from lexicell.learn.losses import info_nce, supervised_contrastive
from lexicell.learn.model import Bags, CellModel, array

__all__ = ["train"]

#: Cells that a validation loss looks at.
_MOST_VALIDATED = 2048
#: What generators are seeded with beside the user's seed.
_SPLIT, _STEP, _VALIDATE = 1, 2, 3


def train(
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    labels: NDArray[Any] | None = None,
    *,
    batches: NDArray[Any] | None = None,
    settings: TrainSettings | None = None,
    seed: int = 0,
    weight: NDArray[np.float32] | None = None,
    gene_scale: NDArray[np.float32] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    listener: Listener = ignore,
) -> Trained:
    """Train a map.

    Parameters
    ----------
    cells
        ``N`` cells; those without genes are left out.
    vectors
        ``[G, d]`` float32 by lexicon row.
    labels
        ``[N]`` names; empty or missing where there is none. Not needed for "infonce".
    batches
        ``[N]`` batch or donor: cells are told apart from cells of their own batch only.
    settings
        By default `TrainSettings`.
    seed
        Of everything random: the same seed on the same CPU with as many threads gives the same bits.
    weight
        ``[p, d]`` to start from; by default a random orthogonal map.
    gene_scale
        ``[G]`` factors > 0 that ``a`` starts from, and stays at where genes are not learned.
    checkpoint
        A file that is written now and then, to go on from with `resume`.
    resume
        Go on from `checkpoint`, or begin where it does not exist; the result is that of one run.
    listener
        Called with notes and progress (steps done, as `Advanced`).

    Returns
    -------
    Trained
        Weights of the best round on the validation cells, or of the last where there are none. Where the loss
        is no longer finite, training stops, says so in a serious note, and returns the best (or last) round
        so far.

    Raises
    ------
    InputError
        Arrays or settings do not fit, fewer than two classes are labelled, there is no such GPU, the loss is
        not finite in the first round, or `checkpoint` is of another training.
    OutputExistsError
        There is a `checkpoint`, and `resume` is not set.
    CorruptDataError
        `checkpoint` was changed.
    """
    with _one_thread():
        run = _Training(
            cells, vectors, labels, batches, settings or TrainSettings(), seed, weight, gene_scale, listener
        )
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None and path.exists() and not resume:
            message = f"{path} exists; go on from it with resume, or name another file"
            raise OutputExistsError(message)
        if path is not None and path.exists():
            run.resume(path)
        return run.finish(run.loop(path))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread: steps are small, and threads that wait for each other cost more.

    On two busy cores two threads took 5 to 15 times as long, and so bits don't depend on the number of CPUs.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class _Training:
    """One training: its cells, its model and how far it is."""

    def __init__(
        self,
        cells: SelectedCells,
        vectors: NDArray[np.float32],
        labels: NDArray[Any] | None,
        batches: NDArray[Any] | None,
        settings: TrainSettings,
        seed: int,
        weight: NDArray[np.float32] | None,
        gene_scale: NDArray[np.float32] | None,
        listener: Listener,
    ) -> None:
        self.cells, self.settings, self.seed, self.listener = cells, settings, seed, listener
        _check(cells, vectors, labels, batches, settings, weight, gene_scale)
        self.device = _device(settings.device)
        self.codes, self.classes = _codes(labels, len(cells), settings)
        self.batches = None if batches is None else pd.factorize(np.asarray(batches))[0].astype(np.int64)
        self.used = cells.used
        self.place = np.zeros(cells.n_lexicon, np.int64)
        self.place[self.used] = np.arange(len(self.used))
        self.gene_scale = np.ones(cells.n_lexicon, np.float32) if gene_scale is None else gene_scale
        self.model = CellModel(
            vectors[self.used],
            settings,
            n_classes=len(self.classes) if settings.objective == "cross-entropy" else 0,
            seed=seed,
            weight=weight,
            gene_scale=self.gene_scale[self.used],
        ).to(self.device)
        self.optimiser = torch.optim.AdamW(self.model.groups(settings), lr=settings.rate)
        self.hashed = {
            "cells": cells.genes, "counts": cells.counts, "vectors": vectors[self.used], "codes": self.codes,
            **({} if self.batches is None else {"batches": self.batches}),
            **({} if weight is None else {"weight": weight}),
            "gene_scale": self.gene_scale,
        }  # fmt: skip
        self._split()
        self.progress = TrainProgress(0, [], 0, [], 0, None, {})

    def _split(self) -> None:
        """Choose the cells to train on, and those to validate on."""
        settings = self.settings
        full = self.cells.sizes > 0
        if settings.objective in {"supcon", "cross-entropy"}:
            full &= self.codes >= 0
        usable = np.flatnonzero(full)
        if len(np.unique(self.codes[usable])) < 2 and settings.objective != "infonce":
            message = (
                "fewer than two classes have labelled cells with described genes; nothing can be told apart"
            )
            raise InputError(message)
        if len(usable) < 2:
            message = "training needs two cells or more with described genes"
            raise InputError(message)
        codes = np.full_like(self.codes, -1) if settings.objective == "infonce" else self.codes
        rng = np.random.default_rng([self.seed, _SPLIT])
        self.trained, held_out = split_cells(codes, usable, settings.validation, rng)
        share = settings.unlabelled if settings.objective == "semi" else 0.0
        self.sampler = Sampler(codes, self.trained, settings.batch, settings.balance, share)
        self.validated = None
        if len(held_out):
            size = min(len(held_out), _MOST_VALIDATED)
            self.validated = Sampler(codes, held_out, size, settings.balance, share).draw(rng)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        self.progress = read_checkpoint(path, self.model, self.optimiser, self._identity())

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint belongs to."""
        settings = asdict(self.settings)
        settings["views"]["thinning"] = list(settings["views"]["thinning"])
        settings["head"] = list(settings["head"])
        return {"data": hash_arrays(self.hashed), "seed": self.seed, **settings, "device": self.device.type}

    def loop(self, path: Path | None) -> Stopped:
        """Do the steps that are left."""
        settings, progress = self.settings, self.progress
        identity = {} if path is None else self._identity()
        while progress.step < settings.steps and not self._stale():
            loss = self._step(progress.step)
            if loss is None:
                return self._diverged(path)
            progress.step += 1
            progress.losses.append(loss)
            last = progress.step == settings.steps
            if (progress.step % settings.round == 0 or last) and not self._round():
                return self._diverged(path)
            if path is not None and (progress.step % settings.checkpoint_every == 0 or last or self._stale()):
                write_checkpoint(path, progress, self.model, self.optimiser, identity)
            self.listener(Advanced(progress.step, settings.steps))
        return "finished" if progress.step == settings.steps else "early"

    def _stale(self) -> bool:
        """Whether the validation loss has not become better for long enough."""
        progress, settings = self.progress, self.settings
        waited = progress.step - progress.best_step
        return progress.best_loss is not None and waited >= settings.patience * settings.round

    def _step(self, step: int) -> float | None:
        """Do one step; None where it would not be finite, the weights being as before."""
        rng = np.random.default_rng([self.seed, _STEP, step])
        chosen = self.sampler.draw(rng)
        self.progress.seen += len(chosen)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(step)
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss(chosen, rng)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            return None
        self.optimiser.step()
        return value

    def _rate(self, step: int) -> float:
        """Learning rate: rising linearly, then a cosine."""
        settings = self.settings
        rising = max(1, round(settings.warmup * settings.steps))
        if step < rising:
            return settings.rate * (step + 1) / rising
        done = (step - rising) / max(1, settings.steps - rising)
        return settings.rate * 0.5 * (1 + math.cos(math.pi * done))

    def _loss(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> torch.Tensor:
        settings = self.settings
        n_views = 2 if settings.views.vary else 1
        views = draw_views(self.cells.take(chosen), settings.views, n_views, rng)
        # Nothing can be said of a cell that a view leaves without genes.
        nonempty = np.flatnonzero(np.all([view.sizes > 0 for view in views], axis=0))
        if len(nonempty) < len(chosen):
            chosen, views = chosen[nonempty], [view.take(nonempty) for view in views]
        codes = torch.from_numpy(self.codes[chosen]).to(self.device)
        batches = None if self.batches is None else torch.from_numpy(self.batches[chosen]).to(self.device)
        autocast = settings.mixed and self.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if autocast else nullcontext():
            z = [self.model(Bags.of(view, self.place, self.device)) for view in views]
        if settings.objective == "cross-entropy":
            logits = self.model.logits(torch.cat(z))
            entropy: torch.Tensor = torch.nn.functional.cross_entropy(logits, codes.repeat(n_views))
            return entropy
        loss: torch.Tensor = z[0].new_zeros(())
        if settings.objective != "infonce":
            labelled = codes >= 0
            loss = supervised_contrastive(
                torch.cat([part[labelled] for part in z]),
                codes[labelled].repeat(n_views),
                settings.temperature,
                None if batches is None else batches[labelled].repeat(n_views),
            )
        if settings.objective != "supcon":
            view_loss = info_nce(z[0], z[1], settings.temperature, batches)
            loss = loss + view_loss * (settings.self_weight if settings.objective == "semi" else 1.0)
        return loss

    def _round(self) -> bool:
        """Write the history, and keep the weights if they are the best; whether all is finite."""
        progress, validation = self.progress, None
        if self.validated is not None:
            self.model.eval()
            with torch.no_grad():
                rng = np.random.default_rng([self.seed, _VALIDATE])  # the same views each time
                validation = float(self._loss(self.validated, rng))
            if not math.isfinite(validation):
                return False
        progress.history.append(
            {
                "step": progress.step,
                "epochs": round(progress.seen / len(self.trained), 3),
                "rate": self._rate(progress.step - 1),
                "loss": float(np.mean(progress.losses)),
                "validation": validation,
            }
        )
        progress.losses.clear()
        if validation is None or progress.best_loss is None or validation < progress.best_loss:
            progress.best_step, progress.best_loss = progress.step, validation
            progress.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        return True

    def _diverged(self, path: Path | None) -> Stopped:
        progress = self.progress
        fault = f"the loss is not finite at step {progress.step + 1}"
        if not progress.best:
            message = f"{fault}, before the first round was complete; choose a lower learning rate"
            raise InputError(message)
        saved = "" if path is None or not path.exists() else f" ({path} holds the last checkpoint)"
        text = f"{fault}: training stops with the weights of step {progress.best_step}{saved}; lower the rate"
        self.listener(Note(text, serious=True))
        return "diverged"

    def finish(self, stopped: Stopped) -> Trained:
        """Return the weights that were kept."""
        model, progress = self.model, self.progress
        model.load_state_dict(progress.best)
        gene_scale = self.gene_scale.copy()
        gene_scale[self.used] *= array(model.gene.exp())
        residual = model.coefficients is not None
        temperature = self.settings.temperature
        return Trained(
            array(model.weight),
            array(model.bias),
            array(model.offset),
            gene_scale,
            self.used if residual else None,
            None if model.coefficients is None else array(model.coefficients),
            None if model.basis is None else array(model.basis),
            model.head_layers(),
            self.classes,
            None if model.classifier is None else array(model.classifier.weight / temperature),
            None if model.classifier is None else array(model.classifier.bias / temperature),
            tuple(progress.history),
            progress.best_step,
            stopped,
        )


def _codes(
    labels: NDArray[Any] | None, n: int, settings: TrainSettings
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the classes in sorted order; -1 where there is no label."""
    if labels is None or settings.objective == "infonce":
        return np.full(n, -1), ()
    column = pd.Series(np.asarray(labels, object))
    names = column.where(column.notna() & (column.astype(str) != ""), None)
    codes, classes = pd.factorize(names, sort=True)
    return codes.astype(np.int64), tuple(map(str, classes))


def _check(
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    labels: NDArray[Any] | None,
    batches: NDArray[Any] | None,
    settings: TrainSettings,
    weight: NDArray[np.float32] | None,
    gene_scale: NDArray[np.float32] | None,
) -> None:
    """Raise InputError where something does not fit."""
    if labels is None and settings.objective != "infonce":
        message = f"{settings.objective} needs labels; infonce does without"
        raise InputError(message)
    expected = {
        "vectors": (vectors, (cells.n_lexicon, vectors.shape[-1])),
        "labels": (labels, (len(cells),)),
        "batches": (batches, (len(cells),)),
        "weight": (weight, (settings.dim, vectors.shape[-1])),
        "gene_scale": (gene_scale, (cells.n_lexicon,)),
    }
    for name, (values, shape) in expected.items():
        if values is not None and values.shape != shape:
            message = f"{name} has the shape {values.shape}, and {shape} is needed"
            raise InputError(message)
    for name in ("vectors", "weight", "gene_scale"):
        numbers = expected[name][0]
        if numbers is not None and not np.isfinite(numbers).all():
            message = f"{name} is not finite"
            raise InputError(message)
    if gene_scale is not None and not (gene_scale > 0).all():
        message = "gene weights must be larger than 0; leave genes out by masking them"
        raise InputError(message)


def _device(device: str) -> torch.device:
    if device == "cuda" and not torch.cuda.is_available():
        message = "torch finds no GPU; use device cpu, or install a build of torch for CUDA"
        raise InputError(message)
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
