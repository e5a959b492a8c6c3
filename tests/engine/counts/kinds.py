"""Matrices of every kind that people store, made of whole counts as the usual tools do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]


def cells(seed: int = 0, n: int = 60, genes: int = 1500, depth: float = 6000, zeros: float = 0.15) -> Counts:
    """Whole counts ``[n, genes]`` of three kinds of cells, of depths that vary as in a real run."""
    rng = np.random.default_rng(seed)
    profile = rng.gamma(zeros, 1, (3, genes)) * rng.lognormal(0, 1, genes)
    profile /= profile.sum(1, keepdims=True)
    depths = np.maximum(rng.lognormal(np.log(depth), 0.35, n), 20)
    drawn = rng.poisson(rng.gamma(2, 0.5, (n, genes)) * profile[np.arange(n) % 3] * depths[:, None])
    drawn[drawn.sum(1) == 0, 0] = 1
    return drawn.astype(np.float64)


def share(c: Counts, total: float | None = 1e4) -> Counts:
    sums = c.sum(1, keepdims=True)
    return c / sums * (np.median(sums) if total is None else total)


def tpm(c: Counts, seed: int = 3) -> Counts:
    """Divided by the lengths of transcripts, which leaves no unit."""
    return share(c / np.random.default_rng(seed).lognormal(0.6, 0.7, c.shape[1]), 1e6)


def denoised(c: Counts, seed: int = 4) -> Counts:
    """What a model expects of each gene in each cell; no zeros."""
    rng = np.random.default_rng(seed)
    mixed = rng.dirichlet(np.full(4, 2.0), len(c)) @ share(c[:4] + 0.05, 1)
    return mixed * rng.lognormal(0, 0.05, c.shape)


def smoothed(c: Counts) -> Counts:
    """Log-normalised, then averaged over other cells, of which each has its own."""
    rng = np.random.default_rng(5)
    weights = rng.dirichlet(np.full(len(c), 0.3), len(c))
    return weights @ np.log1p(share(c)) + 1e-4


def em(c: Counts, fractions: tuple[float, ...] = (0.5,), part: float = 0.1) -> Counts:
    """Reads that fit several genes were shared out."""
    rng = np.random.default_rng(6)
    return np.where((rng.random(c.shape) < part) & (c > 0), c - rng.choice(fractions, c.shape), c).clip(0)


def without_soup(c: Counts) -> Counts:
    """What comes from outside the cell was taken off; see SoupX and DecontX."""
    rng = np.random.default_rng(7)
    soup = c.mean(0) / c.mean(0).sum() * c.sum(1, keepdims=True) * rng.beta(2, 30, (len(c), 1))
    return np.where(c > 0, (c - soup).clip(0), 0)


def decontaminated(c: Counts) -> Counts:
    """Each count times the share of it that is the cell's own."""
    rng = np.random.default_rng(8)
    return c * (1 - rng.beta(0.3, 6, c.shape))


