"""What cells are scored by: a class, a sentence, a cell, or any vector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell._say import listed
from lexicell.embedding import Listener, Plan
from lexicell.errors import InputError
from lexicell.words.encoding import encode_sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Direction"]


@dataclass(frozen=True)
class Direction:
    """A vector ``v``; a cell's score is ``<z, v>``.

    Attributes
    ----------
    name
        What people call it.
    vector
        ``[p]`` float64.
    """

    name: str
    vector: NDArray[np.float64]

    @classmethod
    def of_vector(cls, vector: NDArray[Any] | Sequence[float], dim: int) -> Direction:
        """Take any vector, as it is.

        Raises
        ------
        InputError
            It has another length than `dim`, is not finite, or 0.
        """
        array = np.asarray(vector, np.float64)
        if array.shape != (dim,) or not np.isfinite(array).all() or not array.any():
            msg = f"a direction is {dim} finite numbers that are not all 0, not {list(array.shape)} of them"
            raise InputError(msg)
        return cls("vector", array)

    @classmethod
    def of_class(cls, plan: Plan, name: str) -> Direction:
        """Take what a projection's classifier adds for a class, less what it adds for all.

        A class is more probable the more its row of the classifier exceeds the mean row, so only that is
        taken.

        Raises
        ------
        InputError
            The projection has no classifier, or it has no such class.
        """
        classifier = None if plan.projection is None else plan.projection.classifier
        if classifier is None:
            msg = "a class is explained of a projection that was trained with labels; name one (--projection)"
            raise InputError(msg)
        if name not in classifier.classes:
            msg = f"the projection has no class {name!r}; it has {listed(classifier.classes)}"
            raise InputError(msg)
        rows = classifier.weight.astype(np.float64) / classifier.temperature
        return cls(name, rows[classifier.classes.index(name)] - rows.mean(axis=0))

    @classmethod
    def of_text(cls, plan: Plan, sentence: str, listener: Listener) -> Direction:
        """Take where the map of a plan puts a sentence, as it does with the texts of genes; of length 1.

        Raises
        ------
        InputError
            The sentence is empty, or can't be encoded as the lexicon's texts were.
        """
        if not sentence.strip():
            msg = "a sentence to explain cells by has words"
            raise InputError(msg)
        lexicon, projection = plan.cells.lexicon, plan.projection
        found = encode_sentences([sentence], lexicon, listener)
        if found is None:
            msg = (
                f"the encoder of {lexicon.name} is not at hand, and a sentence is explained by its vector; "
                'install it: pip install "lexicell[encoders]"'
            )
            raise InputError(msg)
        if projection is not None:
            of_texts = replace(projection, gene_scale=None, residual=None)  # those of genes
            found = of_texts.apply(found, np.zeros(1, np.int64))
            if not projection.weight.any():
                msg = f"the projection {projection.name} has rows of genes only, and none of sentences"
                raise InputError(msg)
        vector = found[0].astype(np.float64)
        return cls(sentence, vector / max(float(np.linalg.norm(vector)), np.finfo(np.float64).tiny))
