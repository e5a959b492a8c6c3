"""Cells as sentences of gene names, as Cell2Sentence has them, with every word being the right gene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.errors import InputError
from lexicell.exports.prepared import Prepared
from lexicell.exports.ranking import rank_genes
from lexicell_kernels import CsrBlock

__all__ = ["SentenceEncoder", "SentenceOptions", "joined", "prepare"]

_SPECIES = {"human": "Homo sapiens", "mouse": "Mus musculus"}


@dataclass(frozen=True)
class SentenceOptions:
    """How cells become sentences.

    Attributes
    ----------
    top
        Words of a sentence; None for all expressed genes.
    delimiter
        Between words.
    """

    top: int | None = None
    delimiter: str = " "

    def __post_init__(self) -> None:
        if self.top is not None and not 1 <= self.top < 2**31:
            msg = f"a sentence has at least one word, not {self.top}"
            raise InputError(msg)


@dataclass(frozen=True)
class SentenceEncoder:
    """Makes ``cell_sentence``; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    genes
        Columns that have a word; their rows are numbers of words.
    words
        ``[m]`` names in upper case, in the order of the lexicon.
    top, delimiter
        See `SentenceOptions`.
    organism
        Whose genes they are, for Cell2Sentence's prompts; a column of ``obs`` of this name goes before.
    """

    genes: CandidateGenes
    words: tuple[str, ...]
    top: int | None
    delimiter: str
    organism: str

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return ()

    def tally(self, counts: CsrBlock) -> NDArray[np.int64]:
        """Cells that have each word."""
        place = self.genes.rank[counts.indices]
        return np.bincount(place[(place >= 0) & (counts.data > 0)], minlength=len(self.words))

    def encode(
        self,
        counts: CsrBlock,
        start: int,  # noqa: ARG002
        obs: pd.DataFrame,
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        ranked = rank_genes(counts, self.genes, self.top)
        text = joined(pa.array(self.words), ranked.genes, ranked.indptr, self.delimiter)
        return {
            "cell_name": pa.array(np.asarray(obs.index, str)),
            "cell_sentence": text,
            "n_genes": pa.array(np.diff(ranked.indptr).astype(np.int32)),
            "n_tied": pa.array(ranked.n_tied),
            "organism": pa.array([self.organism] * len(ranked), pa.string()),
        }, None


def prepare(cells: AlignedCells, options: SentenceOptions, listener: Listener) -> Prepared:
    """Give the genes of a data set their words: symbols of the lexicon, in upper case.

    Described genes only. Where two genes have one word, their counts are summed.
    """
    lexicon, rows = cells.lexicon, cells.genes.rows
    symbols = lexicon.genes.column("symbol").to_pylist()
    upper = [str(symbols[row]).upper() for row in rows.tolist()]
    odd = [word for word in upper if options.delimiter in word]
    if odd:
        msg = f"the delimiter {options.delimiter!r} stands in names of genes, as {odd[0]}; choose another"
        raise InputError(msg)
    words = list(dict.fromkeys(upper))
    number = {word: at for at, word in enumerate(words)}
    of_row = np.full(lexicon.n_genes, -1, np.int32)
    of_row[rows] = [number[word] for word in upper]
    aligned = cells.alignment.rows
    of_column = np.where(cells.genes.rank >= 0, of_row[np.maximum(aligned, 0)], -1).astype(np.int32)
    for at in np.flatnonzero(aligned < 0).tolist():  # another spelling of a name that is there too
        of_column[at] = number.get(cells.alignment.names[at].upper(), -1)
    genes = CandidateGenes.of(of_column)
    share = cells.coverage
    facts: dict[str, Any] = {
        "top": options.top,
        "delimiter": options.delimiter,
        "words": len(words),
        "unmatched": int((of_column < 0).sum()),
        "collapsed": int((of_column >= 0).sum() - len(words)),
        "share_of_counts": round(share, 4),
    }
    listener(Note(f"{len(words):,} genes have a word, with {share:.0%} of the counts"))
    table = pd.DataFrame({"row": np.arange(len(words)), "word": words})

    def vocabulary(cells_with: NDArray[np.int64]) -> dict[str, bytes]:
        of_word = dict(zip(words, cells_with.tolist(), strict=True))
        return {"_vocabulary.json": json.dumps(of_word).encode()}

    species = _SPECIES.get(cells.alignment.organism, cells.alignment.organism)
    encoder = SentenceEncoder(genes, tuple(words), options.top, options.delimiter, species)
    return Prepared(encoder, table, facts, tallied=vocabulary)


def joined(words: pa.Array, which: NDArray[Any], indptr: NDArray[Any], join: str) -> pa.Array:
    """Texts of ``n`` cells, of the words ``words[which[indptr[i]:indptr[i + 1]]]`` and what joins them."""
    import pyarrow.compute as pc

    taken = words.take(pa.array(which))
    lists = pa.LargeListArray.from_arrays(pa.array(indptr, pa.int64()), taken)
    return pc.binary_join(lists, join)
