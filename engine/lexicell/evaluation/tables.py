"""What stands in the place of the texts' vectors: nothing that means anything, bags of words, other cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import Listener, Note
from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.errors import needing
from lexicell.evaluation.controls import BAGS, CONTROLS, bag_vectors, control_vectors
from lexicell.evaluation.expression import log_normalise
from lexicell.evaluation.methods import Method
from lexicell.evaluation.panels import Panel
from lexicell.evaluation.splits import Split
from lexicell.learn.mixture import own_components
from lexicell.lexicon import Lexicon

__all__ = ["OTHER_DATA", "THROUGH", "Tables", "loadings_of", "through_cells"]

#: Query cells that measured the genes of both panels, by the name of the control: co-expression connects
#: genes without any text.
THROUGH = {f"co-expression in {n} cells": n for n in (10, 50, 200)}
#: Loadings of the genes in the other data sets that are evaluated: co-expression elsewhere.
OTHER_DATA = "loadings of other data"
_COMPONENTS = 50
#: Values are cut where they are so many standard deviations from the mean; genes vary by at least so much.
_CLIP, _LEAST_SPREAD = 10.0, 1e-3
#: Genes of components, and draws whose components are kept.
_VARIABLE, _DRAWS_KEPT = 2_000, 32
#: Genes are compared that so many of a data set's cells have.
_DETECTED = 0.005


class Tables:
    """Vectors of all genes, by what they are made of.

    Parameters
    ----------
    lexicon
        ``G`` genes.
    panels
        The data sets that are evaluated.
    seed
        Of the run.
    listener
        Is told what the texts do not give.
    """

    def __init__(self, lexicon: Lexicon, panels: Mapping[str, Panel], seed: int, listener: Listener) -> None:
        self._lexicon, self._panels, self.seed, self._listener = lexicon, panels, seed, listener
        self.texts: NDArray[np.float32] = lexicon.vectors(lexicon.rows)
        self._kept: dict[str, tuple[object, NDArray[np.float32]]] = {}
        self._mixed: dict[tuple[object, ...], NDArray[np.float64]] = {}

    @cached_property
    def bags(self) -> dict[str, NDArray[np.float32]]:
        """Those of the texts' words and terms that there are."""
        made = {bag: bag_vectors(self._lexicon, bag, seed=self.seed) for bag in BAGS}
        if lacking := [bag for bag, vectors in made.items() if vectors is None]:
            text = f"the texts of {self._lexicon.name} give no control by {' or '.join(lacking)}"
            self._listener(Note(text))
        return {bag: vectors for bag, vectors in made.items() if vectors is not None}

    def controls(self, method: Method) -> tuple[str, ...]:
        """Names of what a method is run with beside the texts."""
        if not method.text:
            return ()
        names: tuple[str, ...] = (*CONTROLS, *self.bags)
        if method.other_genes:
            names += (*THROUGH, *([OTHER_DATA] if len(self._panels) > 1 else []))
        return names

    def vectors(self, control: str, data: str, split: Split, seed: int) -> NDArray[np.float32] | None:
        """Vectors ``[G, d]`` for one draw; None where there are none of this kind for it.

        Parameters
        ----------
        control
            One of `controls`, "" for the texts.
        data
            Which data set it is.
        split
            The draw.
        seed
            Of the draw.
        """
        if not control or control in self.bags:
            return self.bags.get(control, self.texts)
        if control in THROUGH:
            if split.sources[0] is not split.sources[1]:
                return None
            return through_cells(split, THROUGH[control], len(self.texts), seed)
        key: object = data if control == OTHER_DATA else seed
        if self._kept.get(control, (None,))[0] != key:
            self._kept[control] = key, self._made(control, data, seed)
        return self._kept[control][1]

    def components(self, data: str, split: Split) -> NDArray[np.float64]:
        """Components of the query's cells, ``[q, d]``; made once for all methods and controls of a draw."""
        key = (data, split.scenario, split.setting, split.draw)
        if key not in self._mixed:
            panel = split.query
            logged = log_normalise(panel.counts, panel.totals)
            genes = highly_variable_columns(panel.counts, panel.totals, _VARIABLE)
            made = own_components(sp.csr_array(logged[:, genes]), seed=self.seed)
            while len(self._mixed) >= _DRAWS_KEPT:
                self._mixed.pop(next(iter(self._mixed)), None)
            self._mixed[key] = made
            return made
        return self._mixed[key]

    def _made(self, control: str, data: str, seed: int) -> NDArray[np.float32]:
        if control != OTHER_DATA:
            return control_vectors(self.texts, control, seed=seed)
        others = [panel for name, panel in self._panels.items() if name != data]
        return np.hstack([loadings_of(panel, len(self.texts), self.seed) for panel in others])


def through_cells(split: Split, n: int, genes: int, seed: int) -> NDArray[np.float32]:
    """Expression of genes in query cells that measured those of the reference too, ``[G, n]``.

    Parameters
    ----------
    split
        Of one data set; its sides see other genes.
    n
        Cells, drawn from the query.
    genes
        ``G``, genes of the lexicon.
    seed
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(split.cells[1])[:n]
    panel = split.sources[1].take(np.sort(drawn))
    found = np.zeros((genes, len(drawn)), np.float32)
    found[panel.rows] = _standardised(log_normalise(panel.counts, panel.totals)).T
    return found


def loadings_of(panel: Panel, genes: int, seed: int) -> NDArray[np.float32]:
    """Components of a data set's genes times their spread, ``[G, 50]``; 0 for genes that few cells have."""
    with needing("evaluate", "Loadings of other data"):
        from sklearn.decomposition import PCA
    logged = log_normalise(panel.counts, panel.totals)
    common = np.flatnonzero(np.diff(sp.csc_array(logged).indptr) > _DETECTED * panel.n_cells)
    dense = _standardised(sp.csr_array(logged[:, common]))
    solver = PCA(min(_COMPONENTS, *dense.shape), svd_solver="randomized", random_state=seed).fit(dense)
    found = np.zeros((genes, _COMPONENTS), np.float32)
    loadings = solver.components_.T * np.sqrt(solver.explained_variance_)
    found[panel.rows[common], : loadings.shape[1]] = loadings
    return found


def _standardised(logged: sp.csr_array) -> NDArray[np.float32]:
    dense = logged.toarray()
    dense -= dense.mean(axis=0)
    dense /= np.maximum(dense.std(axis=0), _LEAST_SPREAD)
    return np.clip(dense, -_CLIP, _CLIP, out=dense)
