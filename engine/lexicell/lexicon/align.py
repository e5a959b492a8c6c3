"""Which row of a lexicon each column of a data set is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.lexicon.lexicon import Lexicon
from lexicell.lexicon.lookup import WEAK_ROUTES, GeneLookup, Route, lookup_of
from lexicell.lexicon.name_columns import (
    INDEX,
    Grade,
    NameColumn,
    digest_of,
    excel_dates,
    read_columns,
    shown,
    without_suffix,
)
from lexicell.lexicon.names import AMBIGUOUS, NO_ROW, text

__all__ = ["Alignment", "ColumnUse", "Route", "align_genes"]

#: Share of the columns named by both for which another column of ``var`` has to mean the same genes.
_AGREE = 0.8
#: Share of its values that have to be genes where a column's name does not say that it names them.
_GENES = 0.3
#: How many times the genes such a column needs to be read instead of one whose name does.
_MUCH_BETTER = 2
#: About what an alignment takes for each column.
_BYTES_OF_NAME = 128
_NO_GENE = "names no gene of the lexicon"
#: Ids that no lexicon of human genes has, and what can be done.
_OTHER_IDS = {
    r"(?i)ENSMUSG\d": "Ensembl ids of mouse genes, which are looked up by symbol; name the column of var "
    "that holds symbols with --gene-column",
    r"(?i)ENS[A-Z]*T\d": "Ensembl ids of transcripts; name the column of var that holds ids or symbols of "
    "their genes with --gene-column",
    r"(?i)ENS[A-Z]{3,4}G\d": "Ensembl ids of another organism; name the column of var that holds symbols of "
    "human or mouse orthologues with --gene-column, or give a lexicon of that organism",
}


@dataclass(frozen=True)
class ColumnUse:
    """What became of one column of ``var``.

    Attributes
    ----------
    column
        Its name, `"index"` for the index.
    genes
        Different genes that its values name.
    use
        What it was used for, or why it was not.
    contradicts
        Whether it is called as if it named the genes, and names others than those that were read.
    """

    column: str
    genes: int
    use: str
    contradicts: bool = False


@dataclass(frozen=True)
class Alignment:
    """A data set's columns as rows of a lexicon.

    Attributes
    ----------
    column
        Column of ``var`` that was read, `"index"` for its index.
    organism
        Whose gene names they are.
    names
        ``[v]`` the names as read, genome prefixes taken off.
    rows
        ``[v]`` int32 lexicon rows, -1 where there is none. Columns with one row are one gene: their
        counts are summed.
    routes
        ``[v]`` int8 `Route`.
    ambiguous
        Names that could mean several genes, and so are not matched.
    displaced
        Aliases that are not used because another column is that gene by its own name.
    filled
        Other columns of ``var`` that had names for columns of the matrix where `column` had none, and for
        how many.
    columns
        Every column of ``var`` that was looked at, and why it was taken or not.
    dates
        Names that a spreadsheet has made dates of.
    numbered
        Names without a gene that are another column's name with a number (``CD4-1``).
    genomes
        Assemblies whose prefixes were taken off.
    """

    column: str
    organism: str
    names: tuple[str, ...]
    rows: NDArray[np.int32]
    routes: NDArray[np.int8]
    ambiguous: tuple[str, ...]
    displaced: tuple[str, ...]
    filled: tuple[tuple[str, int], ...] = ()
    columns: tuple[ColumnUse, ...] = ()
    dates: tuple[str, ...] = ()
    numbered: tuple[str, ...] = ()
    genomes: tuple[str, ...] = ()

    @cached_property
    def n_matched(self) -> int:
        """Columns that have a lexicon row."""
        return int((self.rows >= 0).sum())

    @cached_property
    def strength(self) -> tuple[int, int]:
        """Different genes matched by name or id rather than by alias, then genes matched at all."""
        exact = (self.rows >= 0) & ~np.isin(self.routes, WEAK_ROUTES)
        return _n_different(self.rows[exact]), self.n_genes

    @cached_property
    def n_genes(self) -> int:
        """Different lexicon rows among the columns."""
        return _n_different(self.rows[self.rows >= 0])

    def by_route(self) -> dict[str, int]:
        """Columns matched by each route that occurs, strongest route first."""
        counts = np.bincount(self.routes, minlength=len(Route)).tolist()
        return {route.label: counts[route] for route in Route if route and counts[route]}

    def describe(self) -> str:
        """One line: what was read, and how many columns have a description."""
        source = shown(self.column)
        for column, n in self.filled:
            source += f" and {n:,} from {shown(column)}"
        routes = ", ".join(f"{n:,} by {label}" for label, n in self.by_route().items())
        prefixes = f", less the prefix {' and '.join(self.genomes)}" if self.genomes else ""
        return (
            f"genes: {self.n_matched:,} of {len(self.names):,} columns described "
            f"({routes or 'none'}), read from {source} as {self.organism} genes{prefixes}"
        )

    def why_none(self) -> str:
        """Say what was looked at where no name is a gene's, and what to do."""
        few = ", ".join([*self.names[:3], "..."])
        kind = next((p for p in _OTHER_IDS if any(re.match(p, name) for name in self.names[:100])), "")
        if kind:
            return f"{few}: {_OTHER_IDS[kind]}"
        looked = "; ".join(f"{shown(use.column)} {use.use}" for use in self.columns[:4])
        return f"{few}: {looked}; name the column of var that holds gene ids or symbols with --gene-column"

    def oddities(self) -> list[str]:
        """Sentences about names that were not used as they stand, for people."""
        groups = [
            (self.ambiguous, "names could mean several genes and are left out"),
            (self.displaced, "aliases give way to a gene's own name"),
            (self.dates, "names are dates, which a spreadsheet makes of genes such as MARCHF1: left out"),
            (self.numbered, "names are another column's with a number: no genes of their own, left out"),
        ]
        sentences = [f"{len(names):,} {why}: {', '.join(names[:5])}" for names, why in groups if names]
        return sentences + [
            f"{shown(use.column)} is not used: it {use.use}" for use in self.columns if use.contradicts
        ]


