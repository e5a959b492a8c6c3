"""What unlabelled cells have told of genes: how they load on components, and how much they count.

The one that comes with the package is a file beside the bundled lexicon and no part of it, so other lexicons
get it too, and it keeps its identity. Each data set is a block of columns of its own, so that one can be left
out: what is evaluated on cells must not have learned from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np
from numpy.typing import NDArray

from lexicell._files import check_new_file, reading_file, staged_path
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError

if TYPE_CHECKING:
    from lexicell.lexicon.lexicon import Lexicon

__all__ = ["GENE_ATLAS_FILE", "AtlasCells", "GeneAtlas", "cell_hashes", "gene_scales", "open_gene_atlas"]

#: Written by ``lexicons/gene_atlas.py``.
GENE_ATLAS_FILE = Path(__file__).with_name("data") / "gene-atlas.parquet"
#: Cells of a data set that are known again: those of the lowest hashes.
_SKETCH = 1_000
#: A data set has been learned from if it shares more than this part of its cells: names of a few may recur.
_SAME = 0.05
#: Or if genes are seen in its cells as often as in these, but for the chance of drawing them: the median of
#: squared differences, in variances, is 0.45 for cells of one experiment, and 2 and more for another donor's.
#: Of genes that so many of the cells have, and not nearly all.
_ALIKE, _DETECTED, _GENES = 1.0, 0.02, 50
_METADATA = b"lexicell"
_PARTS = ("loadings", "foretold", "words", "detected")
#: Version 2 has bytes where version 1 had float16, which took twice the room for the same directions.
_VERSION = 2
#: After the name of a part: what its numbers are multiples of, one for each gene.
_UNIT = "_unit"


@dataclass(frozen=True, eq=False)
class AtlasCells:
    """A data set that was learned from.

    Attributes
    ----------
    name
        What people call it.
    cells, genes
        How many were learned from.
    columns
        First of its columns, and the one after the last.
    sketch
        Ascending uint64: the 1,000 lowest of its cells' hashes, see `cell_hashes`; all where there are fewer.
    """

    name: str
    cells: int
    genes: int
    columns: tuple[int, int]
    sketch: NDArray[np.uint64]

    @classmethod
    def of(
        cls, name: str, cells: int, genes: int, columns: tuple[int, int], hashes: NDArray[np.uint64]
    ) -> AtlasCells:
        """Keep the lowest hashes of all cells that it has, also of those that were not learned from."""
        return cls(name, cells, genes, columns, np.unique(hashes)[:_SKETCH])

    def shares_cells(self, hashes: NDArray[np.uint64]) -> bool:
        """Whether more than 5 % of some cells are among those that were learned from."""
        complete = len(self.sketch) < _SKETCH
        comparable = hashes if complete else hashes[hashes <= self.sketch[-1]]
        return bool(len(comparable)) and float(np.isin(comparable, self.sketch).mean()) > _SAME


@dataclass(frozen=True, eq=False)
class GeneAtlas:
    """Loadings of ``G`` genes on components of data sets, and what texts foretell of them.

    Attributes
    ----------
    loadings
        ``[G, c]`` float32, of length 1 in each data set's columns; 0 for genes that it has not measured.
    foretold
        ``[G, c]`` float32: the same as the genes' texts foretell it, for all genes that have one.
    words
        ``[G, w]`` float32: the texts as bags of words (latent semantic analysis).
    detected
        ``[G, S]`` float32: share of each data set's cells that have the gene.
    scale
        ``[G]`` float32 from 0.05 to 4: how much a gene counts, see `gene_scales`.
    data
        The data sets.
    card
        What people should know of it, as plain JSON.
    """

    loadings: NDArray[np.float32]
    foretold: NDArray[np.float32]
    words: NDArray[np.float32]
    detected: NDArray[np.float32]
    scale: NDArray[np.float32]
    data: tuple[AtlasCells, ...]
    card: Mapping[str, Any] = field(default_factory=dict)

    def apart_from(
        self, hashes: NDArray[np.uint64], detected: NDArray[np.floating[Any]] | None = None
    ) -> GeneAtlas:
        """Leave out the data sets that some cells are from; the words and scales are kept.

        They are known by their names and sums, or, where they were renamed, filtered or normalised, by how
        often genes are seen in them. Few cells of one type, or thinned counts, are not known again that way.

        Parameters
        ----------
        hashes
            Of these ``n`` cells, see `cell_hashes`.
        detected
            ``[G]`` share of them that have each gene, 0 for genes that were not measured; None to compare
            names only.
        """
        same = [
            cells.shares_cells(hashes)
            or (detected is not None and _alike(self.detected[:, i], cells.cells, detected, len(hashes)))
            for i, cells in enumerate(self.data)
        ]
        kept = [cells for cells, is_same in zip(self.data, same, strict=True) if not is_same]
        columns = np.concatenate([np.arange(0), *(np.arange(*cells.columns) for cells in kept)])
        stops = np.cumsum([cells.columns[1] - cells.columns[0] for cells in kept]).tolist()
        data = tuple(
            AtlasCells(cells.name, cells.cells, cells.genes, (start, stop), cells.sketch)
            for cells, start, stop in zip(kept, [0, *stops], stops, strict=False)
        )
        parts = (self.loadings[:, columns], self.foretold[:, columns])
        rates = self.detected[:, ~np.array(same, bool)]
        return GeneAtlas(*parts, self.words, rates, self.scale, data, self.card)

    def save(self, path: str | Path, lexicon: Lexicon, *, overwrite: bool = False) -> Path:
        """Write a Parquet file with a row for each gene: ids, and numbers as bytes in units of the gene.

        A number is off by at most 1/254 of the largest of its gene. Rates are float16.

        Raises
        ------
        InputError
            There is no data set in it, or a number is not finite.
        OutputExistsError
            There is such a file.
        WriteError
            The disk is full, or the place may not be written to.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.data:
            msg = "a gene atlas of no data set tells nothing, so it is not written"
            raise InputError(msg)
        if not all(np.isfinite(part).all() for part in (self.scale, *(getattr(self, n) for n in _PARTS))):
            msg = "a gene atlas with numbers that are not finite is not written"
            raise InputError(msg)
        target = Path(path)
        check_new_file(target, overwrite=overwrite)
        table = lexicon.read_genes(["ncbi_id", "symbol"])
        table = table.append_column("scale", pa.array(self.scale, pa.float32()))
        for name in _PARTS:
            numbers: NDArray[Any] = getattr(self, name)
            if name == "detected":
                numbers = np.ascontiguousarray(numbers, np.float16)
            else:
                numbers, unit = _as_bytes(numbers)
                table = table.append_column(name + _UNIT, pa.array(unit))
            values = pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), numbers.shape[1])
            table = table.append_column(name, values)
        data = [
            {
                "name": cells.name,
                "cells": cells.cells,
                "genes": cells.genes,
                "columns": cells.columns,
                "sketch": cells.sketch.tolist(),
            }
            for cells in self.data
        ]
        described = {"format_version": _VERSION, "data": data, "card": dict(self.card)}
        described["checksum"] = _checksum(table, described)
        table = table.replace_schema_metadata({_METADATA: json.dumps(described).encode()})
        with staged_path(target, replace=overwrite) as staging:
            pq.write_table(table, staging, compression="zstd")
        return target


