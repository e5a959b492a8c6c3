"""Steps of contrastive training (SupCon) on a GPU, beside the CPU's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.gpu.cells import random_table, synthetic
from bench.gpu.engine import K, missing
from bench.gpu.sizes import Sizes
from bench.gpu.steps import Clock, Outcome
from lexicell_kernels import Weight, select_topk

if TYPE_CHECKING:
    from lexicell.embedding import SelectedCells

__all__ = ["NEEDED", "run_training", "supcon"]

#: Modules that are looked for before the step begins.
NEEDED = ("torch", "lexicell.learn.trainer")
#: Dimensions of the map and of whitened vectors, as they are by default.
DIM = 128
_CLASSES = 12
_WARM = 3  # steps that do not count
_CPU_STEPS = 4
_TOLERANCE = 0.02  # of the loss of a first step; draws are the same, sums are not


def supcon(sizes: Sizes) -> Callable[[Clock], Outcome]:
    """Time steps of training; the loss of the first one is the CPU's."""

    def step(clock: Clock) -> Outcome:
        lacking = missing(NEEDED)
        if lacking:
            return Outcome(missing=lacking)
        import torch

        cells, vectors, labels = _cells(sizes)
        devices = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
        outcome = run_training(cells, vectors, labels, devices, sizes, clock)
        if devices == ["cpu"]:
            outcome.missing = "torch finds no GPU; these are steps of the CPU"
        return outcome

    return step


def run_training(
    cells: SelectedCells, vectors: Any, labels: Any, devices: list[str], sizes: Sizes, clock: Clock
) -> Outcome:
    """Time all batches on all devices.

    Parameters
    ----------
    cells, vectors, labels
        See `lexicell.learn.trainer.train`.
    devices
        The last one is what the others are held against.
    sizes
        Batches, and how many steps of each.
    clock
        When to stop.
    """
    outcome = Outcome({"cells": len(cells), "k": K, "dim": DIM, "rows": {}})
    for batch in sizes.train_batches:
        losses = {}
        for device in devices:
            for mixed in (False, True) if device == "cuda" else (False,):
                if clock():
                    outcome.complete = False
                    return outcome
                steps = sizes.train_steps if device == "cuda" else min(_CPU_STEPS, sizes.train_steps)
                name = f"batch {batch}, {device}{', bfloat16' if mixed else ''}"
                row = _timed(cells, vectors, labels, batch, steps, device, mixed=mixed)
                outcome.details["rows"][name] = row
                print(f"   {row['steps_per_s']:10.1f} steps/s  {name}", flush=True)
                if not mixed:
                    losses[device] = row["first_loss"]
        for device, loss in losses.items():
            if not abs(loss / losses[devices[-1]] - 1) <= _TOLERANCE:
                outcome.problems.append(
                    f"batch {batch}: the first loss is {loss:.4f} on {device}, "
                    f"{losses[devices[-1]]:.4f} on {devices[-1]}"
                )
    return outcome


def _timed(
    cells: SelectedCells, vectors: Any, labels: Any, batch: int, steps: int, device: str, *, mixed: bool
) -> dict[str, Any]:
    """Train for some steps; the times between them are their own, without set-up."""
    from lexicell.embedding.events import Advanced, Event
    from lexicell.learn.settings import TrainSettings
    from lexicell.learn.trainer import train

    at: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, Advanced):  # a step reads its loss, so the GPU is done with it
            at.append(time.perf_counter())

    settings = TrainSettings(
        dim=DIM, batch=batch, steps=_WARM + steps, round=1, validation=0.0, patience=10**6, device=device,
        mixed=mixed,
    )  # fmt: skip
    trained = train(cells, vectors, labels, settings=settings, listener=listen)
    seconds = np.diff(at)[_WARM - 1 :]
    return {
        "batch": batch,
        "steps": len(seconds),
        "seconds": [round(s, 5) for s in seconds.tolist()],
        "steps_per_s": round(1 / float(np.median(seconds)), 2),
        "cells_per_s": round(batch / float(np.median(seconds))),
        "first_loss": trained.history[0]["loss"],
    }


def _cells(sizes: Sizes) -> tuple[SelectedCells, Any, Any]:
    """Synthetic cells, vectors and classes at random: they cost as much as others."""
    from lexicell.embedding.selected import SelectedCells, Selection

    block, described = synthetic(sizes.train_cells)
    table = random_table(described, DIM, "float32", in_order=True)
    picks = select_topk(block, table, k=K, device="cuda")  # the CPU's kernel would be compiled first
    there = picks.genes >= 0
    indptr = np.concatenate([[0], np.cumsum(picks.n_genes, dtype=np.int64)])
    genes, counts, scores = picks.genes[there], picks.counts[there], picks.scores[there]
    selection = Selection(0, genes, counts, scores, indptr, picks.totals)
    cells = SelectedCells.of([selection], table.n_genes, lexicon="", top_k=K, weight=Weight.LOG1P)
    labels = np.random.default_rng(0).integers(0, _CLASSES, len(cells)).astype(str)
    return cells, table.vectors * np.float32(np.sqrt(DIM)), labels
