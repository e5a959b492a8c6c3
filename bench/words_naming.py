"""A data set named by any likeness, the way `lexicell.words.name_cells` does it, and how well that went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells
from lexicell.words.cells import CellGroups, group_cells
from lexicell.words.naming import (
    _DIRECT,
    _MOST,
    _POWER,
    ABSENT,
    _compete,
    _evidence,
    called_up,
    name_groups,
    of_cells,
)

__all__ = ["BINS", "Named", "Placed", "confidence_bins", "intervals", "score"]

#: Upper ends of the bins of probability.
BINS = (0.5, 0.7, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Named:
    """``[N, S]`` probabilities and scores, and ``[S]`` which types were held to be there."""

    probability: NDArray[np.floating]
    scores: NDArray[np.floating]
    present: NDArray[np.bool_]

    @property
    def chosen(self) -> NDArray[np.intp]:
        """``[N]`` the likeliest type, -1 for none."""
        found = np.asarray(self.probability).argmax(axis=1)
        return np.where(np.asarray(self.probability).any(axis=1), found, -1)


class Placed:
    """Groups of cells, with everything that naming them takes: made once, named by many likenesses.

    Attributes
    ----------
    logged
        ``[N, m]`` ``log1p(1e4 x / N)`` of the candidates.
    rows
        ``[m]`` of the lexicon.
    """

    def __init__(self, cells: AlignedCells, seed: int) -> None:
        """Group the cells with a seed, which names will take too."""
        self._seed = seed
        self.groups: CellGroups = group_cells(cells, seed=seed)
        self.rows = cells.genes.rows
        blocks = list(self.groups.place(np.arange(len(self.rows))))
        self.logged = sp.csr_array(sp.vstack([block[1] for block in blocks], format="csr"))
        parts = range(len(self.groups.profiles))
        self._nearest = [np.concatenate([block[2][part] for block in blocks]) for part in parts]
        self._full = np.concatenate([block[3] for block in blocks]) > 0

    def name(self, likeness: NDArray[np.float32], null: NDArray[np.float32]) -> Named:
        """As `lexicell.words.name_cells` does, by ``[S, G]`` and ``[B, G]`` likenesses."""
        likeness, null = likeness[:, self.rows], null[:, self.rows]
        naming = name_groups(self.groups, likeness, null, seed=self._seed)
        return self._of_cells(naming.probability, naming.weights, naming.evidence >= ABSENT)

    def compete(self, likeness: NDArray[np.float32], null: NDArray[np.float32]) -> Named:
        """The same competition, with no type held back or absent but those without a measured gene."""
        likeness, null = likeness[:, self.rows], null[:, self.rows]
        some = np.asarray((likeness * self.groups.detected > 0).any(axis=1))
        called, null_called = sp.csr_array(called_up(likeness[some])), sp.csr_array(called_up(null))
        squared = np.maximum(likeness[some], 0) ** _POWER
        probability, weights = [], np.zeros(likeness.shape)
        for part in self.groups.profiles if some.any() else ():
            found, _ = _evidence(part, called, null_called)
            chosen, corrected = _compete(part, found, squared, _DIRECT * np.clip(found, -1, _MOST))
            of_groups = np.zeros((len(chosen), len(likeness)))
            of_groups[:, some] = chosen
            probability.append(of_groups)
            weights[some] += corrected
        if not some.any():
            probability = [np.zeros((len(part.sizes), len(likeness))) for part in self.groups.profiles]
        return self._of_cells(probability, weights.astype(np.float32), some)

    def _of_cells(
        self,
        probability: Sequence[NDArray[np.float64]],
        weights: NDArray[np.float32],
        present: NDArray[np.bool_],
    ) -> Named:
        found = of_cells(probability, self._nearest, present, self._full)
        scores = np.asarray(self.logged @ (weights / self.groups.spread).T.astype(np.float32))
        return Named(found, scores, present)


def score(
    labels: NDArray[np.str_],
    types: Sequence[str],
    chosen: NDArray[np.intp],
    scores: NDArray[np.floating] | None = None,
    *,
    by_type: bool = False,
) -> dict[str, float]:
    """Macro-F1, accuracy and mean AUROC over the cells whose label is one of the types.

    Parameters
    ----------
    labels, types
        ``[N]``, and the ``T`` names that count.
    chosen
        ``[N]`` numbers of types; others, and -1, are none of them.
    scores
        ``[N, T]`` or more columns.
    by_type
        F1 and AUROC of each type instead.
    """
    from sklearn.metrics import roc_auc_score

    truth = np.array([list(types).index(label) if label in types else -1 for label in labels.tolist()])
    known = truth >= 0
    truth, chosen = truth[known], chosen[known]
    f1, auroc = {}, {}
    for at, name in enumerate(types):
        mine, got = truth == at, chosen == at
        if not mine.any():
            continue
        f1[name] = float(2 * (mine & got).sum() / (mine.sum() + got.sum()))
        if scores is not None:
            auroc[name] = float(roc_auc_score(mine, scores[known, at]))
    if by_type:
        return {f"{name} f1": value for name, value in f1.items()} | {
            f"{name} auroc": value for name, value in auroc.items()
        }
    found = {"f1": float(np.mean(list(f1.values()))), "accuracy": float((truth == chosen).mean())}
    return found | ({"auroc": float(np.mean(list(auroc.values())))} if auroc else {})


def intervals(
    labels: NDArray[np.str_], types: Sequence[str], named: Named, *, draws: int, seed: int
) -> dict[str, list[float]]:
    """95 % intervals of the same over resampled cells."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(np.isin(labels, list(types)))
    found = []
    for _ in range(draws):
        cells = rng.choice(known, len(known))
        found.append(score(labels[cells], types, named.chosen[cells], named.scores[cells]))
    return {
        what: [round(float(end), 4) for end in np.quantile([one[what] for one in found], [0.025, 0.975])]
        for what in found[0]
    }


def confidence_bins(labels: NDArray[np.str_], types: Sequence[str], named: Named) -> list[list[float]]:
    """For each bin of the highest probability: cells, sum of probabilities, cells named rightly."""
    known = np.isin(labels, list(types))
    sure = np.asarray(named.probability).max(axis=1)[known]
    chosen = named.chosen[known]
    right = np.array([*types, ""])[chosen] == labels[known]
    which = np.digitize(sure, BINS[:-1], right=True)
    return [
        [int((which == at).sum()), round(float(sure[which == at].sum()), 2), int(right[which == at].sum())]
        for at in range(len(BINS))
    ]
