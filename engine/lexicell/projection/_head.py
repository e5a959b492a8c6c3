"""The head of a projection: layers on pooled vectors, which can't be folded into a table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lexicell._arrays import Array, device_of, namespace
from lexicell.projection._parts import Layer

__all__ = ["apply_head"]

#: Rows of one product. BLAS may round a row otherwise in a matrix of another shape, so all products have the
#: same shape, and a cell's vector does not depend on how many others are embedded with it.
_ROWS = {"cpu": 1_024, "cuda": 8_192}


def apply_head(layers: Sequence[Layer], pooled: Array, used: Array, *, normalise: bool) -> Array:
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
    xp, size = namespace(pooled), _ROWS[device_of(pooled)]
    steps = [(xp.asarray(layer.weight).T, xp.asarray(layer.bias), layer.activation) for layer in layers]
    n = pooled.shape[0]
    out: Array = xp.empty((n, layers[-1].weight.shape[0]), np.float32)
    part = xp.zeros((size, pooled.shape[1]), np.float32)
    for start in range(0, n, size):
        stop = min(start + size, n)
        part[: stop - start] = pooled[start:stop]  # what is behind them is computed too, and not used
        z = part
        for weight, bias, activation in steps:
            z = _activated(z @ weight + bias, activation, xp)
        if normalise:
            length = xp.sqrt((z * z).sum(axis=1, keepdims=True))
            z = z / xp.where(length > 0, length, 1)
        out[start:stop] = xp.where(used[start:stop, None], z[: stop - start], 0)
    return out


def _activated(z: Array, activation: str, xp: Any) -> Any:
    found = z
    if activation == "relu":
        found = xp.maximum(z, 0)
    elif activation == "gelu":
        special = import_module("scipy.special" if xp is np else "cupyx.scipy.special")
        found = 0.5 * z * (1 + special.erf(z * 0.5**0.5))
    return found
