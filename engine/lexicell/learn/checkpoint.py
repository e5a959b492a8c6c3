"""What a training needs to go on as if nothing had happened.

All randomness is a function of seed and step, so the step is the state of the generators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexicell.errors import InputError
from lexicell.learn._tensors import read_tensors, write_tensors

__all__ = ["TrainProgress", "read_checkpoint", "write_checkpoint"]

_KIND = "training checkpoint"


@dataclass
class TrainProgress:
    """How far a training is.

    Attributes
    ----------
    step
        Steps done.
    losses
        Of the steps since the last round.
    seen
        Cells seen.
    history
        See `lexicell.learn.settings.Trained`.
    best_step, best_loss
        The round whose weights are kept, and its validation loss; None before, or without validation.
    best
        Those weights.
    """

    step: int
    losses: list[float]
    seen: int
    history: list[dict[str, Any]]
    best_step: int
    best_loss: float | None
    best: dict[str, Tensor]


def write_checkpoint(
    path: Path,
    progress: TrainProgress,
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    run: Mapping[str, Any],
) -> None:
    """Replace a checkpoint by the present state; `run` says what is trained on what."""
    arrays: dict[str, NDArray[Any]] = {}
    for kind, tensors in (("model", model.state_dict()), ("best", progress.best)):
        arrays |= {f"{kind}.{name}": tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    for number, state in optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser.{number}.{name}": value.cpu().numpy() for name, value in state.items()}
    document = {
        "run": dict(run),
        "step": progress.step,
        "losses": progress.losses,
        "seen": progress.seen,
        "history": progress.history,
        "best_step": progress.best_step,
        "best_loss": progress.best_loss,
    }
    write_tensors(path, arrays, document, _KIND, overwrite=True)


def read_checkpoint(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, run: Mapping[str, Any]
) -> TrainProgress:
    """Set model and optimiser to a checkpoint.

    Raises
    ------
    InputError
        It is of another training; the message names what differs.
    CorruptDataError
        It was changed.
    """
    arrays, document = read_tensors(path, _KIND)
    saved = document.pop("run")
    differing = [name for name in run if saved.get(name) != run[name]]
    if differing:
        message = (
            f"{path} is the checkpoint of another training ({', '.join(differing)} differ"
            f"{'s' if len(differing) == 1 else ''}); name another file, or train with what it was begun with"
        )
        raise InputError(message)
    device = next(model.parameters()).device
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}}
    for name, array in arrays.items():
        kind, _, key = name.partition(".")
        parts[kind][key] = torch.from_numpy(np.array(array))
    model.load_state_dict(parts["model"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimiser"].items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    best = {name: tensor.to(device) for name, tensor in parts["best"].items()}
    return TrainProgress(**document, best=best)
