"""Tables of gene texts: TSV, CSV or Parquet in, one Arrow table in lexicon order out."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexicell._files import reading_file
from lexicell._say import listed
from lexicell.errors import InputError
from lexicell.lexicon.genes import gene_schema
from lexicell.lexicon.manifest import TextInfo
from lexicell.lexicon.match import GeneKey
from lexicell.lexicon.text.clean import clean
from lexicell.lexicon.text.columns import Columns, TextOptions, choose_columns
from lexicell.lexicon.text.flags import flag_texts
from lexicell.lexicon.text.recipe import DEFAULT_RECIPE, Composed, TextRecipe, choose_recipe
from lexicell.lexicon.text.tabular import read_delimited, read_parquet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from lexicell.lexicon.genes import TextFlag

__all__ = ["SOURCE_KEY", "Columns", "GeneTexts", "TextOptions", "read_gene_texts", "read_orthologues"]

#: Where a Parquet file of gene texts says, as JSON, where they come from.
SOURCE_KEY = b"lexicell.source"

_LIST_SEPARATOR = "|"
_ID_SEPARATOR = ";"  # UniProt's, which ends each id with it
_VERSIONED_ENSEMBL = re.compile(r"^(ENS[A-Z]*\d+)\.\d+$")
_MISSING = ("", "-")  # NCBI writes a dash


@dataclass(frozen=True)
class GeneTexts:
    """Genes and texts, ready to be encoded.

    Attributes
    ----------
    table
        Columns ``ncbi_id`` to ``text_flag`` of a lexicon. Rows are sorted by NCBI id (genes
        without one last), then symbol, then Ensembl ids: never by their order in the file.
    columns
        Which columns of the file were used.
    recipe
        How texts were put together: a recipe's name, a template, or "column " and its name.
    n_read
        Rows in the file.
    n_empty, n_unnamed
        Rows left out because they have no text, or no id and no symbol.
    dropped
        Flag -> genes left out because of it.
    info, organism
        What the file itself says about its source; None where it says nothing.
    """

    table: pa.Table
    columns: Columns
    recipe: str
    n_read: int
    n_empty: int
    n_unnamed: int
    dropped: Mapping[TextFlag, int]
    info: TextInfo | None = None
    organism: str | None = None

    @property
    def texts(self) -> list[str]:
        """The texts, in row order."""
        texts: list[str] = self.table.column("text").to_pylist()
        return texts

    @property
    def flags(self) -> dict[TextFlag, int]:
        """Flag -> genes of `table` that have it, most frequent first."""
        flags = self.table.column("text_flag").to_pylist()
        return dict(Counter(flag for flag in flags if flag is not None).most_common())


@dataclass(frozen=True)
class _Gene(GeneKey):
    aliases: tuple[str, ...]
    mouse_symbols: tuple[str, ...]
    name: str | None
    gene_type: str | None
    text: str
    text_source: str

    @property
    def label(self) -> str:
        """The first identifier there is, as a person would say it."""
        if self.ncbi_id is not None:
            return f"NCBI id {self.ncbi_id}"
        return f"symbol {self.symbol}" if self.symbol else f"Ensembl id {'|'.join(self.ensembl_ids)}"


def read_gene_texts(
    path: str | Path,
    options: TextOptions | None = None,
    *,
    orthologues: dict[str, tuple[str, ...]] | None = None,
) -> GeneTexts:
    """Read a table of genes and put their texts together.

    TSV (fields never quoted) and CSV (fields may be quoted with ``"``) are UTF-8, start with a line of
    column names, and may be gzipped; a ``genes.parquet`` of a lexicon is a table too. Lists are
    separated by ``|``. Ensembl versions are dropped. A lone ``-`` is an empty field, as at NCBI.

    A text is a column as it stands (``text_column``) or made by a recipe, whose parts are: *name*,
    "SYMBOL (full name)"; *go*, "Molecular function: ...; .... Involved in: .... Located in: ....";
    *summary*, the summary. Parts that a gene lacks are left out, and so is a gene without any. In a
    template a column's name stands in braces, what stands in square brackets is left out where one of
    its columns is empty, and ``{{``, ``}}``, ``[[`` and ``]]`` are these characters themselves. What
    recipes and templates read is cleaned of credits, citations and notes on the database record.

    Parameters
    ----------
    path
        ``.tsv``, ``.txt`` or ``.csv``, optionally with ``.gz``, or ``.parquet``.
    options
        Which columns hold what, and what becomes the text.
    orthologues
        Human symbol -> mouse symbols (see `read_orthologues`); replaces a column ``mouse_symbols``.

    Returns
    -------
    GeneTexts
        Rows without a text, or without id and symbol, are left out and counted. A row with several ids
        or symbols ("3039;3040;" and "HBA1; HBA2" of UniProt) is a gene for each symbol, without id.

    Raises
    ------
    InputNotFoundError
        If the file does not exist.
    InputError
        If a column is missing, an id is not a number, a gene occurs twice, the file is not UTF-8, the
        recipe is unknown, or no row is left.
    CorruptDataError
        If the file is truncated, or what it says about its source is damaged.
    """
    path = Path(path)
    table = _read(path)
    options = options or TextOptions()
    columns = choose_columns(path, table.column_names, options)
    recipe = _recipe(path, table.column_names, columns, options)
    genes: list[_Gene] = []
    n_empty = n_unnamed = 0
    texts = _texts(table, columns, recipe)
    for line, (row, text) in enumerate(zip(_rows(table, columns), texts, strict=True), start=1):
        if not text.text:
            n_empty += 1
            continue
        where = f"{path}, row {line}"
        added = _genes(
            row, text, where, columns, options.text_source, orthologues, cleaned=recipe is not None
        )
        genes.extend(added)
        n_unnamed += not added
    source = f"column {columns.text}" if recipe is None else recipe.name
    if not genes:
        message = f"{path} has no gene with an id and a text ({source})."
        raise InputError(message)
    genes.sort(key=lambda gene: gene.order)
    _refuse_duplicates(path, genes)
    flags = flag_texts(genes)
    pairs = [pair for pair in zip(genes, flags, strict=True) if pair[1] not in options.drop]
    if not pairs:
        message = f"{path} has no gene left: all {len(genes):,} are {' or '.join(options.drop)}."
        raise InputError(message)
    dropped = Counter(flag for flag in flags if flag is not None and flag in options.drop)
    info, organism = _source(path, table)
    if info is not None:
        info = info.model_copy(update={"recipe": source})
    return GeneTexts(
        _to_arrow(pairs), columns, source, table.num_rows, n_empty, n_unnamed, dict(dropped), info, organism
    )


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


def _recipe(path: Path, present: Sequence[str], columns: Columns, options: TextOptions) -> TextRecipe | None:
    if columns.text is not None:
        return None
    if options.recipe is None and columns.summary is None:
        message = (
            f"{path} has no column 'text' and none of summaries by a usual name; say which column holds the "
            f"texts, or a recipe: there are {listed(present)}."
        )
        raise InputError(message)
    return choose_recipe(path, present, columns, options.recipe or DEFAULT_RECIPE)


def _texts(table: pa.Table, columns: Columns, recipe: TextRecipe | None) -> list[Composed]:
    if recipe is None:
        name = str(columns.text)
        return [Composed(_scalar(value), name) for value in table.column(name).to_pylist()]
    cleaned = [_cleaned(table.column(name).to_pylist()) for name in recipe.columns]
    return [
        recipe.compose(dict(zip(recipe.columns, values, strict=True)))
        for values in zip(*cleaned, strict=True)
    ]


def _cleaned(values: Sequence[Any]) -> list[str]:
    shown = ["; ".join(_names(value)) if isinstance(value, list) else _scalar(value) for value in values]
    # Thousands of genes share one summary.
    cleaned = {text: clean(text) for text in set(shown)}
    return [cleaned[text] for text in shown]


def _rows(table: pa.Table, columns: Columns) -> list[dict[str, Any]]:
    roles = {field.name: getattr(columns, field.name) for field in fields(columns)}
    used = {role: table.column(name).to_pylist() for role, name in roles.items() if name is not None}
    return [dict(zip(used, values, strict=True)) for values in zip(*used.values(), strict=True)]


def _genes(
    row: dict[str, Any],
    text: Composed,
    where: str,
    columns: Columns,
    text_source: str | None,
    orthologues: dict[str, tuple[str, ...]] | None,
    *,
    cleaned: bool,
) -> list[_Gene]:
    ids = _ncbi_ids(row.get("id"), where, columns)
    symbols = _split(row.get("symbol"))
    ensembl = tuple(dict.fromkeys(_VERSIONED_ENSEMBL.sub(r"\1", name) for name in _names(row.get("ensembl"))))
    aliases = _names(row.get("alias"))
    if not (ids or symbols or ensembl):
        return []
    if len(ids) > 1 and not symbols:
        message = (
            f"{where} has several ids in column {columns.id!r} and no symbol; give each gene its own row."
        )
        raise InputError(message)
    if len(symbols) > 1:
        # Which of the ids and aliases is whose is not said.
        ensembl = aliases = ()
    name = _scalar(row.get("name"))
    return [
        _Gene(
            ncbi_id=ids[0] if len(ids) == 1 and len(symbols) < 2 else None,
            symbol=symbol,
            ensembl_ids=ensembl,
            aliases=tuple(name for name in aliases if name != symbol),
            mouse_symbols=(
                _names(row.get("mouse")) if orthologues is None else orthologues.get(symbol or "", ())
            ),
            name=(clean(name) if cleaned else name) or None,
            gene_type=_scalar(row.get("gene_type")) or None,
            text=text.text,
            text_source=text_source or _text_source(row, text),
        )
        for symbol in (symbols or (None,))
    ]


def _text_source(row: dict[str, Any], text: Composed) -> str:
    if text.made_of == "name":
        return "name"
    stated = _scalar(row.get("summary_source")) if text.has_summary else ""
    return stated or _scalar(row.get("text_source")) or text.made_of


def _source(path: Path, table: pa.Table) -> tuple[TextInfo | None, str | None]:
    note = (table.schema.metadata or {}).get(SOURCE_KEY)
    if note is None:
        return None, None
    with reading_file(f"What {path} says about its texts", "fetch it again"):
        facts = json.loads(note)
        info = TextInfo(**{name: facts[name] for name in ("source", "date", "licence", "attribution")})
        return info, str(facts["organism"])


def _scalar(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN, pandas' idea of a gap
        return ""
    text = str(value).strip()
    return "" if text in _MISSING else text


def _names(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else _scalar(value).split(_LIST_SEPARATOR)
    return tuple(dict.fromkeys(name for part in parts if (name := _scalar(part))))


def _split(value: Any) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(part for item in _scalar(value).split(_ID_SEPARATOR) if (part := item.strip()))
    )


def _ncbi_ids(value: Any, where: str, columns: Columns) -> tuple[int, ...]:
    # pandas turns a column of integers with gaps into floats, and so do the Parquet files it writes.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    ids = _split(value)
    for text in ids:
        if text.isascii() and text.isdigit() and len(text) <= 18:
            continue
        hint = (
            " Name this column as the Ensembl column, or another one as the id column."
            if text.upper().startswith("ENS")
            else ""
        )
        message = f"{where}: {text!r} in column {columns.id!r} is not an NCBI Gene id (a number).{hint}"
        raise InputError(message)
    return tuple(map(int, ids))


def _refuse_duplicates(path: Path, genes: Sequence[_Gene]) -> None:
    for prior, gene in itertools.pairwise(genes):
        repeated = (
            prior.ncbi_id == gene.ncbi_id
            if gene.ncbi_id is not None
            else prior.ncbi_id is None and prior.order == gene.order
        )
        if repeated:
            message = f"{path} has two rows for {gene.label}; keep one text per gene."
            raise InputError(message)


def _to_arrow(genes: Sequence[tuple[_Gene, TextFlag | None]]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema([field for field in gene_schema() if field.name != "row"])
    columns: dict[str, list[Any]] = {
        field.name: [getattr(gene, field.name) for gene, _ in genes]
        for field in schema
        if field.name != "text_flag"
    }
    columns["text_flag"] = [flag for _, flag in genes]
    return pa.table(columns, schema=schema)