def align_genes(
    lexicon: Lexicon, var: pd.DataFrame, *, column: str | None = None, organism: str | None = None
) -> Alignment:
    """Match the columns of a data set to the rows of a lexicon.

    Parameters
    ----------
    lexicon
        Where genes are looked up.
    var
        The data set's columns, as in AnnData.
    column
        Column of `var` that holds the names, or ``"index"``; bare numbers in it are NCBI ids. By default
        the one that names most genes by id or symbol, of those whose name says that they name genes and
        whose values look like it. Where it has no gene, another column of that kind is used, provided that
        the two mean the same genes elsewhere.
    organism
        Whose names they are. The lexicon's own organism matches Ensembl ids (version dropped), NCBI ids,
        symbols and aliases; ``"mouse"`` matches mouse symbols, whatever their case, to the rows of their
        human orthologues. By default the one that matches more.

    Returns
    -------
    Alignment
        Possibly with no match at all; whether that is enough is the caller's decision. The lexicon keeps the
        last few, for a `var` of the same content: its arrays are read-only.

    Raises
    ------
    InputError
        `var` has no such column, names genes of two organisms, or the lexicon does not know the organism.
    """
    digest = digest_of(var)
    if digest is None:
        return _align(lexicon, var, column, organism)
    return lexicon.recent.get(
        ("alignment", digest, column, organism),
        lambda: _align(lexicon, var, column, organism),
        lambda alignment: _BYTES_OF_NAME * len(alignment.names),
    )


