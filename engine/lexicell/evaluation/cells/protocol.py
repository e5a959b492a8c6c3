"""How cells are evaluated: scenarios, draws, seeds."""

from __future__ import annotations

from dataclasses import dataclass

from lexicell.errors import InputError
from lexicell.evaluation.cells.splits import SCENARIOS, Scenario

__all__ = ["CellProtocol"]


@dataclass(frozen=True)
class CellProtocol:
    """How cells are evaluated.

    Attributes
    ----------
    scenarios
        Some of "few-shot", "disjoint", "partial", "batches", "transfer" and "described".
    n
        Labelled cells of each class, few-shot.
    draws
        Draws for each n, and of a transfer; at most five of them where sentences name cells.
    panels
        Draws of disjoint panels, and of those that share some genes.
    n_genes, least
        Of disjoint panels: genes in both halves together, and the fewest cells of a class.
    seed
        Of everything that is drawn.
    scib
        Also compute scores of scib-metrics.
    few
        Labelled cells of each type that sentences are compared with.
    """

    scenarios: tuple[Scenario, ...] = ("few-shot", "disjoint")
    n: tuple[int, ...] = (3, 5, 10, 20, 50)
    draws: int = 10
    panels: int = 5
    n_genes: int = 4_000
    least: int = 20
    seed: int = 0
    scib: bool = False
    few: tuple[int, ...] = (1, 3, 10)

    def __post_init__(self) -> None:
        unknown = [name for name in self.scenarios if name not in SCENARIOS]
        if unknown or not self.scenarios:
            msg = f"scenarios are {', '.join(SCENARIOS)}, not {', '.join(map(repr, unknown)) or 'none'}"
            raise InputError(msg)
        if not self.n or min(*self.n, *self.few, self.draws, self.panels) < 1:
            msg = "n, draws and panels are at least 1"
            raise InputError(msg)
