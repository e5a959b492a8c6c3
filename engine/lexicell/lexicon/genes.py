"""Columns of ``genes.parquet``: who the rows of a lexicon are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from lexicell._files import reading_file
from lexicell.errors import CorruptDataError, InputError
from lexicell.lexicon.manifest import MANIFEST_FILE, RESTORE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = [
    "GENES_FILE",
    "GENE_COLUMNS",
    "ID_COLUMNS",
    "TEXT_FLAGS",
    "TextFlag",
    "gene_schema",
    "read_genes",
    "write_genes",
]

GENES_FILE = "genes.parquet"

#: What identifies a gene; everything that aligning a data set needs, and no text.
ID_COLUMNS = ("row", "ncbi_id", "symbol", "ensembl_ids", "aliases", "mouse_symbols")
GENE_COLUMNS = (*ID_COLUMNS, "name", "gene_type", "text", "text_source", "text_flag")

#: What a text can lack: nothing but the gene's names in it; word for word the text of many other genes;
#: words that stand where nothing is known ("predicted gene"). Null where nothing is lacking.
TextFlag = Literal["name-only", "shared", "placeholder"]
#: All of them.
TEXT_FLAGS: tuple[TextFlag, ...] = get_args(TextFlag)
_OPTIONAL = ("gene_type", "text_flag")

# Texts shrink to a third or so, and to a fiftieth where many genes share one.
_PLAUSIBLE, _EXPANSION = 64 << 20, 200


def gene_schema() -> pa.Schema:
    """Arrow schema of ``genes.parquet``, columns in order."""
    import pyarrow as pa

    names = pa.list_(pa.string())
    return pa.schema(
        [
            pa.field("row", pa.int32(), nullable=False),
            pa.field("ncbi_id", pa.int64()),
            pa.field("symbol", pa.string()),
            pa.field("ensembl_ids", names),
            pa.field("aliases", names),
            pa.field("mouse_symbols", names),
            pa.field("name", pa.string()),
            pa.field("gene_type", pa.string()),
            pa.field("text", pa.string()),
            pa.field("text_source", pa.string()),
            pa.field("text_flag", pa.string()),
        ]
    )


def write_genes(folder: Path, genes: pa.Table) -> None:
    """Write `genes` as ``genes.parquet``; the same rows always give the same bytes.

    Parameters
    ----------
    folder
        An existing folder.
    genes
        The columns of `gene_schema` except ``row``, which is numbered here; ``gene_type`` and
        ``text_flag`` are null where they are not given.

    Raises
    ------
    InputError
        If a column is missing or has another type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = gene_schema()
    columns: dict[str, Any] = {"row": pa.array(range(genes.num_rows), pa.int32())}
    for field in list(schema)[1:]:
        if field.name in _OPTIONAL and field.name not in genes.column_names:
            columns[field.name] = pa.nulls(genes.num_rows, field.type)
            continue
        if field.name not in genes.column_names:
            message = f"The gene table has no column {field.name!r}."
            raise InputError(message)
        try:
            columns[field.name] = genes.column(field.name).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            message = f"Column {field.name!r} of the gene table is not {field.type}."
            raise InputError(message) from error
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    # No Arrow schema in the footer: it is redundant here, and its bytes differ between pyarrow versions.
    pq.write_table(table, folder / GENES_FILE, compression="zstd", compression_level=12, store_schema=False)


def read_genes(folder: Path, columns: Sequence[str], n_genes: int) -> pa.Table:
    """Read `columns` of ``genes.parquet``; the others are not touched on disk.

    Parameters
    ----------
    folder
        The lexicon's.
    columns
        Some of `GENE_COLUMNS`.
    n_genes
        Rows that the manifest says there are.

    Raises
    ------
    InputError
        If a column does not exist.
    CorruptDataError
        If the file cannot be read, or does not hold `gene_schema` and rows 0 to ``n_genes - 1``.
    """
    import pyarrow.parquet as pq

    unknown = [name for name in columns if name not in GENE_COLUMNS]
    if unknown:
        message = f"A lexicon has no gene column {unknown[0]!r}; there are {', '.join(GENE_COLUMNS)}."
        raise InputError(message)
    path = folder / GENES_FILE
    # Read as one file: through the data-set layer, folder names such as "a=b" would become columns.
    with reading_file(path, RESTORE), pq.ParquetFile(path) as file:
        _check_footer(path, file, n_genes)
        genes: pa.Table = file.read(columns=list(columns))
        is_numbered = "row" not in columns or np.array_equal(genes["row"], np.arange(n_genes))
        if genes.num_rows != n_genes or not is_numbered:
            message = f"{path} does not number its rows from 0 to {n_genes - 1:,}; {RESTORE}."
            raise CorruptDataError(message)
    return genes


def _check_footer(path: Path, file: pq.ParquetFile, n_genes: int) -> None:
    """Compare rows, columns and sizes with what they have to be, before anything is decoded."""
    fault = None
    if file.metadata.num_rows != n_genes:
        fault = f"has {file.metadata.num_rows:,} genes where {MANIFEST_FILE} says {n_genes:,}"
    for field in gene_schema():
        place = file.schema_arrow.get_field_index(field.name)  # -1 also where there are two of that name
        if place < 0 or file.schema_arrow.field(place).type != field.type:
            fault = f"has no column {field.name!r} of type {field.type}"
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > _PLAUSIBLE + _EXPANSION * path.stat().st_size:
        fault = "unpacks to far more bytes than descriptions of genes do"
    if fault is not None:
        message = f"{path} {fault}; {RESTORE}."
        raise CorruptDataError(message)
