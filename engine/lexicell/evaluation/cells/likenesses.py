"""What calls up genes in place of a sentence: parts of its likeness, and what has none of its meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lexicell.arrays import unit_rows
from lexicell.embedding import Listener
from lexicell.embedding.events import ignore
from lexicell.errors import InputError
from lexicell.evaluation.controls import CONTROLS
from lexicell.lexicon import Lexicon
from lexicell.words import shipped_types
from lexicell.words.encoding import encode_sentences
from lexicell.words.retrieval import call_up, standardised

__all__ = [
    "LikenessKind",
    "Likenesses",
    "halves",
    "likenesses",
    "meaningless",
    "named_genes",
    "of_genes",
    "symbols",
    "with_markers",
]

#: Of ``n`` sentences and of the null's ``B``, to all genes: ``[n, G]`` and ``[B, G]``.
Likenesses = tuple[NDArray[np.float32], NDArray[np.float32]]
#: What sentences and texts are compared by.
LikenessKind = Literal["both", "MiniLM", "TF-IDF"]


def likenesses(
    kind: LikenessKind, sentences: Sequence[str], lexicon: Lexicon, listener: Listener = ignore
) -> Likenesses | None:
    """Compare sentences and the null's with the texts of all genes.

    Parameters
    ----------
    kind
        ``"both"`` as `lexicell.words.name_cells` does, or vectors alone, or words alone.
    sentences, lexicon
        ``n`` and ``G`` genes.
    listener
        Is told where the lexicon's encoder is missing.

    Returns
    -------
    tuple or None
        None for vectors alone where the encoder is missing.
    """
    every = [*sentences, *(one.sentence for one in shipped_types())]
    vectors = None if kind == "TF-IDF" else encode_sentences(every, lexicon, listener)
    if kind != "MiniLM":
        found = call_up(every, vectors, lexicon)
    elif vectors is None:
        return None
    else:
        stored = np.asarray(lexicon.stored, np.float32)
        centre = stored.mean(axis=0)
        found = standardised(unit_rows(vectors - centre) @ unit_rows(stored - centre).T)
    return found[: len(sentences)], found[len(sentences) :]


def halves(
    sentences: Sequence[str], lexicon: Lexicon, tell: Callable[[str, str], None]
) -> dict[str, Likenesses]:
    """Likeness by words alone and by vectors alone, by what each half is called.

    Where a half has nothing to say, as without the lexicon's encoder, it is left out: `tell` gets its name
    and the reason.
    """
    encoder = "MiniLM" if "minilm" in lexicon.info.encoder.id.casefold() else "vectors"
    kinds: dict[str, LikenessKind] = {"TF-IDF": "TF-IDF", encoder: "MiniLM"}
    found = {}
    for name, kind in kinds.items():
        try:
            half = likenesses(kind, sentences, lexicon)
        except InputError as error:  # a sentence shares no word with any text
            tell(name, str(error))
            continue
        if half is None:
            tell(name, "the lexicon's encoder is not at hand")
        else:
            found[name] = half
    return found


def meaningless(of: Likenesses, control: str, seed: int) -> Likenesses:
    """Likenesses of another gene ("shuffled": texts change places), or of none ("random")."""
    rng = np.random.default_rng([seed, CONTROLS.index(control)])
    if control == "shuffled":
        order = rng.permutation(of[0].shape[1])
        return of[0][:, order], of[1][:, order]
    first, second = (rng.standard_normal(part.shape, np.float32) for part in of)
    return first, second


def with_markers(of: Likenesses, markers: NDArray[np.float32]) -> Likenesses:
    """Make the markers, those above 0 of ``[n, G]``, as like each sentence as the gene that is most so."""
    return np.where(markers > 0, of[0].max(axis=1, keepdims=True), of[0]), of[1]


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