def open_gene_atlas(lexicon: Lexicon, path: str | Path = "bundled") -> GeneAtlas:
    """Read what cells have told of genes, for the genes of a lexicon.

    Parameters
    ----------
    lexicon
        Genes are found by NCBI id, else by symbol, in capitals; of others nothing is known: they get zeros
        and the median scale.
    path
        A file of ``lexicell genes learn``, or "bundled".

    Raises
    ------
    InputNotFoundError
        There is no such file.
    InputError
        It is no gene atlas, was written by a newer version, or none of its genes is in the lexicon.
    CorruptDataError
        It is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = GENE_ATLAS_FILE if path == "bundled" else Path(path)
    if not file.is_file():
        msg = f"{file}: there is no such gene atlas; make one with `lexicell genes learn`, or say bundled"
        raise InputNotFoundError(msg)
    with reading_file(file, "make it again"):
        try:
            table = pq.read_table(file, memory_map=False)
            described = json.loads((table.schema.metadata or {})[_METADATA])
        except (pa.ArrowInvalid, KeyError, ValueError) as error:
            msg = f"{file} is no gene atlas; `lexicell genes learn` makes one"
            raise InputError(msg) from error
        if described["format_version"] > _VERSION:
            msg = f"{file} was written by a newer version of lexicell: upgrade it"
            raise InputError(msg)
        if described.pop("checksum", None) != _checksum(table, described):
            msg = f"{file} was changed after it was written (checksum); make it again"
            raise CorruptDataError(msg)
    row_of = _matched(lexicon, table)
    if not (row_of >= 0).any():
        msg = f"{file}: none of its genes is in {lexicon.name}"
        raise InputError(msg)
    parts = {name: _numbers(table, name, row_of) for name in _PARTS}
    scale = table.column("scale").to_numpy()
    data = tuple(
        AtlasCells(
            cells["name"],
            cells["cells"],
            cells["genes"],
            tuple(cells["columns"]),
            np.array(cells["sketch"], np.uint64),
        )
        for cells in described["data"]
    )
    return GeneAtlas(**parts, scale=_scales(scale, row_of), data=data, card=described["card"])


def gene_scales(lexicon: Lexicon) -> NDArray[np.float32]:
    """Scales of a lexicon's genes that come with the package.

    They are what a gene's text predicts of its dispersion over cells, learned on human blood and pancreas:
    low for housekeeping genes, high for what marks a type.

    Returns
    -------
    numpy.ndarray
        ``[G]`` float32 from 0.05 to 4. Genes are found by NCBI id, else by symbol, in capitals; others get
        the median scale.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(GENE_ATLAS_FILE, columns=["ncbi_id", "symbol", "scale"])
    return _scales(table.column("scale").to_numpy(), _matched(lexicon, table))


