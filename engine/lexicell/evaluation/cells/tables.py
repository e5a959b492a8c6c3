"""What stands in the place of the texts' vectors: nothing that means anything, bags of words, other cells."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.embedding import Listener, Note
from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.evaluation.cells.across_panels import THROUGH, selected_cells
from lexicell.evaluation.cells.expression import log_normalise
from lexicell.evaluation.cells.methods import Method
from lexicell.evaluation.cells.splits import Split
from lexicell.evaluation.controls import BAGS, CONTROLS, bag_vectors, control_vectors
from lexicell.learn.gene_atlas import expression_of_genes
from lexicell.learn.likeness import Likeness
from lexicell.learn.mixture import own_components
from lexicell.lexicon import GeneAtlas, Lexicon, cell_hashes

__all__ = ["OTHER_DATA", "Tables"]

#: Query cells that measured the genes of both panels, by the name of the control: co-expression connects
#: genes without any text.
_CELLS = {f"co-expression in {n} cells": n for n in THROUGH}
#: Loadings of genes on components of other data sets: co-expression elsewhere.
OTHER_DATA = "loadings of other data"
#: Genes of components, and draws whose components are kept.
_VARIABLE, _DRAWS_KEPT = 2_000, 32


class Tables:
    """Vectors of all genes, by what they are made of.

    Parameters
    ----------
    lexicon
        ``G`` genes.
    seed
        Of the run.
    listener
        Is told what the texts do not give.
    atlas
        What other data sets have told of genes, or None.
    """

    def __init__(
        self, lexicon: Lexicon, seed: int, listener: Listener, atlas: GeneAtlas | None = None
    ) -> None:
        self._lexicon, self.seed, self._listener, self._atlas = lexicon, seed, listener, atlas
        self._last: tuple[tuple[int, ...], GeneAtlas | None] = ((), None)
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
        loadings = (OTHER_DATA,) if self._atlas is not None and self._atlas.data else ()
        if method.atlas:
            return (*CONTROLS, *loadings)
        return (*CONTROLS, *self.bags, *((*_CELLS, *loadings) if method.other_genes else ()))

    def vectors(self, control: str, split: Split, seed: int) -> NDArray[np.float32] | None:
        """Vectors ``[G, d]`` for one draw; None where there are none of this kind for it.

        Parameters
        ----------
        control
            One of `controls`, "" for the texts.
        split
            The draw.
        seed
            Of the draw.
        """
        if not control or control in self.bags:
            return self.bags.get(control, self.texts)
        if control in _CELLS:
            found = self.through(_CELLS[control], split, seed)
            return None if found is None else np.asarray(found.vectors, np.float32)
        if control == OTHER_DATA:
            apart = self._apart_from(split)
            return None if apart is None or not apart.data else apart.loadings
        if self._kept.get(control, (None,))[0] != seed:
            self._kept[control] = seed, control_vectors(self.texts, control, seed=seed)
        return self._kept[control][1]

    def atlas(self, control: str, split: Split, seed: int) -> GeneAtlas | None:
        """What other data sets have told of genes; a control's has no meaning in what texts gave.

        Parameters
        ----------
        control, split, seed
            As `vectors`. Data sets that share cells with the split are left out.
        """
        apart = None if control == OTHER_DATA or control in _CELLS else self._apart_from(split)
        if apart is None or control not in CONTROLS:
            return apart
        words, foretold = (
            control_vectors(part, control, seed=seed) for part in (apart.words, apart.foretold)
        )
        return replace(apart, words=words, foretold=foretold)

    def through(self, n: int, split: Split, seed: int) -> Likeness | None:
        """Expression of genes in n cells of the query, which have measured those of the reference too.

        None where the two sides are of two data sets.
        """
        if split.sources[0] is not split.sources[1]:
            return None
        drawn = np.random.default_rng(seed).permutation(split.cells[1])[:n]
        return expression_of_genes(selected_cells(split.sources[1].take(np.sort(drawn)), len(self.texts)))

    def _apart_from(self, split: Split) -> GeneAtlas | None:
        """The gene atlas without the data sets that a split's cells are from; the last one is kept."""
        if self._atlas is None:
            return None
        key = tuple(id(source) for source in split.sources)
        if self._last[0] != key:
            apart = self._atlas
            for source in split.sources:
                if source.names is not None:
                    detected = np.zeros(len(self.texts))
                    seen = np.bincount(source.counts.indices, minlength=len(source.rows))
                    detected[source.rows] = seen / source.n_cells
                    apart = apart.apart_from(cell_hashes(source.names, source.totals), detected)
            self._last = key, apart
            if left_out := {cells.name for cells in self._atlas.data} - {cells.name for cells in apart.data}:
                names = ", ".join(sorted(left_out))
                self._listener(
                    Note(f"the gene atlas is used without {names}: these cells are of the same experiment")
                )
        return self._last[1]

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
