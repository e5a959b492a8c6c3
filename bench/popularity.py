"""How often the genes of the synthetic cells are expressed, and how large cells are: the model's numbers.

Needs only NumPy, so that cells of the same kind can be drawn where there is nothing else (`bench.gpu`).
`bench.cells` says where the numbers come from, and repeats the fit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LIBRARY_LOG_SD",
    "LIBRARY_MEAN",
    "N_GENES",
    "PANEL_SEED",
    "POPULARITY_LOG_SHARES",
    "POPULARITY_RANKS",
    "PROGRAMS",
    "library_sizes",
    "programs",
]

N_GENES = 30_000
#: Of the genes, their shares and which of them are described: one panel for all seeds of cells.
PANEL_SEED = 20_250_923

# Fitted: python -m bench.cells --fit pbmc3k_raw_labelled.h5ad baron_h1_pancreas.h5ad --label cell_type
#: Rank of a gene when genes are sorted by total counts ...
POPULARITY_RANKS = (1, 3, 10, 30, 100, 300, 1000, 2000, 4000, 8000)
#: ... and the log of its share of all counts: the mean over both data sets.
POPULARITY_LOG_SHARES = (-3.09, -3.86, -5.07, -5.54, -6.47, -7.90, -9.04, -9.66, -10.44, -11.61)
#: Standard deviation of log library size (PBMC3k 0.43, Baron 0.53).
LIBRARY_LOG_SD = 0.48
#: Standard deviation over cell types of the log share of a gene (root mean square over genes with at
#: least 1,000 counts: PBMC3k 0.64, Baron 0.84; part of it is sampling noise, hence less).
PROGRAM_LOG_SD = 0.6
PROGRAMS = 8

# Tuned to 2,800 non-zeros a cell of which 63 % are 1.
LIBRARY_MEAN = 9_600.0
POPULARITY_LOG_SHARE_END = -15.3  # log share of the last of 30,000 genes
_LIBRARY_MIN = 200  # cells below this do not pass anybody's filter

#: Share of the columns that a lexicon describes: the most popular gene's, and the last one's.
DESCRIBED_FIRST, DESCRIBED_LAST = 0.98, 0.33


def programs(
    rng: np.random.Generator, n_genes: int = N_GENES
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Draw which columns are described, ``[v]``, and shares of counts, ``[PROGRAMS, v]`` (rows sum to 1)."""
    place = rng.permutation(n_genes)  # popularity rank, from 0, of each column
    relative = place / max(n_genes - 1, 1)
    likely = DESCRIBED_FIRST + (DESCRIBED_LAST - DESCRIBED_FIRST) * relative
    described = rng.random(n_genes) < likely
    shares = _popularity(n_genes)[place] * np.exp(rng.normal(0.0, PROGRAM_LOG_SD, (PROGRAMS, n_genes)))
    shares /= shares.sum(axis=1, keepdims=True)
    return described, shares


def library_sizes(rng: np.random.Generator, n_cells: int) -> NDArray[np.int64]:
    """Draw totals of cells."""
    mu = np.log(LIBRARY_MEAN) - LIBRARY_LOG_SD**2 / 2
    return np.maximum(np.rint(rng.lognormal(mu, LIBRARY_LOG_SD, n_cells)), _LIBRARY_MIN).astype(np.int64)


def _popularity(n_genes: int) -> NDArray[np.float64]:
    """Shares by rank: straight lines through the knots in log rank and log share, to the end."""
    stretch = n_genes / N_GENES  # a smaller panel is a thinned sample of the same curve
    ranks = np.log([*(r * stretch for r in POPULARITY_RANKS), n_genes])
    shares = np.exp(
        np.interp(
            np.log(np.arange(1, n_genes + 1)), ranks, [*POPULARITY_LOG_SHARES, POPULARITY_LOG_SHARE_END]
        )
    )
    return np.asarray(shares / shares.sum())
