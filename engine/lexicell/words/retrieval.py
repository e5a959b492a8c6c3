"""Which genes a sentence calls up: likeness of the sentence and each gene's text, by meaning and by words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexicell.arrays import unit_rows
from lexicell.embedding import Listener, Note
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon
from lexicell.lexicon.text_index import index_of
from lexicell.words.descriptions import Description, shipped_types
from lexicell.words.encoding import encode_sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["call_up", "likeness_of", "standardised"]

#: Sentences at once; each takes the likeness of all genes in memory.
_MOST_SENTENCES = 1_000
#: Letters of a sentence in a message.
_SHOWN = 80
#: A number that no standard deviation of likenesses reaches.
_NOTHING = 1e-9


def call_up(
    sentences: Sequence[str], vectors: NDArray[np.float32] | None, lexicon: Lexicon
) -> NDArray[np.float32]:
    """How much each gene of a lexicon is what a sentence speaks of.

    The cosine of the sentence's vector and each gene's, both centred by the mean of all genes, and the cosine
    of their words (`lexicell.lexicon.text_index`) are each standardised over the lexicon's genes, added and
    standardised again; the panel of a data set has no influence.

    Parameters
    ----------
    sentences
        ``n`` of them.
    vectors
        ``[n, d]`` from `encode_sentences`, or None to compare words only.
    lexicon
        ``G`` genes with texts.

    Returns
    -------
    numpy.ndarray
        ``[n, G]`` float32: standard deviations above the lexicon's mean.

    Raises
    ------
    InputError
        A sentence shares no word with any text and has no vector, or the lexicon has neither.
    MissingExtraError
        scikit-learn is not installed.
    """
    index = index_of(lexicon)
    parts = []
    if vectors is not None:
        stored = np.asarray(lexicon.stored, np.float32)
        centre = stored.mean(axis=0)
        parts.append(unit_rows(vectors - centre) @ unit_rows(stored - centre).T)
    if index is not None:
        parts.append(index.likeness(sentences))
    nothing = np.zeros((len(sentences), lexicon.n_genes), np.float32)
    found = standardised(sum((standardised(part) for part in parts), nothing))
    silent = np.flatnonzero(~found.any(axis=1)) if parts else np.arange(len(sentences))
    if len(silent):
        msg = (
            f"{sentences[silent[0]][:_SHOWN]!r} calls up no gene of {lexicon.name}: no gene's text has its "
            "words; say in English what the cell does"
        )
        raise InputError(msg)
    return found


def standardised(likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row with mean 0 and standard deviation 1; 0 where it does not vary."""
    centred = likeness - likeness.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.where(spread > _NOTHING, centred / np.maximum(spread, _NOTHING), 0).astype(np.float32)


def likeness_of(
    descriptions: Sequence[Description], lexicon: Lexicon, listener: Listener
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Likeness of given sentences, and of those that are shipped, to all genes, ``[S, G]`` and ``[B, G]``.

    Raises
    ------
    InputError
        There are more than 1,000 sentences, or one calls up no gene.
    """
    if len(descriptions) > _MOST_SENTENCES:
        msg = f"{len(descriptions):,} sentences are too many to tell apart; give at most {_MOST_SENTENCES:,}"
        raise InputError(msg)
    index = index_of(lexicon)
    given = [kind.sentence for kind in descriptions]
    if index is not None:
        for kind, found in zip(descriptions, index.likeness(given), strict=True):
            if not found.any():
                text = f"no gene's text has a word of {kind.name!r}; is it English?"
                listener(Note(text, serious=True))
    null = shipped_types()
    sentences = [*given, *(kind.sentence for kind in null)]
    found = call_up(sentences, encode_sentences(sentences, lexicon, listener), lexicon)
    return found[: len(descriptions)], found[len(descriptions) :]
