"""The head of a projection: layers on pooled vectors, which can't be folded into a table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.arrays import Array, namespace
from lexicell.projection._parts import HeadLayer
from lexicell_kernels.jit import kernel

__all__ = ["apply_head"]

#: Rows of one product on a GPU. A library may round a row otherwise in a matrix of another shape, so all
#: products have the same shape, and a cell's vector does not depend on how many others are embedded with it.
_ROWS = 8_192


def apply_head(layers: Sequence[HeadLayer], pooled: Array, used: Array, *, normalise: bool) -> Array:
    """Apply a head to pooled vectors, where they lie.

    Parameters
    ----------
    layers
        At least one.
    pooled
        ``[n, p]`` float32 of NumPy or CuPy, mean and bias, not normalised.
    used
        ``[n]`` bool, False for cells without any gene.
    normalise
        Whether vectors are scaled to length 1.

    Returns
    -------
    numpy.ndarray or cupy.ndarray
        ``[n, q]`` float32; 0 where `used` is False. On one machine and with one library a row has the same
        bits wherever it stands and whatever the others are.
    """
    xp = namespace(pooled)
    steps = [
        (
            xp.ascontiguousarray(xp.asarray(layer.weight, np.float32).T),
            xp.asarray(layer.bias, np.float32),
            layer,
        )
        for layer in layers
    ]
    z = pooled
    for weight, bias, layer in steps:
        z = _activated(_product(z, weight, bias, xp), layer.activation, xp)
    if normalise:
        length = xp.sqrt((z * z).sum(axis=1, keepdims=True))
        z = z / xp.where(length > 0, length, 1)
    out: Array = xp.where(used[:, None], z, np.float32(0))
    return out


def _product(z: Array, weight: Array, bias: Array, xp: Any) -> Array:
    """``z @ weight + bias``, ``[n, q]`` float32, each row rounded alike wherever it stands."""
    n, q = z.shape[0], weight.shape[1]
    out: Array = xp.empty((n, q), np.float32)
    if xp is np:
        rows_product(np.ascontiguousarray(z, np.float32), weight, bias, out)
        return out
    part = xp.zeros((_ROWS, z.shape[1]), np.float32)
    for start in range(0, n, _ROWS):
        stop = min(start + _ROWS, n)
        part[: stop - start] = z[start:stop]  # what is behind them is computed too, and not used
        out[start:stop] = (part @ weight + bias)[: stop - start]
    return out


@kernel(cache=True)
def rows_product(
    z: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Product whose sums run in one order for every row; BLAS rounds a row by where it stands."""
    n, p = z.shape
    q = weight.shape[1]
    for i in range(n):
        row = out[i]
        row[:] = bias
        for k in range(p):
            x = z[i, k]
            for j in range(q):
                row[j] += x * weight[k, j]


def _activated(z: Array, activation: str, xp: Any) -> Any:
    activated = z
    if activation == "relu":
        activated = xp.maximum(z, 0)
    elif activation == "gelu":
        special = import_module("scipy.special" if xp is np else "cupyx.scipy.special")
        activated = 0.5 * z * (1 + special.erf(z * 0.5**0.5))
    return activated