def _align(lexicon: Lexicon, var: pd.DataFrame, column: str | None, organism: str | None) -> Alignment:
    ncbi_ids = pc.drop_null(lexicon.genes.column("ncbi_id")).to_numpy()
    sources = read_columns(var, column, ncbi_ids)
    organisms = _organisms(lexicon, organism)
    candidates = [
        (source, _aligned(lookup, source))
        for lookup in (lookup_of(lexicon, species) for species in organisms)
        for source in sources
        if source.grade
    ]
    origin, best = _best(candidates) or (sources[0], _without_genes(var, organisms[0]))
    if organism is None:
        _refuse_two(origin)
    uses = {id(other): ColumnUse(other.column, 0, f"has {other.why}") for other in sources}
    if origin.grade:
        use = "names the genes" if best.n_genes else _NO_GENE
        uses[id(origin)] = ColumnUse(best.column, best.n_genes, use)
    genes = best
    rivals = [pair for pair in candidates if pair[1].organism == best.organism and pair[0] is not origin]
    for other_source, other in sorted(rivals, key=lambda pair: pair[1].strength, reverse=True):
        genes, uses[id(other_source)] = _filled(genes, best, origin, other_source, other)
    unmatched = _picked(genes.names, genes.rows < 0)
    all_names = set(genes.names)
    for shared in (genes.rows, genes.routes):
        shared.setflags(write=False)
    return replace(
        genes,
        columns=tuple(uses.values()),
        dates=excel_dates(unmatched),
        numbered=tuple(n for n in unmatched if "-" in n[-3:] and without_suffix(n) in all_names),
        genomes=tuple(genome for genome, _, _ in origin.genomes),
    )


def _n_different(rows: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(np.bincount(rows)))


def _without_genes(var: pd.DataFrame, organism: str) -> Alignment:
    n = len(var)
    rows, routes = np.full(n, NO_ROW, np.int32), np.zeros(n, np.int8)
    return Alignment(INDEX, organism, tuple(map(str, var.index)), rows, routes, (), ())


def _refuse_two(source: NameColumn) -> None:
    """Refuse names of two organisms, as in a mixture of human and mouse cells."""
    if len({organism for _, organism, _ in source.genomes}) > 1:
        counts = " and ".join(f"{n:,} of {genome} ({organism})" for genome, organism, n in source.genomes)
        msg = f"{shown(source.column)} has genes of two organisms, {counts}; give --organism human or mouse"
        raise InputError(msg)


def _aligned(lookup: GeneLookup, source: NameColumn) -> Alignment:
    names = source.names_of(lookup.organism)
    exact = source.text if names is source.names else text(names)
    rows, routes = lookup.find(exact, numbers=source.numbers)
    ambiguous = _picked(names, rows == AMBIGUOUS)
    routes[rows < 0], rows[rows < 0] = Route.NONE, NO_ROW
    weak = np.isin(routes, WEAK_ROUTES)
    named_rows = np.zeros(1 + int(rows.max(initial=0)), bool)
    named_rows[rows[(rows >= 0) & ~weak]] = True
    displaced = weak & named_rows[np.maximum(rows, 0)]
    rows[displaced], routes[displaced] = NO_ROW, Route.NONE
    return Alignment(
        source.column, lookup.organism, source.names, rows, routes, ambiguous, _picked(names, displaced)
    )


