"""From a table of gene texts to a lexicon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lexicell.lexicon._artefact import Lexicon, check_output, write_lexicon
from lexicell.lexicon._encoder import Encoder, ProgressCallback, load_encoder
from lexicell.lexicon._manifest import EncoderInfo, TextInfo
from lexicell.lexicon._text import read_gene_texts, read_orthologues

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexicell.lexicon._table import TableDtype

__all__ = ["build_lexicon"]


def build_lexicon(
    table: str | Path,
    out: str | Path,
    *,
    encoder: str | Encoder = "minilm",
    encoder_folder: str | Path | None = None,
    name: str | None = None,
    organism: str = "human",
    source: str | None = None,
    source_date: str = "",
    licence: str = "",
    attribution: str = "",
    orthologues: str | Path | None = None,
    id_column: str | None = None,
    symbol_column: str | None = None,
    ensembl_column: str | None = None,
    alias_column: str | None = None,
    name_column: str | None = None,
    text_column: str = "text",
    text_source: str | None = None,
    dtype: TableDtype = "float16",
    notes: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
    notify: Callable[[str], None] | None = None,
) -> Lexicon:
    """Encode a table of gene texts and write a lexicon.

    The same table, options and encoder give the same bytes, wherever the rows stand in the file.

    Parameters
    ----------
    table
        TSV, CSV (both may be gzipped) or Parquet, see `read_gene_texts`; ``genes.parquet`` of a
        lexicon rebuilds that lexicon.
    out
        Folder to create.
    encoder
        Name of a text encoder, or an encoder.
    encoder_folder
        Folder with the named encoder's files; by default they are searched for.
    name
        What to call the lexicon; by default the name of `out`.
    organism
        Species whose symbols the table uses.
    source, source_date, licence, attribution
        Where the texts come from, for the manifest; `source` is by default the file's name.
    orthologues
        CSV of (human symbol, mouse symbol), see `read_orthologues`.
    id_column, symbol_column, ensembl_column, alias_column, name_column, text_column, text_source
        See `read_gene_texts`.
    dtype
        Storage type of the vectors, "float16" or "float32".
    notes
        Further files for people ("NOTICE.md") to put into the folder.
    overwrite
        Whether to replace a lexicon at `out`.
    progress
        Called with (texts done, all texts) while encoding.
    notify
        Called with one line before work that takes seconds, and where rows are left out.

    Returns
    -------
    Lexicon
        Opened at `out`.

    Raises
    ------
    OutputExistsError
        If `out` exists and is not to be replaced; before anything is encoded.
    InputError
        If the table or an option cannot be used.
    CorruptDataError
        If an input file is truncated.
    MissingExtraError
        If a package of the extra ``encoders`` is needed and not installed.
    """
    target = Path(out)
    check_output(target, overwrite=overwrite)
    pairs = read_orthologues(orthologues) if orthologues is not None else None
    genes = read_gene_texts(
        table,
        id_column=id_column,
        symbol_column=symbol_column,
        ensembl_column=ensembl_column,
        alias_column=alias_column,
        name_column=name_column,
        text_column=text_column,
        text_source=text_source,
        orthologues=pairs,
    )
    if notify is not None and (genes.n_empty or genes.n_unnamed):
        notify(
            f"Of {genes.n_read:,} rows, {genes.n_empty:,} without a text and {genes.n_unnamed:,} without "
            "id and symbol were left out"
        )
    if isinstance(encoder, str):
        encoder = load_encoder(encoder, folder=encoder_folder, notify=notify)
    vectors = encoder.encode(genes.texts, progress)
    return write_lexicon(
        target,
        genes.table,
        vectors,
        name=name or target.resolve().name,
        organism=organism,
        text=TextInfo(
            source=source or Path(table).name, date=source_date, licence=licence, attribution=attribution
        ),
        encoder=EncoderInfo(
            id=encoder.id,
            revision=encoder.revision,
            pooling=encoder.pooling,
            max_tokens=encoder.max_tokens,
            normalised=encoder.normalised,
        ),
        dtype=dtype,
        notes=notes,
        overwrite=overwrite,
    )
