"""Projection: the linear part of a learned map, ready to be folded into a gene table."""

from __future__ import annotations

from dataclasses import dataclass

import blake3
import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError

__all__ = ["Projection"]


@dataclass(frozen=True)
class Projection:
    """``z = sum_g w_g a_g W e_g / sum_g w_g + b``.

    Attributes
    ----------
    weight
        ``W``, ``[p, d]`` float32.
    bias
        ``b``, ``[p]`` float32, or None for 0.
    gene_weight
        ``a``, ``[G]`` float32 by lexicon row, or None for 1.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    gene_weight: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for name in ("weight", "bias", "gene_weight"):
            part = getattr(self, name)
            if part is not None and not np.isfinite(part).all():
                msg = f"the projection's {name} is not finite"
                raise InputError(msg)

    @property
    def identity(self) -> str:
        """BLAKE3 of its numbers, as hex."""
        digest = blake3.blake3()
        for part in (self.weight, self.bias, self.gene_weight):
            if part is not None:
                digest.update(str(part.shape).encode())
                digest.update(np.ascontiguousarray(part, np.float32).tobytes())
            digest.update(b"\0")
        return digest.hexdigest()

    def apply(self, vectors: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Project the vectors ``[m, d]`` of the genes in lexicon rows ``[m]``; returns ``[m, p]``.

        Raises
        ------
        InputError
            The projection was made for a lexicon of other dimensions.
        """
        if self.weight.shape[1] != vectors.shape[1]:
            msg = (
                f"the projection expects vectors of {self.weight.shape[1]} dimensions "
                f"and the lexicon has {vectors.shape[1]}; use the lexicon it was learned on"
            )
            raise InputError(msg)
        projected = vectors @ self.weight.T.astype(np.float32)
        if self.gene_weight is not None:
            projected *= self.gene_weight[rows, None]
        return np.ascontiguousarray(projected)
