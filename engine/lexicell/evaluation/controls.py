"""What an embedding has to beat: language without meaning, and texts without a language model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.arrays import unit_rows
from lexicell.lexicon import Lexicon
from lexicell.lexicon.gene_sets import go_sets_of_texts, rows_of_sets
from lexicell.lexicon.text_index import index_of, singular_vectors

__all__ = ["BAGS", "CONTROLS", "bag_vectors", "control_vectors"]

#: Vectors without meaning.
CONTROLS = ("shuffled", "random")
#: Vectors of the same texts without a language model: of their words (latent semantic analysis), and of the
#: Gene Ontology terms that they name.
BAGS = ("LSA of texts", "GO terms of texts")
#: Components of words or terms.
_COMPONENTS = 300


def control_vectors(vectors: NDArray[np.floating[Any]], control: str, *, seed: int) -> NDArray[np.float32]:
    """Vectors without meaning: each gene keeps the length of its own vector and gets another direction.

    So what is compared is what the direction says, in a lexicon as in a folded table, where lengths hold
    how much a gene counts.

    Parameters
    ----------
    vectors
        ``[G, d]``.
    control
        "shuffled": the direction of another gene's vector. "random": any direction.
    seed
        Of both.
    """
    array = np.asarray(vectors, np.float32)
    rng = np.random.default_rng([seed, CONTROLS.index(control)])
    shuffled = control == "shuffled"
    drawn = array[rng.permutation(len(array))] if shuffled else rng.standard_normal(array.shape, np.float32)
    lengths, drawn_lengths = (np.linalg.norm(part, axis=1, keepdims=True) for part in (array, drawn))
    return np.asarray(drawn * (lengths / np.where(drawn_lengths > 0, drawn_lengths, 1)), np.float32)


def bag_vectors(lexicon: Lexicon, bag: str, *, seed: int = 0) -> NDArray[np.float32] | None:
    """Vectors of a lexicon's texts as bags of words or of terms, ``[G, 300]`` of length 1; 0 without any.

    Parameters
    ----------
    lexicon
        ``G`` genes with texts.
    bag
        "LSA of texts": singular vectors of the TF-IDF of words and pairs of words. "GO terms of texts": those
        of which gene's text names which term, rare terms counting more.
    seed
        Of the solver.

    Returns
    -------
    numpy.ndarray or None
        None where the texts have too few words, or name no terms.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    found = _bag_of(lexicon.path, lexicon.identity, bag, seed)
    return None if found is None else found.copy()


@lru_cache(maxsize=2 * len(BAGS))
def _bag_of(path: Path, identity: str, bag: str, seed: int) -> NDArray[np.float32] | None:  # noqa: ARG001
    """Vectors of a lexicon's texts, made once; `identity` says which lexicon it was then."""
    lexicon = Lexicon.open(path, verify=False)
    if bag == "LSA of texts":
        index = index_of(lexicon)
        matrix = None if index is None else index.matrix
    else:
        sets = go_sets_of_texts(lexicon)
        matrix = _membership(rows_of_sets(lexicon, sets), lexicon.n_genes) if sets.sets else None
    if matrix is None or min(matrix.shape) <= 1:
        return None
    return np.asarray(unit_rows(singular_vectors(matrix, _COMPONENTS, seed=seed)), np.float32)


def _membership(sets: list[NDArray[np.int32]], genes: int) -> sp.csr_matrix:
    """Terms of genes, each term counting the more the fewer genes have it."""
    named = [rows for rows in sets if len(rows) > 1]
    sizes = np.array([len(rows) for rows in named])
    rows = np.concatenate(named) if named else np.empty(0, np.int32)
    columns = np.repeat(np.arange(len(named)), sizes)
    return sp.csr_matrix((np.log(genes / sizes)[columns], (rows, columns)), shape=(genes, len(named)))
