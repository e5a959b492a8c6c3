"""Gene sets: GMT files, the Gene Ontology sets that come with the package, and their genes in a lexicon."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexicell._files import read_utf8
from lexicell.errors import InputError, InputNotFoundError
from lexicell.lexicon.lexicon import Lexicon
from lexicell.lexicon.text.recipe import GO_ASPECTS

__all__ = [
    "GO_SETS",
    "GeneSet",
    "GeneSets",
    "MatchedSets",
    "Term",
    "go_sets_of_texts",
    "match_gene_sets",
    "read_gene_sets",
    "rows_of_sets",
]

#: Name of the bundled sets.
GO_SETS = "go-bp"
_DATA = Path(__file__).with_name("data") / "gene-sets"
_TERMS = re.compile(
    r"(?:^|\. )({0}): (.+?)(?=\. (?:{0}): |\.?$)".format("|".join(words for _, words in GO_ASPECTS))
)

_NO_NAME = {"", "na", "n/a", "-"}
#: Ids that say nothing: GO:0006955, R-HSA-109581, hsa04110, WP554.
_ACCESSION = re.compile(r"^(?:[A-Za-z]+:?\d+|R-[A-Z]{3}-\d+)$")
_AFTER_NAME = re.compile(r"\s*\((?:\d+|GO:\d+)\)\s*$")  # "name (123)", "name (GO:0000086)"


@dataclass(frozen=True)
class GeneSet:
    """One line of a GMT file: an id, a name (the second column), and gene ids or symbols."""

    id: str
    name: str
    genes: frozenset[str]

    @property
    def label(self) -> str:
        """What people call it: the second column, or the id where that holds a web address or nothing."""
        label = self.name.strip()
        if label.lower() in _NO_NAME or "://" in label:
            label = self.id.replace("_", " ")
        return _AFTER_NAME.sub("", label)

    @property
    def title(self) -> str:
        """The label of an id that says nothing (GO:0006955), else the id: it tells sets apart."""
        return self.label if _ACCESSION.match(self.id) else self.id.replace("_", " ")


@dataclass(frozen=True)
class GeneSets:
    """Sets whose membership is to be predicted.

    Attributes
    ----------
    name
        What people call them.
    sets
        In the order of the file.
    groups
        Broad sets from whose genes negatives are drawn, as many from each; where there are none, negatives
        are drawn from the genes of all sets.
    """

    name: str
    sets: tuple[GeneSet, ...]
    groups: tuple[GeneSet, ...] = ()


@dataclass(frozen=True)
class Term:
    """A gene set in terms of a lexicon.

    Attributes
    ----------
    id, label
        Of the set.
    positives
        int32 lexicon rows of its genes, ascending.
    pool
        int32 rows of the genes that negatives are drawn from, ascending.
    groups
        Parts of `pool`, which may overlap, to draw evenly from; empty for no such rule.
    """

    id: str
    label: str
    positives: NDArray[np.int32]
    pool: NDArray[np.int32]
    groups: tuple[NDArray[np.int32], ...] = ()


@dataclass(frozen=True)
class MatchedSets:
    """Gene sets whose genes were looked up in a lexicon.

    Attributes
    ----------
    name
        Of the sets.
    terms
        Sets that can be predicted.
    skipped
        Label and number of described genes of the sets that have too few of them.
    n_names, n_matched
        Different gene names in all sets, and how many of them the lexicon has.
    """

    name: str
    terms: tuple[Term, ...]
    skipped: tuple[tuple[str, int], ...]
    n_names: int
    n_matched: int


def read_gene_sets(path: str | Path) -> GeneSets:
    """Read a GMT file, or the Gene Ontology sets that come with the package.

    Parameters
    ----------
    path
        ``.gmt`` or ``.gmt.gz``: a line per set with an id, a name and its genes, separated by tabs, UTF-8;
        or ``"go-bp"`` (`GO_SETS`): 56 biological processes, with groups for negatives.

    Raises
    ------
    InputNotFoundError
        If the file does not exist.
    InputError
        If it is not GMT, not UTF-8, has a set twice, or is empty.
    CorruptDataError
        If it is not complete gzip.
    """
    if path == GO_SETS:
        terms, groups = (_read(_DATA / f"{GO_SETS}{part}.gmt.gz") for part in ("", ".groups"))
        return GeneSets("GO biological process", terms, groups)
    path = Path(path)
    if not path.exists():
        msg = f'{path} does not exist; name a .gmt file, or "{GO_SETS}" for the sets that come with lexicell'
        raise InputNotFoundError(msg)
    return GeneSets(path.name.removesuffix(".gz").removesuffix(".gmt"), _read(path))


def go_sets_of_texts(lexicon: Lexicon) -> GeneSets:
    """Gene Ontology terms that a lexicon's texts name, and the genes whose texts name them.

    No more than the texts say: a text lists some terms of its gene, as they were annotated, and their more
    general ones are not added.

    Parameters
    ----------
    lexicon
        Made of texts with parts such as "Involved in: a; b."; see `lexicell.lexicon.text.recipe`.

    Returns
    -------
    GeneSets
        Genes by NCBI id, or symbol where they have none; a set's id is its name. Empty where no
        text has such parts.
    """
    table = lexicon.read_genes(["ncbi_id", "symbol", "text"])
    found: dict[str, set[str]] = {}
    columns = (table.column(name).to_pylist() for name in ("ncbi_id", "symbol", "text"))
    for number, symbol, text in zip(*columns, strict=True):
        for _, terms in _TERMS.findall(text or ""):
            for term in terms.split("; "):
                found.setdefault(term.strip(), set()).add(str(number or symbol))
    sets = (GeneSet(term, term, frozenset(genes)) for term, genes in sorted(found.items()))
    return GeneSets(f"GO terms in the texts of {lexicon.name}", tuple(sets))


def match_gene_sets(
    lexicon: Lexicon, sets: GeneSets, *, least: int = 20, within: Iterable[int] | None = None
) -> MatchedSets:
    """Look the genes of all sets up in a lexicon: by NCBI id, Ensembl id, symbol or alias.

    Parameters
    ----------
    lexicon
        Whose rows are wanted. Its genes are all there is: others are left out before anything is counted.
    sets
        What to look up.
    least
        Sets of fewer described genes are skipped.
    within
        Lexicon rows to keep to, to compare lexicons on the same genes.

    Returns
    -------
    MatchedSets
        Where the sets have groups, the pool of a term is the genes of all groups but those that stand above
        the term, without its own. A group stands above a term when it holds all of its genes.

    Raises
    ------
    InputError
        If the lexicon has none of the genes.
    """
    rows, n_matched = _look_up(lexicon, sets, (*sets.sets, *sets.groups))
    if within is not None:
        allowed = {int(row) for row in within}
        rows = {name: row if row in allowed else -1 for name, row in rows.items()}

    def known(genes: Iterable[str]) -> frozenset[int]:
        return frozenset(row for gene in genes if (row := rows[gene]) >= 0)

    groups = [(group.genes, known(group.genes)) for group in sets.groups]
    everything = known(rows) if not groups else frozenset().union(*(group for _, group in groups))
    terms, skipped = [], []
    for term in sets.sets:
        positives = known(term.genes)
        if len(positives) < least:
            skipped.append((term.label, len(positives)))
            continue
        parents = [group for names, group in groups if term.genes <= names]
        pool = everything.difference(positives, *parents)
        beside = [group & pool for names, group in groups if not term.genes <= names]
        terms.append(
            Term(term.id, term.label, _rows(positives), _rows(pool), tuple(_rows(group) for group in beside))
        )
    return MatchedSets(sets.name, tuple(terms), tuple(skipped), len(rows), n_matched)


def rows_of_sets(lexicon: Lexicon, sets: GeneSets) -> list[NDArray[np.int32]]:
    """Lexicon rows of the genes of each set, ascending; names are looked up as by `match_gene_sets`.

    Raises
    ------
    InputError
        If the lexicon has none of the genes.
    """
    rows, _ = _look_up(lexicon, sets, sets.sets)
    return [_rows({rows[gene] for gene in one.genes} - {-1}) for one in sets.sets]


def _look_up(lexicon: Lexicon, sets: GeneSets, of: Iterable[GeneSet]) -> tuple[dict[str, int], int]:
    """Lexicon row of each name, -1 for none, and how many are there."""
    import pandas as pd

    from lexicell.lexicon.align import align_genes

    names = sorted(frozenset().union(*(one.genes for one in of)))
    hits = align_genes(lexicon, pd.DataFrame(index=pd.Index(names, dtype=object)), column="index").rows
    found = int((hits >= 0).sum())
    if not found:
        some = f" (such as {names[0]!r})" if names else ""
        msg = f"none of the {len(names):,} genes of {sets.name}{some} is in {lexicon.name}"
        raise InputError(msg)
    return dict(zip(names, hits.tolist(), strict=True)), found


def _rows(rows: Iterable[int]) -> NDArray[np.int32]:
    return np.array(sorted(rows), np.int32)


def _read(path: Path) -> tuple[GeneSet, ...]:
    sets: dict[str, GeneSet] = {}
    for number, line in enumerate(read_utf8(path).decode().splitlines(), start=1):
        if not line.strip():
            continue
        name, *fields = line.split("\t")
        if not name or not fields:
            msg = f"{path}, line {number}: not GMT, which is an id, a name and genes, separated by tabs"
            raise InputError(msg)
        if name in sets:
            msg = f"{path}, line {number}: the set {name!r} was there before; keep one line per set"
            raise InputError(msg)
        genes = frozenset(gene for field in fields[1:] if (gene := field.strip()))
        sets[name] = GeneSet(name, fields[0], genes)
    if not any(s.genes for s in sets.values()):
        msg = f"{path} has no gene sets; expected lines of an id, a name and genes, separated by tabs"
        raise InputError(msg)
    return tuple(sets.values())
