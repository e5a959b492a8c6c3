"""Views of cells: what the same cell could have looked like, sequenced less deeply or on another panel.

Everything here is NumPy on a batch's cells, and a function of its generator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding.selected import SelectedCells
from lexicell.errors import InputError

__all__ = ["Views", "draw_views", "keep_genes", "thin"]


@dataclass(frozen=True)
class Views:
    """How views are drawn.

    Attributes
    ----------
    thinning
        Range of the share of a cell's counts that a view keeps, drawn uniformly for each cell and view;
        (1, 1) keeps all.
    drop
        Share of the genes that a view does not see, drawn anew for each batch and view.
    panels
        Whether the first view of a batch sees a random half of the genes and the second view the other half,
        so that nothing but the genes' vectors connects them.
    """

    thinning: tuple[float, float] = (0.5, 1.0)
    drop: float = 0.2
    panels: bool = False

    def __post_init__(self) -> None:
        low, high = self.thinning
        if not 0 < low <= high <= 1:
            message = f"thinning is a range within 0 (excluded) and 1, not {low:g} to {high:g}"
            raise InputError(message)
        if not 0 <= self.drop < 1:
            message = f"the share of dropped genes is at least 0 and less than 1, not {self.drop:g}"
            raise InputError(message)

    @property
    def vary(self) -> bool:
        """Whether two views of a cell differ at all."""
        return self.panels or self.drop > 0 or self.thinning[0] < 1


def thin(cells: SelectedCells, low: float, high: float, rng: np.random.Generator) -> SelectedCells:
    """Keep each count with a probability drawn for its cell: binomial thinning, as of fewer reads.

    Of a fraction, the whole part is thinned and the rest is kept or not, so the mean is right. Genes that are
    left without counts leave; the total is thinned alike.
    """
    if low == high == 1:
        return cells
    rate = rng.uniform(low, high, len(cells))
    counts, p = cells.counts, np.repeat(rate, cells.sizes)
    if counts.dtype.kind == "f":
        integers = np.floor(counts)
        thinned = rng.binomial(integers.astype(np.int64), p) + (counts - integers) * (rng.random(len(p)) < p)
    else:
        thinned = (rng.random(len(p)) < p).astype(np.int64)  # most counts are 1
        several = np.flatnonzero(counts > 1)
        thinned[several] = rng.binomial(counts[several], p[several])
    other_counts = (cells.totals - _sums(cells, counts)).clip(0)
    totals = _sums(cells, thinned) + rng.binomial(np.rint(other_counts).astype(np.int64), rate)
    return _filtered(replace(cells, counts=thinned, totals=totals.astype(np.float32)), thinned > 0)


def keep_genes(cells: SelectedCells, kept: NDArray[np.bool_]) -> SelectedCells:
    """Leave out genes, ``kept`` being ``[G]``, as a panel without them would.

    Counts beyond the selected genes shrink by the share of genes that leave.
    """
    counted = kept[cells.genes]
    other_counts = (cells.totals - _sums(cells, cells.counts)).clip(0) * kept.mean()
    totals = _sums(cells, cells.counts * counted) + other_counts
    return _filtered(replace(cells, totals=totals.astype(np.float32)), counted)


def draw_views(cells: SelectedCells, views: Views, n: int, rng: np.random.Generator) -> list[SelectedCells]:
    """Draw `n` views (1 or 2) of each cell of a batch.

    Parameters
    ----------
    cells
        The batch.
    views
        How.
    n
        Views of each cell; a single one sees half the genes under ``panels``.
    rng
        All randomness comes from it.

    Returns
    -------
    list
        Of `n` stores with the batch's cells; a cell may be left without genes.
    """
    panel = rng.random(cells.n_lexicon) < 0.5 if views.panels else None
    drawn = []
    for view in range(n):
        genes = np.ones(cells.n_lexicon, bool) if panel is None else panel if view == 0 else ~panel
        if views.drop:
            genes = genes & (rng.random(cells.n_lexicon) >= views.drop)
        part = cells if genes.all() else keep_genes(cells, genes)
        drawn.append(thin(part, *views.thinning, rng))
    return drawn


def _sums(cells: SelectedCells, values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum `values` over the genes of each cell."""
    cell = np.repeat(np.arange(len(cells)), cells.sizes)
    return np.bincount(cell, weights=values, minlength=len(cells)).astype(np.float64)


def _filtered(cells: SelectedCells, kept: NDArray[np.bool_]) -> SelectedCells:
    offsets = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    return replace(cells, genes=cells.genes[kept], counts=cells.counts[kept], indptr=offsets[cells.indptr])
