"""Text encoders: texts in, unit vectors out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lexicell.lexicon.manifest import EncoderInfo, LongText, Precision

__all__ = ["BatchCallback", "Encoder", "EncoderOptions", "ProgressCallback"]


class ProgressCallback(Protocol):
    """What long work calls now and then, from the thread that does it."""

    def __call__(self, done: int, total: int) -> None:
        """Take note that `done` of `total` texts are encoded."""


class BatchCallback(Protocol):
    """What an encoder calls after each batch, from the thread that called it."""

    def __call__(self, positions: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Take the vectors, float32 ``[b, d]``, of the texts at `positions`; each position comes once."""


@runtime_checkable
class Encoder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def info(self) -> EncoderInfo:
        """What a manifest says about it."""
        ...

    @property
    def cache_key(self) -> str:
        """Equal for encoders that give the same vectors, which are kept by it; "" keeps none."""
        ...

    def encode(self, texts: Sequence[str], on_batch: BatchCallback | None = None) -> NDArray[np.float32]:
        """Vectors of `texts`, float32 ``[n, d]``, in their order; each depends on its own text alone."""
        ...


@dataclass(frozen=True)
class EncoderOptions:
    """How a text encoder is run.

    Attributes
    ----------
    folder
        Folder with the model's files; by default they are searched for.
    pooling
        How token vectors become one; None for what the model's authors use.
    max_tokens
        Tokens that the model sees at once, special tokens included; None for as many as it can.
    long_text
        What happens to longer texts: cut into windows of equal length whose vectors are averaged, or
        truncated.
    precision
        "int8" quantises the weights (dynamic quantisation): faster on a CPU, slightly different.
    device
        "cuda" runs on an NVIDIA GPU, and fails where that is not possible.
    dimensions
        Length to which a service is requested to shorten its vectors.
    """

    folder: Path | None = None
    pooling: Literal["mean", "cls"] | None = None
    max_tokens: int | None = None
    long_text: LongText = "window"
    precision: Precision = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    dimensions: int | None = None
