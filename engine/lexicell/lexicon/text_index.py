"""The texts of a lexicon's genes as bags of words: TF-IDF, and its singular vectors."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import needing
from lexicell.lexicon.lexicon import Lexicon

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp

__all__ = ["TextIndex", "index_of", "singular_vectors"]

#: Terms in fewer texts than the first, or in a larger share of them than the second, tell nothing.
_LEAST_TEXTS, _LARGEST_SHARE = 2, 0.2
#: Rounds of the solver, which takes seconds each.
_ROUNDS = 2


class TextIndex:
    """TF-IDF of the texts of a lexicon's genes: words and pairs of words, logarithmic, cosine.

    Attributes
    ----------
    matrix
        ``[G, terms]`` CSR, rows of length 1; 0 for a gene without a text.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Index ``G`` texts; one pass over all words, some seconds."""
        with needing("evaluate", "Looking for words in the texts of genes"):
            from sklearn.feature_extraction.text import TfidfVectorizer
        self._vectorizer = TfidfVectorizer(
            sublinear_tf=True,
            min_df=_LEAST_TEXTS,
            max_df=_LARGEST_SHARE,
            stop_words="english",
            ngram_range=(1, 2),
            dtype=np.float32,
        )
        self.matrix: sp.csr_matrix = self._vectorizer.fit_transform(texts)

    def likeness(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Cosine of sentences and texts, ``[n, G]`` float32; 0 where no word is shared."""
        found: Any = self._vectorizer.transform(sentences) @ self.matrix.T
        return np.asarray(found.toarray(), np.float32)


@lru_cache(maxsize=2)
def _index_of(path: Path, identity: str) -> TextIndex | None:  # noqa: ARG001 -- which lexicon it was then
    """Index a lexicon's texts; None where it has too few to tell words apart."""
    lexicon = Lexicon.open(path, verify=False)
    texts = [text or "" for text in lexicon.read_genes(["text"]).column("text").to_pylist()]
    try:
        return TextIndex(texts)
    except ValueError:  # no word is left
        return None


def index_of(lexicon: Lexicon) -> TextIndex | None:
    """Index of a lexicon's texts, made once; None where they have too few words."""
    return _index_of(lexicon.path, lexicon.identity)


def singular_vectors(matrix: sp.csr_matrix, n_components: int, *, seed: int) -> NDArray[np.float32]:
    """Singular vectors of a matrix of genes and terms, times their values, ``[G, n_components]``.

    Parameters
    ----------
    matrix
        ``[G, terms]``: of words this is latent semantic analysis.
    n_components
        How many; fewer where there are fewer genes or terms.
    seed
        Of the solver.
    """
    with needing("evaluate", "Components of words"):
        from sklearn.decomposition import TruncatedSVD
    n = min(n_components, min(matrix.shape) - 1)
    solver = TruncatedSVD(n, n_iter=_ROUNDS, random_state=seed)
    return np.asarray(solver.fit_transform(matrix), np.float32)
