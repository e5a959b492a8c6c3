"""Likenesses of sentences and genes: ours, its parts, and what stands in for texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lexicell._arrays import unit_rows
from lexicell.embedding.events import ignore
from lexicell.lexicon import Lexicon
from lexicell.words import shipped_types
from lexicell.words.encoding import encode_sentences
from lexicell.words.retrieval import TextIndex, call_up, standardised

__all__ = ["KINDS", "alike", "named_genes", "of_genes", "symbols"]

#: What calls up the genes.
KINDS = ("both", "MiniLM", "TF-IDF", "LSA")
_LSA = 300


def alike(
    kind: str, sentences: Sequence[str], lexicon: Lexicon
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Likeness of sentences, and of the null's, to all genes of a lexicon, by one of `KINDS`."""
    every = [*sentences, *(one.sentence for one in shipped_types())]
    found = _alike(kind, tuple(every), lexicon)
    return found[: len(sentences)], found[len(sentences) :]


def _alike(kind: str, sentences: tuple[str, ...], lexicon: Lexicon) -> NDArray[np.float32]:
    if kind in ("both", "MiniLM"):
        vectors = encode_sentences(sentences, lexicon, ignore)
        if vectors is None:
            msg = "the encoder of the lexicon is not installed: pip install lexicell[encoders]"
            raise RuntimeError(msg)
        if kind == "both":
            return call_up(sentences, vectors, lexicon)
        stored = np.asarray(lexicon.stored, np.float32)
        centre = stored.mean(axis=0)
        return standardised(unit_rows(vectors - centre) @ unit_rows(stored - centre).T)
    if kind == "TF-IDF":
        return call_up(sentences, None, lexicon)
    index, loadings, centre = _lsa(lexicon.name)
    asked = np.asarray(index._vectorizer.transform(sentences) @ loadings)
    genes = np.asarray(index.matrix @ loadings)
    return standardised(unit_rows(asked - centre) @ unit_rows(genes - centre).T)


@cache
def _lsa(name: str) -> tuple[TextIndex, NDArray[np.float32], NDArray[np.float32]]:
    """TF-IDF of the texts, ``[terms, 300]`` loadings, and the mean gene in them."""
    from sklearn.decomposition import TruncatedSVD

    texts = Lexicon.open(name).read_genes(["text"]).column("text").to_pylist()
    index = TextIndex([text or "" for text in texts])
    loadings = TruncatedSVD(_LSA, random_state=0).fit(index.matrix).components_.T.astype(np.float32)
    return index, loadings, np.asarray(index.matrix @ loadings).mean(axis=0)


def symbols(lexicon: Lexicon) -> list[str]:
    """Symbols of all genes, in the lexicon's order."""
    return [str(symbol) for symbol in lexicon.genes.column("symbol").to_pylist()]


def of_genes(lists: Sequence[Sequence[str]], lexicon: Lexicon) -> NDArray[np.float32]:
    """Likeness 1 of listed genes, 0 of all others, ``[n, G]``."""
    row = {symbol: at for at, symbol in enumerate(symbols(lexicon))}
    found = np.zeros((len(lists), lexicon.n_genes), np.float32)
    for at, genes in enumerate(lists):
        found[at, [row[gene] for gene in genes if gene in row]] = 1
    return found


def named_genes(sentences: Sequence[str], lexicon: Lexicon) -> list[list[str]]:
    """Symbols of the genes whose symbol or whole name stands in each sentence."""
    names = lexicon.genes.column("name").to_pylist()
    pairs = [(symbol, (name or "").casefold()) for symbol, name in zip(symbols(lexicon), names, strict=True)]
    found = []
    for sentence in sentences:
        words = set(re.findall(r"[A-Za-z0-9-]+", sentence))
        text = f" {' '.join(re.findall(r'[a-z0-9-]+', sentence.casefold()))} "
        found.append([s for s, name in pairs if s in words or (name and f" {name} " in text)])
    return found
