"""Which row of a lexicon each column of a data set is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.lexicon._artefact import Lexicon
from lexicell.lexicon._names import AMBIGUOUS, NO_ROW, NameIndex, pairs, text

__all__ = ["Alignment", "Route", "align_genes"]

#: What an alignment calls the index of ``var``.
INDEX = "index"

_ENSEMBL = r"^ENS[A-Z]*G\d"
_ID_COLUMN = re.compile(r"ncbi|entrez|gene_?id", re.IGNORECASE)


class Route(IntEnum):
    """How a column found its gene, strongest first.

    `ALIAS` and `SAME_NAME` (a mouse symbol that is the lexicon's but for its case, and in no orthologue
    table) give way where another column means the same gene by a stronger route.
    """

    NONE = 0
    ENSEMBL = 1
    NCBI = 2
    SYMBOL = 3
    ORTHOLOGUE = 4
    ALIAS = 5
    SAME_NAME = 6

    @property
    def label(self) -> str:
        """For people."""
        return _LABELS[self]


_LABELS = {
    Route.NONE: "not matched",
    Route.ENSEMBL: "Ensembl id",
    Route.NCBI: "NCBI id",
    Route.SYMBOL: "symbol",
    Route.ORTHOLOGUE: "orthologue",
    Route.ALIAS: "alias",
    Route.SAME_NAME: "same name",
}
_WEAK = (Route.ALIAS, Route.SAME_NAME)


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
        ``[v]`` the names as read.
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
    """

    column: str
    organism: str
    names: tuple[str, ...]
    rows: NDArray[np.int32]
    routes: NDArray[np.int8]
    ambiguous: tuple[str, ...]
    displaced: tuple[str, ...]
    filled: tuple[tuple[str, int], ...] = ()

    @property
    def n_matched(self) -> int:
        """Columns that have a lexicon row."""
        return int((self.rows >= 0).sum())

    @property
    def strength(self) -> tuple[int, int]:
        """Columns matched by name or id rather than by alias, then columns matched at all."""
        weak = int(np.isin(self.routes, _WEAK).sum())
        return self.n_matched - weak, self.n_matched

    @property
    def n_genes(self) -> int:
        """Different lexicon rows among the columns."""
        return len(np.unique(self.rows[self.rows >= 0]))

    def by_route(self) -> dict[str, int]:
        """Columns matched by each route that occurs, strongest route first."""
        counts = Counter(int(r) for r in self.routes)
        return {route.label: counts[route] for route in Route if route and counts[route]}

    def describe(self) -> str:
        """One line: what was read, and how many columns have a description."""
        where = _shown(self.column)
        for column, n in self.filled:
            where += f" and {n:,} from {_shown(column)}"
        routes = ", ".join(f"{n:,} by {label}" for label, n in self.by_route().items())
        return (
            f"genes: {self.n_matched:,} of {len(self.names):,} columns described "
            f"({routes or 'none'}), read from {where} as {self.organism} genes"
        )


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
        Column of `var` that holds the names, or ``"index"``. By default the one with most matches by id or
        symbol, and where it has none, any other column's match by id or symbol.
    organism
        Whose names they are. The lexicon's own organism matches Ensembl ids (version dropped), NCBI ids,
        symbols and aliases; ``"mouse"`` matches mouse symbols, whatever their case, to the rows of their
        human orthologues. By default the one that matches more.

    Returns
    -------
    Alignment
        Possibly with no match at all; whether that is enough is the caller's decision.

    Raises
    ------
    InputError
        `var` has no such column, or the lexicon does not know the organism.
    """
    names = _candidate_columns(var, column)
    organisms = _organisms(lexicon, organism)
    found = [
        lookup.align(name, values)
        for lookup in (_Lookup(lexicon, species) for species in organisms)
        for name, values in names.items()
    ]
    best = max(found, key=lambda alignment: alignment.strength)  # the first of several
    for other in sorted(found, key=lambda alignment: alignment.strength, reverse=True):
        if other is not best and other.organism == best.organism:
            best = _filled(best, other)
    return best


def _filled(best: Alignment, other: Alignment) -> Alignment:
    """Fill columns without a gene from another column of names: retired ids often stand beside good symbols.

    Only by id or symbol, and only with genes that no column has yet.
    """
    new = (best.rows < 0) & (other.rows >= 0) & ~np.isin(other.routes, _WEAK)
    new &= ~np.isin(other.rows, best.rows[best.rows >= 0])
    if not new.any():
        return best
    names = tuple(o if n else b for b, o, n in zip(best.names, other.names, new, strict=True))
    resolved = {b for b, n in zip(best.names, new, strict=True) if n}
    return replace(
        best,
        names=names,
        rows=np.where(new, other.rows, best.rows),
        routes=np.where(new, other.routes, best.routes),
        ambiguous=tuple(name for name in best.ambiguous if name not in resolved),
        displaced=tuple(name for name in best.displaced if name not in resolved),
        filled=(*best.filled, (other.column, int(new.sum()))),
    )


def _organisms(lexicon: Lexicon, asked: str | None) -> tuple[str, ...]:
    own = lexicon.info.organism
    known = (own,) if own == "mouse" else (own, "mouse")
    if asked is None:
        return known
    if asked not in known:
        msg = f"the lexicon {lexicon.name} has no genes of {asked!r}; it has {' and '.join(known)}"
        raise InputError(msg)
    return (asked,)


def _candidate_columns(var: pd.DataFrame, column: str | None) -> dict[str, tuple[str, ...]]:
    if column is not None and column != INDEX:
        if column not in var:
            have = ", ".join(map(str, var.columns)) or "none"
            msg = f"var has no column {column!r}; it has the index and these columns: {have}"
            raise InputError(msg)
        return {column: _strings(var[column])}
    found = {INDEX: _strings(var.index)}
    if column is None:
        for name in var.columns:
            values = var[name]
            # Counts of cells and the like would match NCBI ids by accident.
            if pd.api.types.is_numeric_dtype(values) and not _ID_COLUMN.search(str(name)):
                continue
            found[str(name)] = _strings(values)
    return found


def _strings(values: Any) -> tuple[str, ...]:
    if pd.api.types.is_float_dtype(values):  # ids with gaps, which pandas makes 12.0
        return tuple("" if pd.isna(v) else f"{v:.0f}" if v % 1 == 0 else str(v) for v in values)
    return tuple("" if pd.isna(v) else str(v).strip() for v in values)


def _shown(column: str) -> str:
    return "the index of var" if column == INDEX else f"var[{column!r}]"


class _Lookup:
    """Ways from a name to a row of one organism's genes, the first that knows a name first."""

    def __init__(self, lexicon: Lexicon, organism: str) -> None:
        genes = lexicon.genes
        self._organism = organism
        self._ensembl: NameIndex | None = None
        #: Index, whether its names are in upper case, and what the way is called.
        self._ways: list[tuple[NameIndex, bool, Route]] = []
        symbols, aliases = pairs(genes.column("symbol")), pairs(genes.column("aliases"))
        if organism == lexicon.info.organism:
            ids, rows = pairs(genes.column("ncbi_id"))
            self._ensembl = _upper(pairs(genes.column("ensembl_ids")))
            self._ways = [
                (NameIndex(ids.cast(pa.string()), rows), False, Route.NCBI),
                (NameIndex(*symbols), False, Route.SYMBOL),
            ]
        else:
            self._ways = [(_orthologues(genes, _upper(symbols)), True, Route.ORTHOLOGUE)]
        self._ways.append((_mitochondrial(symbols, aliases), True, Route.SYMBOL))
        if organism == lexicon.info.organism:
            self._ways.append((NameIndex(*aliases), False, Route.ALIAS))
        if organism == "mouse":  # mouse names come in upper case in many data sets; human ones as they are
            self._ways.append((_upper(symbols), True, Route.SAME_NAME))
            if organism == lexicon.info.organism:
                self._ways.append((_upper(aliases), True, Route.SAME_NAME))

    def align(self, column: str, names: Sequence[str]) -> Alignment:
        rows, routes = self._find(text(names))
        ambiguous = tuple(names[i] for i in np.flatnonzero(rows == AMBIGUOUS).tolist())
        routes[rows < 0], rows[rows < 0] = Route.NONE, NO_ROW
        weak = np.isin(routes, _WEAK)
        taken = np.zeros(1 + int(rows.max(initial=0)), bool)
        taken[rows[(rows >= 0) & ~weak]] = True
        displaced = weak & taken[np.maximum(rows, 0)]
        rows[displaced], routes[displaced] = NO_ROW, Route.NONE
        return Alignment(
            column,
            self._organism,
            tuple(names),
            rows,
            routes,
            ambiguous,
            tuple(names[i] for i in np.flatnonzero(displaced).tolist()),
        )

    def _find(self, names: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        upper = pc.utf8_upper(names)
        rows, routes = np.full(len(names), NO_ROW, np.int32), np.zeros(len(names), np.int8)

        def fill(found: NDArray[np.int64], route: Route) -> None:
            new = (rows == NO_ROW) & (found != NO_ROW)
            rows[new], routes[new] = found[new], route

        if self._ensembl is not None:
            ids = pc.replace_substring_regex(upper, r"(?s)\..*", "")  # less the version
            are = pc.match_substring_regex(upper, _ENSEMBL).to_numpy(zero_copy_only=False)
            fill(np.where(are, self._ensembl.find(ids), NO_ROW), Route.ENSEMBL)
        for index, in_upper_case, route in self._ways:
            fill(index.find(upper if in_upper_case else names), route)
        return rows, routes


def _upper(given: tuple[pa.Array, NDArray[np.int64]]) -> NameIndex:
    return NameIndex(pc.utf8_upper(given[0]), given[1])


def _orthologues(genes: pa.Table, by_name: NameIndex) -> NameIndex:
    """Mouse symbols; of several human genes, the one of the same name is the orthologue."""
    names, rows = pairs(genes.column("mouse_symbols"))
    names = pc.utf8_upper(names)
    found = NameIndex(names, rows)
    same = by_name.find(names) == rows
    found.settle(names.filter(pa.array(same)), rows[same])
    return found


def _mitochondrial(
    symbols: tuple[pa.Array, NDArray[np.int64]], aliases: tuple[pa.Array, NDArray[np.int64]]
) -> NameIndex:
    """``MT-CO1``, as Ensembl and mouse call what is COX1 with the alias MTCO1 at NCBI, and ``MT-COX1``.

    Pseudogenes carry these aliases too, but their own symbols begin with MT.
    """
    (names, of), symbol = aliases, symbols[0]
    likely = pc.fill_null(pc.starts_with(names, "MT"), False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    rows = of[likely]
    own = symbol.take(pa.array(rows)).to_pylist()
    both = [
        (f"MT-{rest.upper()}", int(row))
        for alias, row, name in zip(names.filter(pa.array(likely)).to_pylist(), rows, own, strict=True)
        if name and not name.startswith("MT")
        for rest in (alias[2:], name)
    ]
    return NameIndex(
        pa.array([name for name, _ in both], pa.string()), np.array([row for _, row in both], np.int64)
    )
