"""How a map is trained, and what training gives; plain values and NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.learn.augment import Views

__all__ = ["HeadLayer", "Stopped", "TrainSettings", "Trained", "TrainedObjective"]

TrainedObjective = Literal["supcon", "infonce", "semi", "cross-entropy"]
#: Why training ended: all steps done, no progress on the validation cells, or a loss that is not finite.
Stopped = Literal["finished", "early", "diverged"]


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the result, besides cells, vectors, labels and seed.

    Attributes
    ----------
    objective
        ``"supcon"``: cells of a label attract each other. ``"infonce"``: two views of a cell do, without
        labels. ``"semi"``: both. ``"cross-entropy"``: a linear classifier on the vectors.
    dim
        ``p``, dimensions before the head.
    temperature
        Of the similarities, or of the classifier's logits.
    views
        How views are drawn; supervised objectives use two views where they vary, else the cells as they are.
    self_weight
        Weight of InfoNCE in "semi", SupCon having 1.
    unlabelled
        Share of a batch without labels in "semi".
    learn_genes
        Whether each gene's weight ``a_g`` is learned.
    residual_rank
        ``r`` of the low-rank residual per gene, 0 for none.
    head
        Widths of layers after pooling; GELU before each layer but the first, and after none. Empty for a map
        that is linear.
    batch
        Cells of a step.
    balance
        See `lexicell.learn.batches.Sampler`.
    steps
        Steps in all.
    rate, warmup
        Highest learning rate, reached after this share of the steps; then a cosine to 0.
    decay
        Weight decay (AdamW) of the map and the head.
    gene_decay
        Of ``log a_g`` and of the residual, both towards doing nothing.
    clip
        Largest norm of the gradient.
    round
        Steps between looks at the validation cells, each an entry of the history.
    validation
        Share of the cells, by class, that is not trained on; classes of few cells give none.
    patience
        Rounds without a better validation loss before training stops.
    checkpoint_every
        Steps between checkpoints.
    device
        ``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``.
    mixed
        Whether a GPU multiplies in bfloat16.
    """

    objective: TrainedObjective = "supcon"
    dim: int = 128
    temperature: float = 0.1
    views: Views = field(default_factory=Views)
    self_weight: float = 0.5
    unlabelled: float = 0.5
    learn_genes: bool = True
    residual_rank: int = 0
    head: tuple[int, ...] = ()
    batch: int = 256
    balance: float = 1.0
    steps: int = 200
    rate: float = 3e-3
    warmup: float = 0.1
    decay: float = 1e-2
    gene_decay: float = 1e-1
    clip: float = 1.0
    round: int = 10
    validation: float = 0.1
    patience: int = 5
    checkpoint_every: int = 50
    device: str = "auto"
    mixed: bool = True

    def __post_init__(self) -> None:
        if self.objective not in get_args(TrainedObjective):
            message = (
                f"the objective is one of {', '.join(get_args(TrainedObjective))}, not {self.objective!r}"
            )
            raise InputError(message)
        if self.device not in {"auto", "cpu", "cuda"}:
            message = f"the device is one of auto, cpu, cuda, not {self.device!r}"
            raise InputError(message)
        for name in ("dim", "batch", "steps", "round", "patience", "checkpoint_every"):
            if getattr(self, name) < 1:
                message = f"{name} must be at least 1, not {getattr(self, name)}"
                raise InputError(message)
        for name in ("temperature", "rate", "clip"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                message = f"{name} must be larger than 0, not {getattr(self, name):g}"
                raise InputError(message)
        for name in ("unlabelled", "warmup", "validation"):
            if not 0 <= getattr(self, name) < 1:
                message = f"{name} must be at least 0 and less than 1, not {getattr(self, name):g}"
                raise InputError(message)
        if self.residual_rank < 0 or any(width < 1 for width in self.head):
            message = "the residual's rank is at least 0, and the widths of the head's layers at least 1"
            raise InputError(message)
        if self.objective in {"infonce", "semi"} and not self.views.vary:
            message = f"{self.objective} needs views that differ: thin counts, drop genes or split panels"
            raise InputError(message)


@dataclass(frozen=True)
class HeadLayer:
    """``activation(weight @ z + bias)``: ``[q, p]``, ``[q]`` float32 and "gelu" or "none"."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: Literal["gelu", "none"]


@dataclass(frozen=True)
class Trained:
    """A learned map ``z = normalise(head(sum_g w_g a_g (W e_g + c + r_g) / sum_g w_g + b))``.

    Attributes
    ----------
    weight, bias, offset
        ``W`` ``[p, d]``, ``b`` ``[p]`` and ``c`` ``[p]``, float32, for the vectors that were given.
    gene_scale
        ``a``, ``[G]`` float32 by lexicon row; genes that no cell has keep what they were given, or 1.
    residual_rows, residual_coefficients, residual_basis
        ``r = coefficients @ basis`` of the genes in ``rows``: int32 ``[m]``, float32 ``[m, r]`` and
        ``[r, p]``; None without residual.
    head
        Layers after pooling.
    classes, class_weight, class_bias
        Labels in order, and for "cross-entropy" the classifier ``[C, q]``, ``[C]`` of unit vectors, the
        temperature within; else None.
    history
        One entry a round: ``step``, ``epochs`` (cells seen over cells trained on), ``rate``, ``loss`` (mean
        of the round) and ``validation`` (None where no cells are held out).
    step
        The step whose weights these are.
    stopped
        Why training ended.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    offset: NDArray[np.float32]
    gene_scale: NDArray[np.float32]
    residual_rows: NDArray[np.int32] | None
    residual_coefficients: NDArray[np.float32] | None
    residual_basis: NDArray[np.float32] | None
    head: tuple[HeadLayer, ...]
    classes: tuple[str, ...]
    class_weight: NDArray[np.float32] | None
    class_bias: NDArray[np.float32] | None
    history: tuple[dict[str, Any], ...]
    step: int
    stopped: Stopped
