"""From a table of gene texts to a lexicon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lexicell.lexicon._artefact import Lexicon, check_output, write_lexicon
from lexicell.lexicon._encoder import Encoder, EncoderOptions, ProgressCallback, load_encoder
from lexicell.lexicon._manifest import TextInfo
from lexicell.lexicon._text import TextOptions, read_gene_texts, read_orthologues

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lexicell.lexicon._table import TableDtype

__all__ = ["build_lexicon"]


def build_lexicon(
    table: str | Path,
    out: str | Path,
    *,
    encoder: str | Encoder = "minilm",
    encoder_options: EncoderOptions | None = None,
    texts: TextOptions | None = None,
    orthologues: str | Path | None = None,
    name: str | None = None,
    organism: str = "human",
    source: str | None = None,
    source_date: str = "",
    licence: str = "",
    attribution: str = "",
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
    encoder_options
        How the named encoder is run.
    texts
        Which columns of the table hold what, and what becomes the text.
    orthologues
        CSV of (human symbol, mouse symbol), see `read_orthologues`.
    name
        What to call the lexicon; by default the name of `out`.
    organism
        Species whose symbols the table uses.
    source, source_date, licence, attribution
        Where the texts come from, for the manifest; `source` is by default the file's name.
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
    genes = read_gene_texts(table, texts, orthologues=pairs)
    if notify is not None and (genes.n_empty or genes.n_unnamed):
        notify(
            f"Of {genes.n_read:,} rows, {genes.n_empty:,} without a text and {genes.n_unnamed:,} without "
            "id and symbol were left out"
        )
    if isinstance(encoder, str):
        encoder = load_encoder(encoder, encoder_options, notify=notify)
    done = 0

    def advance(positions: Sequence[int], vectors: NDArray[np.float32]) -> None:  # noqa: ARG001
        nonlocal done
        done += len(positions)
        if progress is not None:
            progress(done, genes.table.num_rows)

    vectors = encoder.encode(genes.texts, advance)
    return write_lexicon(
        target,
        genes.table,
        vectors,
        name=name or target.resolve().name,
        organism=organism,
        text=TextInfo(
            source=source or Path(table).name, date=source_date, licence=licence, attribution=attribution
        ),
        encoder=encoder.info,
        dtype=dtype,
        notes=notes,
        overwrite=overwrite,
    )
