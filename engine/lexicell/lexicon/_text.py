"""Tables of gene texts: TSV, CSV or Parquet in, one Arrow table in lexicon order out."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexicell.errors import InputError
from lexicell.lexicon._genes import gene_schema
from lexicell.lexicon._tabular import read_delimited, read_parquet

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["Columns", "GeneTexts", "TextOptions", "read_gene_texts", "read_orthologues"]

_LIST_SEPARATOR = "|"
_VERSIONED_ENSEMBL = re.compile(r"^(ENS[A-Z]*\d+)\.\d+$")
_NAMES_SHOWN = 12


@dataclass(frozen=True)
class Columns:
    """Which column of a gene table holds what; None where there is no such column.

    Attributes
    ----------
    id
        NCBI Gene ids (integers).
    symbol
        Gene symbols.
    ensembl, alias, mouse
        Ensembl gene ids, other symbols, mouse orthologue symbols: separated by ``|``, or lists.
    name
        Full gene names.
    text
        What is encoded.
    text_source
        Where each text comes from.
    """

    id: str | None
    symbol: str | None
    ensembl: str | None
    alias: str | None
    mouse: str | None
    name: str | None
    text: str
    text_source: str | None


# Spellings in the tables people have: ours, NCBI's, Ensembl's and HGNC's. Compared in lower case.
_SPELLINGS = {
    "id": ("ncbi_id", "gene_id", "geneid", "ncbi_gene_id", "entrez_id", "entrezgene", "entrez"),
    "symbol": ("symbol", "gene_symbol", "hgnc_symbol", "approved symbol"),
    "ensembl": ("ensembl_ids", "ensembl_id", "ensembl_gene_id", "ensembl"),
    "alias": ("aliases", "alias", "synonyms", "synonym"),
    "mouse": ("mouse_symbols",),
    "name": ("full_name", "gene_name", "name"),
    "text_source": ("text_source",),
}


@dataclass(frozen=True)
class TextOptions:
    """How a table of genes is read.

    Attributes
    ----------
    id_column, symbol_column, ensembl_column, alias_column, name_column
        Column names. By default the usual spellings are looked for, in any case, and a column that is
        not found is left empty; a name that is given must exist.
    text_column
        The column to encode.
    text_source
        What to note as the origin of each text; by default the table's own column ``text_source``, or
        else the name of the text column.
    """

    id_column: str | None = None
    symbol_column: str | None = None
    ensembl_column: str | None = None
    alias_column: str | None = None
    name_column: str | None = None
    text_column: str = "text"
    text_source: str | None = None


@dataclass(frozen=True)
class GeneTexts:
    """Genes and texts, ready to be encoded.

    Attributes
    ----------
    table
        Columns ``ncbi_id`` to ``text_source`` of a lexicon. Rows are sorted by NCBI id (genes
        without one last), then symbol, then Ensembl ids: never by their order in the file.
    columns
        Which columns of the file were used.
    n_read
        Rows in the file.
    n_empty, n_unnamed
        Rows left out because they have no text, or no id and no symbol.
    """

    table: pa.Table
    columns: Columns
    n_read: int
    n_empty: int
    n_unnamed: int

    @property
    def texts(self) -> list[str]:
        """The texts, in row order."""
        texts: list[str] = self.table.column("text").to_pylist()
        return texts


@dataclass(frozen=True)
class _Gene:
    ncbi_id: int | None
    symbol: str | None
    ensembl_ids: tuple[str, ...]
    aliases: tuple[str, ...]
    mouse_symbols: tuple[str, ...]
    name: str | None
    text: str
    text_source: str

    @property
    def label(self) -> str:
        """The first identifier there is, as a person would say it."""
        if self.ncbi_id is not None:
            return f"NCBI id {self.ncbi_id}"
        return f"symbol {self.symbol}" if self.symbol else f"Ensembl id {'|'.join(self.ensembl_ids)}"

    @property
    def order(self) -> tuple[bool, int, str, tuple[str, ...]]:
        """Sort key of lexicon rows; also what makes a gene unique once the first part differs."""
        return (self.ncbi_id is None, self.ncbi_id or 0, self.symbol or "", self.ensembl_ids)


def read_gene_texts(
    path: str | Path,
    options: TextOptions | None = None,
    *,
    orthologues: dict[str, tuple[str, ...]] | None = None,
) -> GeneTexts:
    """Read a table of gene texts.

    TSV (fields never quoted) and CSV (fields may be quoted with ``"``) are UTF-8, start with a line of
    column names, and may be gzipped; a ``genes.parquet`` of a lexicon is a table too. Lists are
    separated by ``|``. Ensembl versions are dropped.

    Parameters
    ----------
    path
        ``.tsv``, ``.txt`` or ``.csv``, optionally with ``.gz``, or ``.parquet``.
    options
        Which columns hold what.
    orthologues
        Human symbol -> mouse symbols (see `read_orthologues`); replaces a column ``mouse_symbols``.

    Returns
    -------
    GeneTexts
        Rows without a text, or without id and symbol, are left out and counted.

    Raises
    ------
    InputNotFoundError
        If the file does not exist.
    InputError
        If a column is missing, an id is not a number, a gene occurs twice, the file is not UTF-8, or
        no row is left.
    CorruptDataError
        If the file is truncated.
    """
    path = Path(path)
    table = _read(path)
    options = options or TextOptions()
    columns = _choose_columns(path, table.column_names, options)
    genes: list[_Gene] = []
    n_empty = n_unnamed = 0
    for line, row in enumerate(_rows(table, columns), start=1):
        if not _scalar(row["text"]):
            n_empty += 1
            continue
        gene = _gene(row, f"{path}, row {line}", columns, options.text_source, orthologues)
        if gene.ncbi_id is None and not gene.symbol and not gene.ensembl_ids:
            n_unnamed += 1
            continue
        genes.append(gene)
    if not genes:
        message = f"{path} has no gene with an id and a text in column {options.text_column!r}."
        raise InputError(message)
    genes.sort(key=lambda gene: gene.order)
    _refuse_duplicates(path, genes)
    return GeneTexts(_to_arrow(genes), columns, table.num_rows, n_empty, n_unnamed)


def read_orthologues(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Read a CSV of (human symbol, mouse symbol) pairs without a header; ``.gz`` may follow.

    Parameters
    ----------
    path
        The file. A pair with an empty side says that there is no orthologue, and is skipped.

    Returns
    -------
    dict
        Human symbol -> its mouse symbols, sorted.

    Raises
    ------
    InputNotFoundError
        If the file does not exist.
    InputError
        If it has not two columns or is not UTF-8.
    CorruptDataError
        If it is truncated.
    """
    path = Path(path)
    table = read_delimited(path, separator=",", header=False)
    if table.num_columns != 2:
        message = f"{path} has {table.num_columns} columns; orthologues are pairs of human, mouse symbol."
        raise InputError(message)
    pairs: dict[str, set[str]] = {}
    for human, mouse in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if human and mouse:
            pairs.setdefault(human, set()).add(mouse)
    return {human: tuple(sorted(mice)) for human, mice in pairs.items()}


def _read(path: Path) -> pa.Table:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind == ".parquet":
        return read_parquet(path)
    if kind in {".tsv", ".txt", ".tab"}:
        return read_delimited(path, separator="\t")
    if kind == ".csv":
        return read_delimited(path, separator=",")
    message = f"{path} is not a gene table by its name: expected .tsv, .csv (also .gz) or .parquet."
    raise InputError(message)


def _choose_columns(path: Path, present: Sequence[str], options: TextOptions) -> Columns:
    def existing(name: str, role: str) -> str:
        if name in present:
            return name
        shown = ", ".join(present[:_NAMES_SHOWN]) + (", ..." if len(present) > _NAMES_SHOWN else "")
        message = f"{path} has no column {name!r} for the {role}; there are {shown}."
        raise InputError(message)

    lower = {name.lower(): name for name in reversed(present)}
    chosen: dict[str, str | None] = {}
    for role, spellings in _SPELLINGS.items():
        name = getattr(options, f"{role}_column", None)
        if name is not None:
            chosen[role] = existing(name, role)
        else:
            chosen[role] = next((lower[spelling] for spelling in spellings if spelling in lower), None)
    columns = Columns(**chosen, text=existing(options.text_column, "text"))
    if columns.id is None and columns.symbol is None and columns.ensembl is None:
        message = (
            f"{path} has no column of gene ids or symbols by a usual name; say which of its columns is the "
            f"id, symbol or Ensembl column: {', '.join(present[:_NAMES_SHOWN])}."
        )
        raise InputError(message)
    return columns


def _rows(table: pa.Table, columns: Columns) -> list[dict[str, Any]]:
    roles = {field.name: getattr(columns, field.name) for field in fields(columns)}
    used = {role: table.column(name).to_pylist() for role, name in roles.items() if name is not None}
    return [dict(zip(used, values, strict=True)) for values in zip(*used.values(), strict=True)]


def _gene(
    row: dict[str, Any],
    where: str,
    columns: Columns,
    text_source: str | None,
    orthologues: dict[str, tuple[str, ...]] | None,
) -> _Gene:
    symbol = _scalar(row.get("symbol")) or None
    mouse = _names(row.get("mouse")) if orthologues is None else orthologues.get(symbol or "", ())
    return _Gene(
        ncbi_id=_ncbi_id(row.get("id"), where, columns),
        symbol=symbol,
        ensembl_ids=tuple(
            dict.fromkeys(_VERSIONED_ENSEMBL.sub(r"\1", name) for name in _names(row.get("ensembl")))
        ),
        aliases=tuple(name for name in _names(row.get("alias")) if name != symbol),
        mouse_symbols=mouse,
        name=_scalar(row.get("name")) or None,
        text=_scalar(row["text"]),
        text_source=text_source or _scalar(row.get("text_source")) or columns.text,
    )


def _scalar(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _names(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else _scalar(value).split(_LIST_SEPARATOR)
    return tuple(dict.fromkeys(name for part in parts if (name := _scalar(part))))


def _ncbi_id(value: Any, where: str, columns: Columns) -> int | None:
    # pandas turns a column of integers with gaps into floats, and so do the Parquet files it writes.
    if isinstance(value, float):
        value = None if value != value else int(value) if value.is_integer() else value  # noqa: PLR0124
    text = _scalar(value)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        hint = (
            " Name this column as the Ensembl column, or another one as the id column."
            if text.upper().startswith("ENS")
            else ""
        )
        message = f"{where}: {text!r} in column {columns.id!r} is not an NCBI Gene id (a number).{hint}"
        raise InputError(message)
    return int(text)


def _refuse_duplicates(path: Path, genes: Sequence[_Gene]) -> None:
    for before, gene in itertools.pairwise(genes):
        same = (
            before.ncbi_id == gene.ncbi_id
            if gene.ncbi_id is not None
            else before.ncbi_id is None and before.order == gene.order
        )
        if same:
            message = f"{path} has two rows for {gene.label}; keep one text per gene."
            raise InputError(message)


def _to_arrow(genes: Sequence[_Gene]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema([field for field in gene_schema() if field.name != "row"])
    return pa.table(
        {name: [getattr(gene, name, None) for gene in genes] for name in schema.names},
        schema=schema,
    )