#: What is stored, the values that it is (None where nothing can show it), and how it is made.
KINDS: dict[str, tuple[str | None, Callable[[Counts], Counts]]] = {
    "whole counts": ("counts", lambda c: c),
    "SCTransform corrected counts": ("counts", lambda c: np.rint(share(c, None))),
    "CellBender counts": ("counts", lambda c: np.maximum(c - (c > 3), 0)),
    "EM counts, halves": ("normalised", em),
    "EM counts, thirds and quarters": ("normalised", lambda c: em(c, (0.25, 0.75, 1 / 3, 2 / 3), 0.3)),
    "RSEM counts, two decimals": (
        "normalised",
        lambda c: np.round(em(c, tuple(np.linspace(0.01, 0.99, 50)), 0.4), 2),
    ),
    "SoupX counts": ("normalised", without_soup),
    "DecontX counts": ("normalised", decontaminated),
    "shares": ("normalised", lambda c: share(c, 1)),
    "percent": ("normalised", lambda c: share(c, 100)),
    "CP10k": ("normalised", share),
    "CP10k, some genes": ("normalised", lambda c: share(c)[:, ::4]),
    "CPM": ("normalised", lambda c: share(c, 1e6)),
    "over the median depth": ("normalised", lambda c: share(c, None)),
    "over size factors": (
        "normalised",
        lambda c: c / np.random.default_rng(9).lognormal(0, 0.4, (len(c), 1)),
    ),
    "TPM": ("normalised", tpm),
    "TPM, some genes": ("normalised", lambda c: tpm(c)[:, ::3]),
    "TPM, two decimals": ("normalised", lambda c: np.round(tpm(c), 2)),
    "shares of a model (scVI)": ("normalised", lambda c: share(denoised(c), 1)),
    "CP10k of a model (scVI)": ("normalised", lambda c: share(denoised(c))),
    "log1p of counts": ("lognorm", np.log1p),
    "log1p CP10k": ("lognorm", lambda c: np.log1p(share(c))),
    "log1p CP10k, some genes": ("lognorm", lambda c: np.log1p(share(c))[:, ::4]),
    "log1p CP10k, three decimals": ("lognorm", lambda c: np.round(np.log1p(share(c)), 3)),
    "log1p CP10k, half precision": ("lognorm", lambda c: np.log1p(share(c)).astype(np.float16).astype(float)),
    "log1p CPM": ("lognorm", lambda c: np.log1p(share(c, 1e6))),
    "log1p over the median depth": ("lognorm", lambda c: np.log1p(share(c, None))),
    "log1p TPM": ("lognorm", lambda c: np.log1p(tpm(c))),
    "log1p over the geometric mean (CLR of Seurat)": (
        "lognorm",
        lambda c: np.log1p(c / np.exp(np.log1p(c).mean(1, keepdims=True))),
    ),
    "log2 of counts": ("log2", lambda c: np.log2(1 + c)),
    "log2 CP10k": ("log2", lambda c: np.log2(1 + share(c))),
    "log2 CPM": ("log2", lambda c: np.log2(1 + share(c, 1e6))),
    "log2 TPM": ("log2", lambda c: np.log2(1 + tpm(c))),
    "log10 of counts": ("log10", lambda c: np.log10(1 + c)),
    "log10 CP10k": ("log10", lambda c: np.log10(1 + share(c))),
    "log10 TPM": ("log10", lambda c: np.log10(1 + tpm(c))),
    "sqrt of counts": ("sqrt", np.sqrt),
    "sqrt CP10k": ("sqrt", lambda c: np.sqrt(share(c))),
    "sqrt of shares (Hellinger)": ("sqrt", lambda c: np.sqrt(share(c, 1))),
    "sqrt TPM": ("sqrt", lambda c: np.sqrt(tpm(c))),
    "Freeman-Tukey": (None, lambda c: np.sqrt(c) + np.sqrt(c + 1)),
    "smoothed logarithms (MAGIC)": (None, smoothed),
    "log2 TPM, some genes": (None, lambda c: np.log2(1 + tpm(c))[:, ::3]),
    "logarithms scaled to one sum (PFlogPF)": (None, lambda c: share(np.log1p(share(c, None)), 812.3)),
    "logarithms of unit length": (None, lambda c: _unit(np.log1p(share(c)))),
    "all values the same": (None, lambda c: np.where(c > 0, 0.5, 0)),
}


def _unit(x: Any) -> Any:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


#: Depths and sizes of the experiments that each kind is made of.
PANELS: dict[str, dict[str, Any]] = {
    "droplets": {},
    "a shallow panel": {"genes": 300, "depth": 120, "n": 80, "zeros": 0.4},
    "a deep panel": {"genes": 400, "depth": 4000, "zeros": 0.6},
    "full length": {"genes": 4000, "depth": 500_000, "zeros": 0.3, "n": 30},
    "many cells": {"n": 400, "depth": 2500},
    "few cells": {"n": 4},
}
