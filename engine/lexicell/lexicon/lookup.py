"""Ways from a name to a row of a lexicon, strongest first."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexicell.lexicon.names import NO_ROW, NameIndex, pairs

if TYPE_CHECKING:
    from lexicell.lexicon.lexicon import Lexicon

__all__ = ["WEAK_ROUTES", "GeneLookup", "Route", "lookup_of"]

_ENSEMBL = r"^ENS[A-Z]*G\d"


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
WEAK_ROUTES = (Route.ALIAS, Route.SAME_NAME)


def lookup_of(lexicon: Lexicon, organism: str) -> GeneLookup:
    """Return the names of one organism, made once for a lexicon (25 ms for 20,000 genes)."""
    lookups: dict[str, GeneLookup] = vars(lexicon).setdefault("_lookups", {})
    if organism not in lookups:
        lookups[organism] = GeneLookup(lexicon, organism)
    return lookups[organism]


class GeneLookup:
    """Names of one organism's genes, as rows of a lexicon.

    Parameters
    ----------
    lexicon
        Where genes are looked up.
    organism
        Whose names they are: the lexicon's own, or mouse.
    """

    def __init__(self, lexicon: Lexicon, organism: str) -> None:
        genes = lexicon.genes
        self.organism = organism
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

    def find(self, exact: pa.Array, *, numbers: bool) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """Find the row of each name.

        Parameters
        ----------
        exact
            ``[v]`` names, ``""`` where there is none.
        numbers
            Whether bare numbers are NCBI ids.

        Returns
        -------
        rows
            ``[v]`` int32, `NO_ROW` where no gene has that name, `AMBIGUOUS` where several have.
        routes
            ``[v]`` int8 `Route`, of ambiguous names too.
        """
        upper = pc.utf8_upper(exact)
        rows, routes = np.full(len(exact), NO_ROW, np.int32), np.zeros(len(exact), np.int8)

        def fill(hits: NDArray[np.int64], route: Route) -> None:
            new = (rows == NO_ROW) & (hits != NO_ROW)
            rows[new], routes[new] = hits[new], route

        if self._ensembl is not None:
            ids = pc.replace_substring_regex(upper, r"(?s)\..*", "")  # less the version
            is_id = pc.match_substring_regex(upper, _ENSEMBL).to_numpy(zero_copy_only=False)
            fill(np.where(is_id, self._ensembl.find(ids), NO_ROW), Route.ENSEMBL)
        for index, in_upper_case, route in self._ways:
            if numbers or route is not Route.NCBI:
                fill(index.find(upper if in_upper_case else exact), route)
        return rows, routes


def _upper(named: tuple[pa.Array, NDArray[np.int64]]) -> NameIndex:
    return NameIndex(pc.utf8_upper(named[0]), named[1])


def _orthologues(genes: pa.Table, by_name: NameIndex) -> NameIndex:
    """Mouse symbols; of several human genes, the one of the same name is the orthologue."""
    names, rows = pairs(genes.column("mouse_symbols"))
    names = pc.utf8_upper(names)
    index = NameIndex(names, rows)
    same_name = by_name.find(names) == rows
    index.settle(names.filter(pa.array(same_name)), rows[same_name])
    return index


def _mitochondrial(
    symbols: tuple[pa.Array, NDArray[np.int64]], aliases: tuple[pa.Array, NDArray[np.int64]]
) -> NameIndex:
    """``MT-CO1``, as Ensembl and mouse call what is COX1 with the alias MTCO1 at NCBI, and ``MT-COX1``.

    Pseudogenes carry these aliases too, but their own symbols begin with MT.
    """
    (names, parents), symbol = aliases, symbols[0]
    likely = pc.fill_null(pc.starts_with(names, "MT"), False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    rows = parents[likely]
    primary = symbol.take(pa.array(rows)).to_pylist()
    entries = [
        (f"MT-{rest.upper()}", int(row))
        for alias, row, name in zip(names.filter(pa.array(likely)).to_pylist(), rows, primary, strict=True)
        if name and not name.startswith("MT")
        for rest in (alias[2:], name)
    ]
    return NameIndex(
        pa.array([name for name, _ in entries], pa.string()), np.array([row for _, row in entries], np.int64)
    )