def _picked(names: Sequence[str], mask: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(names[at] for at in np.flatnonzero(mask).tolist())


def _best(candidates: Sequence[tuple[NameColumn, Alignment]]) -> tuple[NameColumn, Alignment] | None:
    """Choose the column that names most genes, the first of several; None where no column names genes.

    It needs a wide margin where its name does not say that it names genes, or where the index names others.
    """

    def most(pairs: Iterable[tuple[NameColumn, Alignment]]) -> tuple[NameColumn, Alignment] | None:
        return max(pairs, key=lambda pair: pair[1].strength, default=None)

    stated = [pair for pair in candidates if pair[0].grade is Grade.STATED]
    best = most(stated)
    index = most(pair for pair in stated if pair[0].column == INDEX)
    if best and index and _differ(index[1], best[1]) > 1 - _AGREE and not _much_better(best[1], index[1]):
        best = index
    unstated = most(pair for pair in candidates if pair[0].grade is Grade.VALUES and _are_genes(*pair))
    if best is None or (unstated is not None and _much_better(unstated[1], best[1])):
        best = unstated
    return best


def _much_better(alignment: Alignment, other: Alignment) -> bool:
    return alignment.strength[0] > _MUCH_BETTER * other.strength[0]


def _differ(alignment: Alignment, other: Alignment) -> float:
    """Share of the columns that both name for which they name different genes."""
    shared = (alignment.rows >= 0) & (other.rows >= 0)
    return float((alignment.rows[shared] != other.rows[shared]).mean()) if shared.any() else 0.0


def _are_genes(source: NameColumn, alignment: Alignment) -> bool:
    return alignment.strength[0] >= _GENES * len({name for name in source.names if name})


def _filled(
    genes: Alignment, best: Alignment, best_source: NameColumn, other_source: NameColumn, other: Alignment
) -> tuple[Alignment, ColumnUse]:
    """Fill columns without a gene from another column of names: retired ids often stand beside good symbols.

    Only by id or symbol, and only with genes that no column has yet; several columns become one gene by
    their ids alone, since symbols that are repeated there are as good as none.
    """

    def unused(why: str, *, contradicts: bool = False) -> tuple[Alignment, ColumnUse]:
        return genes, ColumnUse(other.column, other.n_genes, why, contradicts)

    if not other.n_genes:
        return unused(_NO_GENE)
    if other_source.grade is Grade.VALUES and not _are_genes(other_source, other):
        return unused("has few values that are genes, and its name does not say that it names them")
    if (differ := _differ(best, other)) > 1 - _AGREE:
        why = f"names other genes than {shown(best.column)} in {differ:.0%} of the columns that both name"
        return unused(why, contradicts=other_source.grade is Grade.STATED and _are_genes(other_source, other))
    if other_source.grade < best_source.grade:
        return unused("names genes, but its name does not say so")
    if other.column != INDEX and not ((best.rows >= 0) & (other.rows >= 0)).any():
        return unused(f"names no gene that {shown(best.column)} names too, so nothing says that they agree")
    new = (genes.rows < 0) & (other.rows >= 0) & ~np.isin(other.routes, WEAK_ROUTES)
    new &= ~np.isin(other.rows, genes.rows[genes.rows >= 0])
    ids = np.isin(other.routes, (Route.ENSEMBL, Route.NCBI))
    repeated = np.bincount(other.rows[new], minlength=int(other.rows.max()) + 1) > 1
    new &= ids | ~repeated[np.maximum(other.rows, 0)]
    n_new = int(new.sum())
    if not n_new:
        return unused("names the same genes")
    resolved, names = set(_picked(genes.names, new)), list(genes.names)
    for at in np.flatnonzero(new).tolist():
        names[at] = other.names[at]
    filled = replace(
        genes,
        names=tuple(names),
        rows=np.where(new, other.rows, genes.rows),
        routes=np.where(new, other.routes, genes.routes),
        ambiguous=tuple(name for name in genes.ambiguous if name not in resolved),
        displaced=tuple(name for name in genes.displaced if name not in resolved),
        filled=(*genes.filled, (other.column, n_new)),
    )
    return filled, ColumnUse(other.column, other.n_genes, f"names {n_new:,} more")


def _organisms(lexicon: Lexicon, organism: str | None) -> tuple[str, ...]:
    native = lexicon.info.organism
    available = (native,) if native == "mouse" else (native, "mouse")
    if organism is None:
        return available
    if organism not in available:
        msg = f"the lexicon {lexicon.name} has no genes of {organism!r}; it has {' and '.join(available)}"
        raise InputError(msg)
    return (organism,)
