"""Which cells a training step sees."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sampler", "split_cells"]


@dataclass(frozen=True)
class Sampler:
    """Draws batches with a class balance of its own, each a function of the generator alone.

    Attributes
    ----------
    codes
        ``[N]`` class of each cell, -1 where there is no label.
    cells
        Numbers of the cells that may be drawn.
    size
        Cells of a batch.
    balance
        A class of ``n_c`` cells is drawn with weight ``n_c ** (1 - balance)``: 0 as they occur, 1 all alike.
    unlabelled
        Share of a batch that has no label, where there are labels.
    """

    codes: NDArray[np.int64]
    cells: NDArray[np.int64]
    size: int
    balance: float = 1.0
    unlabelled: float = 0.0
    _classes: tuple[NDArray[np.int64], ...] = field(init=False, repr=False)
    _without: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        codes = self.codes[self.cells]
        members = (self.cells[codes == code] for code in range(int(codes.max(initial=-1)) + 1))
        object.__setattr__(self, "_classes", tuple(part for part in members if len(part)))
        object.__setattr__(self, "_without", self.cells[codes < 0])

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the cells of a batch; no cell is in it twice, so small classes may make it smaller."""
        if not self._classes:
            return self._some(self._without, self.size, rng)
        free = round(self.size * self.unlabelled) if len(self._without) else 0
        quota = _shares(np.array([len(c) for c in self._classes]), self.size - free, self.balance, rng)
        parts = [self._some(cells, n, rng) for cells, n in zip(self._classes, quota, strict=True)]
        if self.unlabelled:
            parts.append(self._some(self._without, free, rng))
        return np.concatenate(parts)

    @staticmethod
    def _some(cells: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return cells if n >= len(cells) else cells[rng.choice(len(cells), n, replace=False)]


def _shares(sizes: NDArray[np.int64], n: int, balance: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Split `n` places over classes, no class getting more than it has; what is left over goes by chance.

    What small classes can't fill goes to the others, while there are any.
    """
    quota = np.zeros(len(sizes), np.int64)
    weights = sizes.astype(np.float64) ** (1 - balance)
    while (missing := min(n, int(sizes.sum())) - int(quota.sum())) > 0:
        open_ = np.flatnonzero(quota < sizes)
        share = missing * weights[open_] / weights[open_].sum()
        whole = np.floor(share).astype(np.int64)
        surplus = missing - int(whole.sum())
        if surplus:
            parts = np.where(share > whole, share - whole, 1e-9)
            chosen = rng.choice(len(open_), min(surplus, len(open_)), replace=False, p=parts / parts.sum())
            whole[chosen] += 1
        quota[open_] = np.minimum(quota[open_] + whole, sizes[open_])
    return quota


def split_cells(
    codes: NDArray[np.int64], cells: NDArray[np.int64], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split cells into training and validation, class by class; a class with too few is all for training.

    Parameters
    ----------
    codes
        ``[N]`` class of each cell, -1 where there is no label.
    cells
        Numbers of the cells to split.
    share
        For validation, of each class; a class gives two cells or more, or none.
    rng
        Draws them.

    Returns
    -------
    tuple
        Numbers of the cells for training and for validation, each ascending.
    """
    drawn = []
    for code in np.unique(codes[cells]):
        members = cells[codes[cells] == code]
        n = int(share * len(members))
        if n >= 2:
            drawn.append(rng.choice(members, n, replace=False))
    validation = np.sort(np.concatenate(drawn)) if drawn else np.empty(0, np.int64)
    return np.setdiff1d(cells, validation), validation
