"""Which rows of two gene tables are one gene, and which order rows have in a lexicon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["GeneIndex", "GeneKey", "gene_keys", "lexicon_order", "take_rows"]


@dataclass(frozen=True)
class GeneKey:
    """What tells genes apart: NCBI id, or where one of two has none, Ensembl ids, or else the symbol."""

    ncbi_id: int | None
    symbol: str | None
    ensembl_ids: tuple[str, ...]

    @property
    def order(self) -> tuple[bool, int, str, tuple[str, ...]]:
        """Sort key of lexicon rows; equal for two genes without an NCBI id that nothing tells apart."""
        return (self.ncbi_id is None, self.ncbi_id or 0, self.symbol or "", self.ensembl_ids)

    def same_gene(self, other: GeneKey) -> bool:
        """Whether both are one gene, by the strongest kind of name that both have."""
        if self.ncbi_id is not None and other.ncbi_id is not None:
            return self.ncbi_id == other.ncbi_id
        if self.ensembl_ids and other.ensembl_ids:
            return not set(self.ensembl_ids).isdisjoint(other.ensembl_ids)
        return bool(self.symbol) and self.symbol == other.symbol


@dataclass
class GeneIndex:
    """Genes added so far, found by their ids and symbols."""

    keys: list[GeneKey] = field(default_factory=list)
    _by_ncbi: dict[int, int] = field(default_factory=dict)
    _by_ensembl: dict[str, list[int]] = field(default_factory=dict)
    _by_symbol: dict[str, list[int]] = field(default_factory=dict)

    def add(self, keys: Sequence[GeneKey]) -> None:
        """Number further genes on from those there are."""
        for row, key in enumerate(keys, start=len(self.keys)):
            if key.ncbi_id is not None:
                self._by_ncbi.setdefault(key.ncbi_id, row)
            for name in key.ensembl_ids:
                self._by_ensembl.setdefault(name, []).append(row)
            if key.symbol:
                self._by_symbol.setdefault(key.symbol, []).append(row)
        self.keys.extend(keys)

    def find(self, key: GeneKey) -> int | None:
        """Return the number of the first gene that is the same as `key`, best kind of name first."""
        if key.ncbi_id is not None and key.ncbi_id in self._by_ncbi:
            return self._by_ncbi[key.ncbi_id]
        candidates = [row for name in key.ensembl_ids for row in self._by_ensembl.get(name, ())]
        candidates += self._by_symbol.get(key.symbol or "", ())
        return next((row for row in candidates if self.keys[row].same_gene(key)), None)


def gene_keys(genes: pa.Table) -> list[GeneKey]:
    """Read the `GeneKey` of each row."""
    columns = (genes.column(name).to_pylist() for name in ("ncbi_id", "symbol", "ensembl_ids"))
    return [GeneKey(n, symbol, tuple(ensembl or ())) for n, symbol, ensembl in zip(*columns, strict=True)]


def lexicon_order(keys: Sequence[GeneKey]) -> NDArray[np.int64]:
    """Positions int64 ``[G]`` that sort genes as in a lexicon."""
    return np.array(sorted(range(len(keys)), key=lambda row: keys[row].order), dtype=np.int64)


def take_rows(genes: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Rows of `genes` as one chunk per column, since chunks would show in the bytes of a Parquet file."""
    return genes.take(rows).combine_chunks()
