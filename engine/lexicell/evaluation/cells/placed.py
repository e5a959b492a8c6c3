"""Cells named by any likeness, the way `lexicell.words.name_cells` does it by that of sentences and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.counts import Values, open_counts, read_sample
from lexicell.embedding import AlignedCells
from lexicell.embedding.candidates import CandidateGenes
from lexicell.evaluation.cells.likenesses import symbols
from lexicell.evaluation.cells.panels import Panel
from lexicell.lexicon import Alignment, Lexicon
from lexicell.words.cells import CellGroups, group_cells
from lexicell.words.known import Known
from lexicell.words.naming import (
    _POWER,
    ABSENT,
    _compete,
    _evidence,
    called_up,
    name_groups,
    of_cells,
    offset_of,
)

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Named", "Placed", "aligned_panel"]


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
    symbols
        ``[m]`` of these genes.
    """

    def __init__(self, cells: AlignedCells, seed: int) -> None:
        """Group the cells with a seed, which names will take too."""
        self._seed = seed
        self.groups: CellGroups = group_cells(cells, seed=seed)
        self.rows = cells.genes.rows
        every = symbols(cells.lexicon)
        self.symbols = [every[row] for row in self.rows]
        blocks = list(self.groups.place(np.arange(len(self.rows))))
        self.logged = sp.csr_array(sp.vstack([block[1] for block in blocks], format="csr"))
        parts = range(len(self.groups.profiles))
        self._nearest = [np.concatenate([block[2][part] for block in blocks]) for part in parts]
        self._full = np.concatenate([block[3] for block in blocks]) > 0

    def name(
        self,
        likeness: NDArray[np.float32],
        null: NDArray[np.float32],
        known: tuple[Known, Sequence[str]] | None = None,
    ) -> Named:
        """As `lexicell.words.name_cells` does, by ``[S, G]`` and ``[B, G]`` likenesses.

        What is `known` comes with the ``S`` names.
        """
        likeness, null = likeness[:, self.rows], null[:, self.rows]
        there, prior = np.zeros(len(likeness), bool), None
        if known is not None:
            beside, names = known
            prior, there = beside.prior(self.groups, names), beside.there(names)
        naming = name_groups(self.groups, likeness, null, prior=prior, there=there, seed=self._seed)
        return self._of_cells(naming.probability, naming.weights, (naming.evidence >= ABSENT) | there)

    def compete(self, likeness: NDArray[np.float32], null: NDArray[np.float32]) -> Named:
        """The same competition, with no type held back or absent but those without a measured gene."""
        likeness, null = likeness[:, self.rows], null[:, self.rows]
        some = np.asarray((likeness * self.groups.detected > 0).any(axis=1))
        called, null_called = sp.csr_array(called_up(likeness[some])), sp.csr_array(called_up(null))
        squared = np.maximum(likeness[some], 0) ** _POWER
        probability, weights = [], np.zeros(likeness.shape)
        for part in self.groups.profiles if some.any() else ():
            found, _ = _evidence(part, called, null_called)
            chosen, corrected = _compete(part, found, squared, offset_of(found))
            of_groups = np.zeros((len(chosen), len(likeness)))
            of_groups[:, some] = chosen
            probability.append(of_groups)
            weights[some] += corrected
        if not some.any():
            probability = [np.zeros((len(part.sizes), len(likeness))) for part in self.groups.profiles]
        return self._of_cells(probability, weights.astype(np.float32), some)

    def annotated(self) -> AnnData:
        """`logged` as scanpy has it; genes are called by their symbols."""
        import anndata

        adata = anndata.AnnData(sp.csr_matrix(self.logged), var=pd.DataFrame(index=self.symbols))
        adata.var_names_make_unique()
        adata.uns["log1p"] = {"base": None}
        return adata

    def _of_cells(
        self,
        probability: Sequence[NDArray[np.float64]],
        weights: NDArray[np.float32],
        present: NDArray[np.bool_],
    ) -> Named:
        found = of_cells(probability, self._nearest, present, self._full)
        scores = np.asarray(self.logged @ (weights / self.groups.spread).T.astype(np.float32))
        return Named(found, scores, present)


def aligned_panel(panel: Panel, lexicon: Lexicon, label: str) -> AlignedCells:
    """Make cells that sentences can name of a panel: its genes, and one column with all other counts.

    What is said of them calls them by `label`.
    """
    import anndata

    others = panel.totals - np.asarray(panel.counts.sum(axis=1, dtype=np.float64))
    x = sp.csr_matrix(
        sp.hstack([panel.counts, np.maximum(others, 0)[:, None]], format="csr"), dtype=np.float32
    )
    names = [f"lexicon row {row}" for row in panel.rows] + ["all others"]
    cells = pd.Index([f"cell {cell}" for cell in range(panel.n_cells)])
    adata = anndata.AnnData(x, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=names))
    source = open_counts(adata)
    source.label = label
    rows = np.append(panel.rows, np.int32(-1)).astype(np.int32)
    organism, routes = lexicon.info.organism, np.zeros(len(rows), np.int8)
    alignment = Alignment("index", organism, tuple(names), rows, routes, (), ())
    genes, sample = CandidateGenes.of(rows), read_sample(source)
    return AlignedCells(source, lexicon, alignment, Values.COUNTS, genes, sample, genes.share(sample))