def cell_hashes(names: Sequence[str] | NDArray[Any], totals: NDArray[np.floating[Any]]) -> NDArray[np.uint64]:
    """Numbers by which cells are known again: of their names ``[n]`` and the sums of their counts ``[n]``."""
    from pandas.util import hash_array

    named = hash_array(np.asarray(names, object).astype(str).astype(object))
    summed = hash_array(np.asarray(totals, np.float32).astype(np.float64))
    return np.asarray(named ^ (summed * np.uint64(0x9E3779B97F4A7C15)), np.uint64)


def _alike(first: NDArray[np.floating[Any]], n: int, second: NDArray[np.floating[Any]], m: int) -> bool:
    """Whether genes are seen as often in n cells as in m others, but for chance."""
    mean = (first + second) / 2
    chosen = (first > 0) & (second > 0) & (mean > _DETECTED) & (mean < 1 - _DETECTED)
    if chosen.sum() < _GENES or not n or not m:
        return False
    variance = mean[chosen] * (1 - mean[chosen]) * (1 / n + 1 / m)
    return float(np.median((first[chosen] - second[chosen]) ** 2 / variance)) < _ALIKE


def _checksum(table: Any, described: Mapping[str, Any]) -> str:
    """BLAKE3 of all numbers and names, as hex."""
    named = {name: table.column(name).to_pylist() for name in ("ncbi_id", "symbol")}
    digest = blake3.blake3(json.dumps([described, named], sort_keys=True).encode())
    digest.update(table.column("scale").to_numpy().tobytes())
    for name in _PARTS:
        column = table.column(name).combine_chunks()
        digest.update(f"{name} {column.type.list_size}".encode())
        digest.update(column.flatten().to_numpy(zero_copy_only=False).tobytes())
        if name + _UNIT in table.column_names:
            digest.update(table.column(name + _UNIT).to_numpy().tobytes())
    return digest.hexdigest()


def _matched(lexicon: Lexicon, table: Any) -> NDArray[np.int64]:
    """For each gene of a lexicon its row in a table, -1 for none."""
    numbers, symbols = (table.column(name).to_pylist() for name in ("ncbi_id", "symbol"))
    by_id = {number: row for row, number in enumerate(numbers) if number is not None}
    by_symbol = {symbol: row for row, symbol in enumerate(symbols)}
    genes = lexicon.read_genes(["ncbi_id", "symbol"])
    return np.array(
        [
            by_id.get(number, by_symbol.get((symbol or "").upper(), -1))
            for number, symbol in zip(
                genes.column("ncbi_id").to_pylist(), genes.column("symbol").to_pylist(), strict=True
            )
        ],
        np.int64,
    )


def _scales(scale: NDArray[np.float32], row_of: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.where(row_of >= 0, scale[row_of], np.median(scale)).astype(np.float32)


def _as_bytes(part: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Numbers ``[G, c]`` as int8, and the unit of each row."""
    unit = np.abs(part).max(axis=1, initial=0).astype(np.float32) / np.float32(127)
    unit[unit < np.finfo(np.float32).tiny] = 0  # a multiple would be beyond a byte
    numbers = np.divide(part, unit[:, None], out=np.zeros(part.shape, np.float32), where=unit[:, None] > 0)
    return np.rint(numbers).astype(np.int8), unit


def _numbers(table: Any, name: str, row_of: NDArray[np.int64]) -> NDArray[np.float32]:
    values = table.column(name).combine_chunks()
    width = values.type.list_size
    numbers = values.flatten().to_numpy(zero_copy_only=False).reshape(len(table), width).astype(np.float32)
    if name + _UNIT in table.column_names:
        numbers *= table.column(name + _UNIT).to_numpy()[:, None]
    numbers = numbers[row_of]
    numbers[row_of < 0] = 0
    return np.asarray(numbers, np.float32)
