"""Parts of a projection beside its matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.projection._checks import floats, put, rows, same
from lexicell_kernels import Weight

__all__ = ["Activation", "HeadLayer", "Pooling", "Residual"]

#: ``gelu`` is the exact one, with the error function, as torch's is by default.
Activation = Literal["relu", "gelu", "none"]


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the cells were made that a projection was learned from; cells are embedded the same way.

    Attributes
    ----------
    top_k
        Genes per cell, None for all described ones.
    weight
        Weight of a gene: "log1p", "count", "uniform" or "rank", see `lexicell_kernels.Weight`.
    normalise
        Whether vectors are scaled to length 1.

    Raises
    ------
    InputError
        ``top_k`` is no whole number from 1, `normalise` no bool, or there is no such weight.
    """

    top_k: int | None
    weight: str
    normalise: bool = True

    def __post_init__(self) -> None:
        top_k: object = self.top_k
        if top_k is not None and not (isinstance(top_k, int | np.integer) and top_k >= 1):
            msg = f"top_k must be a whole number from 1, not {top_k}"
            raise InputError(msg)
        normalise: object = self.normalise
        if not isinstance(normalise, bool | np.bool_):
            msg = f"normalise is true or false, not {normalise!r}"
            raise InputError(msg)
        if self.weight not in list(Weight):
            msg = f"there is no weight {self.weight!r}; there are {', '.join(Weight)}"
            raise InputError(msg)
        put(self, weight=str(self.weight), normalise=bool(self.normalise))
        if self.top_k is not None:
            put(self, top_k=int(self.top_k))


@dataclass(frozen=True, eq=False)
class Residual:
    """What single genes add to their text, of low rank: ``r_g = coefficients @ basis``, 0 for other genes.

    Attributes
    ----------
    rows
        ``[m]`` int32 lexicon rows, ascending.
    coefficients
        ``[m, r]`` float32.
    basis
        ``[r, p]`` float32.

    Raises
    ------
    InputError
        Rows do not ascend, something is not finite or of another shape.
    """

    rows: NDArray[np.int32]
    coefficients: NDArray[np.float32]
    basis: NDArray[np.float32]

    def __post_init__(self) -> None:
        put(
            self,
            rows=rows("residual's rows", self.rows),
            coefficients=floats("residual's coefficients", self.coefficients, 2),
            basis=floats("residual's basis", self.basis, 2),
        )
        if (np.diff(self.rows) <= 0).any():
            msg = "the projection's residual has rows that do not ascend; sort them, and give each once"
            raise InputError(msg)
        same("residual's coefficients", len(self.coefficients), "residual's rows", len(self.rows))
        same("residual's basis", len(self.basis), "residual's rank", self.coefficients.shape[1])

    def add_to(self, table: NDArray[np.float32], genes: NDArray[np.integer]) -> None:
        """Add to the rows ``[n, p]`` of some genes, given as lexicon rows ``[n]``, in place."""
        if not len(self.rows):
            return
        at = np.minimum(np.searchsorted(self.rows, genes), len(self.rows) - 1)
        has = self.rows[at] == genes
        table[has] += self.coefficients[at[has]] @ self.basis


@dataclass(frozen=True, eq=False)
class HeadLayer:
    """``activation(W z + b)``: a layer of the head.

    Attributes
    ----------
    weight
        ``[q, p]`` float32.
    bias
        ``[q]`` float32.
    activation
        "relu", "gelu" (exact) or "none".

    Raises
    ------
    InputError
        Something is not finite, of another shape, or there is no such activation.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: Activation = "none"

    def __post_init__(self) -> None:
        put(
            self,
            weight=floats("head's weight", self.weight, 2),
            bias=floats("head's bias", self.bias, 1),
        )
        if self.activation not in get_args(Activation):
            msg = f"there is no activation {self.activation!r}; there are {', '.join(get_args(Activation))}"
            raise InputError(msg)
        same("head's bias", len(self.bias), "head's weight", len(self.weight))
