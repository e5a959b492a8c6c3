"""What differs between two lexicons: genes, texts, names, flags, vectors and how they were made."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.lexicon.card import gene_label
from lexicell.lexicon.lexicon import Lexicon
from lexicell.lexicon.match import GeneIndex, gene_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Change", "LexiconDiff", "VectorChange", "diff_lexicons", "word_diff"]

_CONTEXT = 3
_NAMES = ("ncbi_id", "ensembl_ids", "aliases", "mouse_symbols", "name", "gene_type", "text_source")
_BLOCK = 4096


@dataclass(frozen=True)
class Change:
    """One value of one gene, or of the manifest, in the first and in the second lexicon."""

    what: str
    first: Any
    second: Any


@dataclass(frozen=True)
class VectorChange:
    """How far a gene's vector moved: largest absolute difference, and cosine (0 for a zero vector)."""

    gene: str
    max_difference: float
    cosine: float


@dataclass(frozen=True)
class LexiconDiff:
    """What differs between two lexicons.

    Attributes
    ----------
    identical
        Whether they are the same in every byte that counts.
    about
        Fields of the manifests that differ.
    files
        Names of files that differ or that one of them lacks.
    common
        How many genes are in both.
    only_first, only_second
        Genes of one of them.
    texts, symbols, flags
        Genes whose text, symbol or flag differs.
    other_columns
        Any other column of the gene table -> how many genes differ in it.
    vectors
        Genes of the same text whose vectors differ, largest difference first; None where vectors of
        different lengths cannot be compared.
    """

    identical: bool
    about: Sequence[Change]
    files: Sequence[str]
    common: int
    only_first: Sequence[str]
    only_second: Sequence[str]
    texts: Sequence[Change]
    symbols: Sequence[Change]
    flags: Sequence[Change]
    other_columns: Mapping[str, int]
    vectors: Sequence[VectorChange] | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def diff_lexicons(first: str | Path, second: str | Path) -> LexiconDiff:
    """Compare two lexicons gene by gene; what is the same gene is decided as in `merge_lexicons`.

    Parameters
    ----------
    first, second
        Folders, or names of bundled lexicons.

    Returns
    -------
    LexiconDiff
        Complete lists, genes in the order of `first` (then of `second`).
    """
    old, new = Lexicon.open(first), Lexicon.open(second)
    pairs = _pairs(old, new)
    genes = [lexicon.read_genes().to_pylist() for lexicon in (old, new)]
    common = [(genes[0][a], genes[1][b]) for a, b in pairs]
    only_first, only_second = (
        [gene_label(gene) for row, gene in enumerate(table) if row not in rows]
        for table, rows in zip(genes, ({a for a, _ in pairs}, {b for _, b in pairs}), strict=True)
    )
    columns = {column: len(_changes(common, column)) for column in _NAMES}
    vectors = None
    if old.dim == new.dim:
        same = [(a, b) for (a, b), (g, h) in zip(pairs, common, strict=True) if g["text"] == h["text"]]
        vectors = sorted(
            _vector_changes(old, new, same, genes[0]), key=lambda v: (-v.max_difference, v.cosine, v.gene)
        )
    return LexiconDiff(
        identical=old.identity == new.identity,
        about=_about(old, new),
        files=sorted({name for name, _ in {*old.info.files.items()} ^ {*new.info.files.items()}}),
        common=len(pairs),
        only_first=only_first,
        only_second=only_second,
        texts=_changes(common, "text"),
        symbols=_changes(common, "symbol"),
        flags=_changes(common, "text_flag"),
        other_columns={column: n for column, n in columns.items() if n},
        vectors=vectors,
    )


def word_diff(old: str, new: str) -> str:
    """Show only what changed, word by word, as ``of the [-old-] {+new+} receptor`` between dots."""
    a, b = old.split(), new.split()
    shown: list[str] = []
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        if group[0][1] > 0 and not (shown and shown[-1] == "..."):
            shown.append("...")
        for tag, i, j, k, m in group:
            if tag == "equal":
                shown += a[i:j]
                continue
            if j > i:
                shown.append(f"[-{' '.join(a[i:j])}-]")
            if m > k:
                shown.append(f"{{+{' '.join(b[k:m])}+}}")
        if group[-1][2] < len(a):
            shown.append("...")
    return " ".join(shown)


def _pairs(first: Lexicon, second: Lexicon) -> list[tuple[int, int]]:
    index = GeneIndex()
    index.add(gene_keys(first.genes))
    pairs: dict[int, int] = {}
    for row, key in enumerate(gene_keys(second.genes)):
        first_row = index.find(key)
        if first_row is not None:
            pairs.setdefault(first_row, row)  # of several rows of the second, the others are its own
    return sorted(pairs.items())


def _changes(common: Sequence[tuple[dict[str, Any], dict[str, Any]]], column: str) -> list[Change]:
    return [
        Change(gene_label(old), old[column], new[column])
        for old, new in common
        if (old[column] or None) != (new[column] or None)
    ]


def _about(first: Lexicon, second: Lexicon) -> list[Change]:
    flat = []
    for lexicon in (first, second):
        content = lexicon.info.model_dump(exclude={"files", "format_version"})
        nested = {f"{part} {k}": v for part in ("text", "encoder") for k, v in content.pop(part).items()}
        flat.append({**content, **nested})
    return [
        Change(key.replace("_", " "), old, flat[1][key])
        for key, old in flat[0].items()
        if old != flat[1][key]
    ]


def _vector_changes(
    a: Lexicon, b: Lexicon, pairs: Sequence[tuple[int, int]], genes: Sequence[Mapping[str, Any]]
) -> Iterator[VectorChange]:
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        old, new = (lexicon.stored[block[:, i]].astype(np.float64) for i, lexicon in enumerate((a, b)))
        largest = np.abs(old - new).max(axis=1)
        changed = np.flatnonzero(largest)
        cosine = _cosine(old[changed], new[changed])
        for at, similarity in zip(changed, cosine, strict=True):
            yield VectorChange(gene_label(genes[block[at, 0]]), float(largest[at]), float(similarity))


def _cosine(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    product: NDArray[np.float64] = np.einsum("ij,ij->i", old, new)
    cosine = np.zeros_like(product)
    np.divide(product, lengths, out=cosine, where=lengths > 0)
    return cosine
