"""What vectors of cells are scored by: the same cells, draws and classifiers for all recipes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.evaluation import METHODS, Panel, Task, knn_accuracy
from lexicell.evaluation.cells.classifiers import CLASSIFIERS, ClassifierName, probabilities
from lexicell.evaluation.cells.metrics import score
from lexicell.evaluation.cells.splits import Split, batch_splits, few_shot_splits, transfer_splits

__all__ = ["FEW_SHOT", "Embed", "Scored", "components_of", "scored_cells"]

#: Vectors of some panels' cells, of one space.
Embed = Callable[[Sequence[Panel]], list[NDArray[np.float32]]]
Scores = dict[str, Any]

#: Labelled cells of each class, by scenario. Both classifiers read these; neighbours alone the others.
FEW_SHOT = {f"few-shot {n}": n for n in (3, 5, 10)}
#: Cells of a class that 10 neighbours are looked for in, and genes of the partial panel.
_LEAST_CELLS, _PANEL_GENES = 25, 1_000
#: Made-up batches: the share of the counts that each keeps, and the spread of the genes' efficiency (log).
_DEPTHS, _EFFICIENCY = (1.0, 0.6, 0.35), 0.5


@dataclass(frozen=True)
class Scored:
    """Cells and draws.

    Attributes
    ----------
    panel
        Labelled cells.
    large
        ``[n]`` cells of classes that are large enough for 10 neighbours.
    partial
        The same cells, as a panel of 1,000 described genes would have seen them.
    splits
        Scenario -> draws, some without labels on one side.
    seed
        Of all draws and classifiers.
    """

    panel: Panel
    large: NDArray[np.bool_]
    partial: Panel
    splits: Mapping[str, list[Split]]
    seed: int

    def scores(self, embed: Embed) -> Scores:
        """10-NN accuracy of all genes and of the partial panel; macro-F1 of each draw, by classifier."""
        assert self.panel.labels is not None
        labels = self.panel.labels[self.large]
        once = _Once(embed)
        found: Scores = {}
        for name, panel in (("10-NN", self.panel), ("partial", self.partial)):
            (vectors,) = once([panel])
            found[name] = round(knn_accuracy(vectors[self.large], labels, seed=self.seed), 4)
        for scenario, splits in self.splits.items():
            kinds = CLASSIFIERS if scenario in FEW_SHOT else ("knn",)
            found[scenario] = {kind: [self._f1(split, once, kind) for split in splits] for kind in kinds}
        return found

    def _f1(self, split: Split, embed: Embed, kind: ClassifierName) -> float:
        first, second = split.sources
        made = embed([first]) * 2 if first is second else embed([first, second])
        reference, query = (vectors[cells] for vectors, cells in zip(made, split.cells, strict=True))
        known, true = split.labels
        classes, likely = probabilities(reference, known, query, kind, self.seed)
        return round(score(true, classes[likely.argmax(axis=1)]).macro_f1, 4)


class _Once:
    """Embeds the same panels once."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._kept: dict[tuple[int, ...], list[NDArray[np.float32]]] = {}

    def __call__(self, panels: Sequence[Panel]) -> list[NDArray[np.float32]]:
        key = tuple(map(id, panels))
        if key not in self._kept:
            self._kept[key] = self._embed(panels)
        return self._kept[key]


def scored_cells(
    panel: Panel,
    *,
    draws: int,
    seed: int = 0,
    transfer: tuple[Panel, Mapping[str, str]] | None = None,
    few: Collection[int] = tuple(FEW_SHOT.values()),
) -> Scored:
    """Draw everything that all recipes are scored on.

    Parameters
    ----------
    panel
        Labelled cells.
    draws
        For each number of labelled cells, and of the transfer.
    seed
        Of everything.
    transfer
        Another panel that is named by this one, and what its labels are here.
    few
        Labelled cells of each class.
    """
    assert panel.labels is not None
    sizes = panel.classes()
    rng = np.random.default_rng(seed)
    genes = rng.permutation(panel.rows)[:_PANEL_GENES]
    splits = {name: few_shot_splits(panel, (n,), draws, seed)[0] for name, n in FEW_SHOT.items() if n in few}
    splits["batches"] = batch_splits(made_up_batches(panel, seed))[0]
    if transfer is not None:
        query, names = transfer
        both = transfer_splits(panel, query, draws, seed, names=names)[0]
        splits["transfer"] = [split for split in both if split.setting == "common genes"]
    large = np.array([sizes[label] >= _LEAST_CELLS for label in panel.labels.tolist()])
    return Scored(panel, large, panel.restrict(genes), splits, seed)


def made_up_batches(panel: Panel, seed: int) -> Panel:
    """Leave each cell to one of three batches, which lose counts: all alike, and each gene by its efficiency.

    Real batches differ in more than that; no data set with real ones was at hand.
    """
    rng = np.random.default_rng([seed, 1])
    batch = rng.integers(0, len(_DEPTHS), panel.n_cells)
    efficiency = np.exp(-np.abs(rng.normal(0, _EFFICIENCY, (len(_DEPTHS), len(panel.rows)))))
    kept = np.asarray(_DEPTHS)[:, None] * efficiency
    counts = panel.counts.copy()
    cells = np.repeat(batch, np.diff(counts.indptr))
    whole = np.rint(counts.data).astype(np.int64)
    counts.data = rng.binomial(whole, kept[cells, counts.indices]).astype(np.float32)
    counts.eliminate_zeros()
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64), np.float32)
    names = np.array([f"batch {number}" for number in batch])
    return replace(panel, counts=counts, totals=totals, batch=names, expression=None)


def components_of(seed: int) -> Embed:
    """50 components of the 2,000 most variable genes, fitted to the very cells, and to the query's."""
    method = METHODS["pca50-hvg"]
    unused = np.empty((0, 0), np.float32)

    def embed(panels: Sequence[Panel]) -> list[NDArray[np.float32]]:
        first = panels[0]
        others = panels[1] if len(panels) > 1 else first.take(np.empty(0, np.int64))
        task = Task(unused, first, others, panels[1] if len(panels) > 1 else None, seed)
        return list(method(task))[: len(panels)]

    return embed
