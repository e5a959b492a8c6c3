"""Gene vectors of other tools as a lexicon."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexicell._files import read_utf8
from lexicell._say import listed, silent
from lexicell.errors import InputError
from lexicell.lexicon.card import UNKNOWN_POOLING
from lexicell.lexicon.formats.vectors import read_vectors
from lexicell.lexicon.genes import GENE_COLUMNS, gene_schema
from lexicell.lexicon.lexicon import Lexicon
from lexicell.lexicon.manifest import EncoderInfo, TextInfo
from lexicell.lexicon.match import GeneIndex, GeneKey, gene_keys, lexicon_order
from lexicell.lexicon.text.reading import read_gene_texts
from lexicell.lexicon.write import check_output, write_lexicon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from lexicell.lexicon.formats.vectors import NamedVectors
    from lexicell.lexicon.table import TableDtype
    from lexicell.lexicon.text.reading import TextOptions

__all__ = ["NameKind", "import_vectors"]

#: What the names of a file's genes are.
NameKind = Literal["symbol", "ncbi", "ensembl"]

_NCBI = re.compile(r"(\d{1,18})(?:\.0)?", re.ASCII)
_ENSEMBL = re.compile(r"(ENS[A-Z]*G\d+)(?:\.\d+)?", re.ASCII)
_SEPARATOR = re.compile(r"[|;,\s]+")
_SHOWN = 5
_LENGTH_TOLERANCE = 2e-3  # of float16 vectors
_FILLED = ("name", "gene_type")
_TEXT = ("text", "text_source", "text_flag")


@dataclass
class _Gene:
    ncbi_id: int | None = None
    symbol: str | None = None
    ensembl_ids: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    mouse_symbols: tuple[str, ...] = ()
    name: str | None = None
    gene_type: str | None = None
    text: str | None = None
    text_source: str | None = None
    text_flag: str | None = None
    label: str = field(default="")

    @property
    def key(self) -> GeneKey:
        return GeneKey(self.ncbi_id, self.symbol, self.ensembl_ids)

    @property
    def is_named(self) -> bool:
        return self.ncbi_id is not None or bool(self.symbol) or bool(self.ensembl_ids)


def import_vectors(
    path: str | Path,
    out: str | Path,
    *,
    encoder_id: str,
    source: str,
    licence: str,
    organism: str,
    source_date: str = "",
    attribution: str = "",
    encoder_revision: str = "",
    pooling: str = UNKNOWN_POOLING,
    max_tokens: int | None = None,
    names: str | Path | None = None,
    names_are: NameKind | None = None,
    texts: str | Path | None = None,
    text_options: TextOptions | None = None,
    ids: str | Path | None = None,
    dtype: TableDtype | None = None,
    name: str | None = None,
    overwrite: bool = False,
    notify: Callable[[str], None] | None = None,
) -> Lexicon:
    """Write a lexicon of gene vectors that another tool made, such as GenePT's.

    Parameters
    ----------
    path
        JSON, Parquet or ``.npz``; see `read_vectors`.
    out
        Folder to create.
    encoder_id, source, licence
        Which model made the vectors, from whose texts, and under which licence they may be used.
    organism
        Species whose genes they are.
    source_date, attribution, encoder_revision, pooling, max_tokens
        Further facts for the manifest, where they are known.
    names
        File with the name of each vector, one per line, where `path` holds none.
    names_are
        What the names are; by default what most of them look like.
    texts
        Table of the texts that were encoded, see `read_gene_texts`: brings ids, aliases and texts.
    text_options
        How that table is read; say here how texts were put together, if it is known.
    ids
        Lexicon that brings ids, aliases, orthologues and types, but no texts, to genes it knows. With ids,
        data sets are matched by Ensembl id too.
    dtype
        Storage type; by default float16 where the file has it, else float32.
    name
        What to call the lexicon; by default the name of `out`.
    overwrite
        Whether to replace a lexicon at `out`.
    notify
        Called with one line for each thing that was understood, matched or left out.

    Returns
    -------
    Lexicon
        Opened at `out`. Genes with a vector of zeros (which is how GenePT says "no text"), without a name,
        or there twice with one vector, are left out.

    Raises
    ------
    OutputExistsError
        If `out` exists and is not to be replaced.
    InputNotFoundError
        If a file does not exist.
    InputError
        If the file is a pickle or of an unknown format, a vector is not finite or of another length, a gene
        has two vectors, or a fact is missing.
    CorruptDataError
        If a file is truncated.
    WriteError
        If the output cannot be written.
    """
    path, target = Path(path), Path(out)
    check_output(target, overwrite=overwrite)
    for label, fact in (
        ("encoder", encoder_id),
        ("source", source),
        ("licence", licence),
        ("organism", organism),
    ):
        if not fact.strip():
            message = f"The {label} of the vectors must be given, if only as 'unknown'."
            raise InputError(message)
    say = notify or silent
    lines = None if names is None else read_utf8(Path(names)).decode().splitlines()
    named_vectors = read_vectors(path, None if lines is None else [line.strip() for line in lines])
    genes = _genes(path, named_vectors, names_are, say)
    genes, vectors = _usable(path, genes, named_vectors.vectors, say)
    recipe = ""
    if texts is not None:
        gene_texts = read_gene_texts(texts, text_options)
        if text_options is not None and (text_options.recipe or text_options.text_column):
            recipe = gene_texts.recipe  # one that was chosen here is no fact about vectors made elsewhere
        _say_matched(say, _enrich(genes, gene_texts.table, with_text=True), genes, Path(texts).name)
    if ids is not None:
        id_lexicon = Lexicon.open(ids)
        _say_matched(say, _enrich(genes, id_lexicon.read_genes(), with_text=False), genes, id_lexicon.name)
    genes, vectors = _without_doubles(path, genes, vectors, say)
    dtype = dtype or ("float16" if vectors.dtype == np.float16 else "float32")
    _refuse_overflow(path, genes, vectors, dtype)
    order = lexicon_order([gene.key for gene in genes])
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32))
    return write_lexicon(
        target,
        _to_arrow([genes[row] for row in order]),
        vectors[order],
        name=name or target.resolve().name,
        organism=organism,
        text=TextInfo(
            source=source, date=source_date, licence=licence, attribution=attribution, recipe=recipe
        ),
        encoder=EncoderInfo(
            id=encoder_id,
            revision=encoder_revision,
            pooling=pooling,
            max_tokens=max_tokens,
            normalised=bool((np.abs(lengths - 1) <= _LENGTH_TOLERANCE).all()),
        ),
        dtype=dtype,
        overwrite=overwrite,
    )


def _genes(
    path: Path, named_vectors: NamedVectors, names_are: NameKind | None, say: Callable[[str], None]
) -> list[_Gene]:
    genes = [_Gene() for _ in range(len(named_vectors.vectors))]
    kinds: list[str] = []
    for i, (column, names) in enumerate(named_vectors.names.items()):
        forced = names_are if i == 0 else None
        kind = forced or _kind(names)
        if kind in kinds:
            continue
        if forced is None and kind == "ncbi" and _are_numbered(names):
            if kinds:
                continue  # genes are named already
            message = f"{path}: {column!r} numbers the rows and does not name genes; give a file of names."
            raise InputError(message)
        kinds.append(kind)
        for gene, raw_name in zip(genes, names, strict=True):
            name = raw_name.strip()
            gene.label = gene.label or name
            if name:
                _set_name(path, gene, name, kind, exact=forced is not None)
        say(f"{path.name}: {column!r} holds {_KINDS[kind]}")
    return genes


_KINDS: Mapping[str, str] = {"symbol": "gene symbols", "ncbi": "NCBI Gene ids", "ensembl": "Ensembl ids"}


def _kind(names: Sequence[str]) -> NameKind:
    first_names = [parts[0] for name in names if (parts := _SEPARATOR.split(name.strip())) and parts[0]]
    if 2 * sum(_NCBI.fullmatch(name) is not None for name in first_names) > len(first_names):
        return "ncbi"
    if 2 * sum(_ENSEMBL.fullmatch(name) is not None for name in first_names) > len(first_names):
        return "ensembl"
    return "symbol"


def _are_numbered(names: Sequence[str]) -> bool:
    """Whether `names` are 0, 1, 2, ... or 1, 2, 3, ..., as the index of a data frame is."""
    return any(all(name == str(row) for row, name in enumerate(names, start=start)) for start in (0, 1))


def _set_name(path: Path, gene: _Gene, name: str, kind: NameKind, *, exact: bool) -> None:
    if kind == "ncbi":
        number = _NCBI.fullmatch(name)
        if number is None:
            message = f"{path}: {name!r} is not an NCBI Gene id (a number), as most of its names are."
            raise InputError(message)
        gene.ncbi_id = int(number[1])
        return
    parts = [part for part in _SEPARATOR.split(name) if part]
    versions = [_ENSEMBL.fullmatch(part) for part in parts]
    if kind == "ensembl" and exact:
        gene.ensembl_ids = tuple(v[1] if v else part for v, part in zip(versions, parts, strict=True))
    elif not exact and all(versions):  # also where most others are symbols
        gene.ensembl_ids = gene.ensembl_ids or tuple(dict.fromkeys(v[1] for v in versions if v))
    else:
        gene.symbol = gene.symbol or name


def _usable(
    path: Path, genes: Sequence[_Gene], vectors: NDArray[np.floating[Any]], say: Callable[[str], None]
) -> tuple[list[_Gene], NDArray[np.floating[Any]]]:
    """Leave out zeros, which stand for "no text" and would only dilute a cell, and genes without a name."""
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        gene = _called(genes, int(np.argmin(finite)))
        message = f"{path}: the vector of {gene} has numbers that are not finite; remove or mend it."
        raise InputError(message)
    zero = ~vectors.any(axis=1)
    unnamed = np.array([not gene.is_named for gene in genes])
    if zero.any():
        examples = listed((_called(genes, row) for row in np.flatnonzero(zero).tolist()), _SHOWN)
        say(f"{zero.sum():,} genes with a vector of zeros were left out: {examples}")
    if unnamed.any():
        say(f"{unnamed.sum():,} vectors without a name were left out")
    rows = np.flatnonzero(~(zero | unnamed))
    if not rows.size:
        message = f"{path} has no gene with a name and a vector other than zeros."
        raise InputError(message)
    return [genes[row] for row in rows.tolist()], vectors[rows]


def _without_doubles(
    path: Path, genes: Sequence[_Gene], vectors: NDArray[np.floating[Any]], say: Callable[[str], None]
) -> tuple[list[_Gene], NDArray[np.floating[Any]]]:
    first_rows: dict[object, int] = {}
    doubles: list[int] = []
    for row, gene in enumerate(genes):
        key = gene.key.order if gene.ncbi_id is None else gene.ncbi_id
        first_row = first_rows.setdefault(key, row)
        if first_row == row:
            continue
        if not np.array_equal(vectors[first_row], vectors[row]):
            message = f"{path} has two different vectors for {_called(genes, row)}; keep one of them."
            raise InputError(message)
        doubles.append(row)
    if not doubles:
        return list(genes), vectors
    examples = listed((_called(genes, row) for row in doubles), _SHOWN)
    say(f"{len(doubles):,} genes are there twice with the same vector: {examples}")
    return [genes[row] for row in first_rows.values()], vectors[list(first_rows.values())]


def _enrich(genes: Sequence[_Gene], table: pa.Table, *, with_text: bool) -> dict[str, int]:
    """Give `genes` what `table` knows of them; a row of it is given to one gene, by the best kind of name.

    Returns
    -------
    dict
        Route by which genes were matched -> how many were.
    """
    records: list[dict[str, Any]] = table.to_pylist()
    index = GeneIndex()
    index.add(gene_keys(table))
    symbols = _unique((row["symbol"].upper(), i) for i, row in enumerate(records) if row["symbol"])
    aliases = _unique((a.upper(), i) for i, row in enumerate(records) for a in {*(row["aliases"] or ())})
    # Ids before names, so that a name does not take the row of a gene that has its id.
    pending = sorted(genes, key=lambda gene: (gene.ncbi_id is None, not gene.ensembl_ids))
    counts: dict[str, int] = {}
    used_rows: set[int] = set()

    def find(gene: _Gene, route: str) -> int | None:
        if route == "id or symbol":
            return index.find(gene.key)
        if gene.ncbi_id is not None or gene.ensembl_ids or not gene.symbol:
            return None  # an id that is not known is another gene
        return (symbols if route == "symbol but for its case" else aliases).get(gene.symbol.upper())

    for route in ("id or symbol", "symbol but for its case", "alias"):
        unmatched = []
        for gene in pending:
            row = find(gene, route)
            if row is None or row in used_rows:
                unmatched.append(gene)
                continue
            used_rows.add(row)
            _fill(gene, records[row], with_text=with_text)
            counts[route] = counts.get(route, 0) + 1
        pending = unmatched
    return counts


def _fill(gene: _Gene, row: Mapping[str, Any], *, with_text: bool) -> None:
    previous, gene.symbol = gene.symbol, row["symbol"] or gene.symbol
    old_symbols = (previous,) if previous and previous != gene.symbol else ()
    gene.ncbi_id = gene.ncbi_id if gene.ncbi_id is not None else row["ncbi_id"]
    gene.ensembl_ids = tuple(dict.fromkeys((*(row["ensembl_ids"] or ()), *gene.ensembl_ids)))
    gene.aliases = tuple(dict.fromkeys((*gene.aliases, *(row["aliases"] or ()), *old_symbols)))
    gene.mouse_symbols = gene.mouse_symbols or tuple(row["mouse_symbols"] or ())
    for column in (*_FILLED, *(_TEXT if with_text else ())):
        setattr(gene, column, getattr(gene, column) or row.get(column))


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    rows: dict[str, set[int]] = {}
    for name, row in pairs:
        rows.setdefault(name, set()).add(row)
    return {name: next(iter(matches)) for name, matches in rows.items() if len(matches) == 1}


def _say_matched(
    say: Callable[[str], None], counts: Mapping[str, int], genes: Sequence[_Gene], source: str
) -> None:
    routes = ", ".join(f"{n:,} by {kind}" for kind, n in counts.items())
    say(f"{sum(counts.values()):,} of {len(genes):,} genes are in {source} ({routes or 'none'})")


def _refuse_overflow(
    path: Path, genes: Sequence[_Gene], vectors: NDArray[np.floating[Any]], dtype: TableDtype
) -> None:
    largest = np.abs(vectors).max(axis=1)
    row = int(largest.argmax())
    if largest[row] > np.finfo(dtype).max:
        message = f"{path}: the vector of {_called(genes, row)} exceeds the range of {dtype}; use float32."
        raise InputError(message)


def _called(genes: Sequence[_Gene], row: int) -> str:
    return genes[row].label or f"row {row}"


def _to_arrow(genes: Sequence[_Gene]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema([field for field in gene_schema() if field.name in GENE_COLUMNS[1:]])
    return pa.table({name: [getattr(gene, name) for gene in genes] for name in schema.names}, schema=schema)
