"""Lexicon folders, written completely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexicell._files import check_new_folder, hash_file, staged_folder
from lexicell.errors import InputError
from lexicell.lexicon.card import CARD_FILE, make_card
from lexicell.lexicon.genes import GENE_COLUMNS, read_genes, write_genes
from lexicell.lexicon.lexicon import OWN_FILES, Lexicon
from lexicell.lexicon.manifest import MANIFEST_FILE, EncoderInfo, FileInfo, Manifest, TextInfo
from lexicell.lexicon.table import write_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from lexicell.lexicon.table import TableDtype

__all__ = ["check_output", "write_lexicon"]


def write_lexicon(
    path: str | Path,
    genes: pa.Table,
    vectors: NDArray[np.floating[Any]],
    *,
    name: str,
    organism: str,
    text: TextInfo,
    encoder: EncoderInfo,
    dtype: TableDtype = "float16",
    notes: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Lexicon:
    """Write a lexicon folder, completely or not at all.

    Parameters
    ----------
    path
        The folder to create.
    genes
        ``G`` rows with the columns ``ncbi_id`` to ``text_flag`` of a lexicon; row i of the table
        belongs to row i of `vectors`.
    vectors
        ``[G, d]``, finite.
    name, organism, text, encoder
        For the manifest.
    dtype
        Storage type of the table.
    notes
        Further files for people ("NOTICE.md"), hashed like the others. ``README.md`` is the card, which
        is written here.
    overwrite
        Whether to replace a lexicon that lies at `path`. Any other folder is never replaced.

    Returns
    -------
    Lexicon
        Opened at `path`.

    Raises
    ------
    OutputExistsError
        If `path` exists and is not to be replaced.
    InputError
        If genes and vectors do not fit each other or cannot be stored, or a note has the name of
        another file.
    WriteError
        If the disk is full, or the folder may not be written to.
    """
    target = Path(path)
    check_output(target, overwrite=overwrite)
    if genes.num_rows != len(vectors):
        message = f"The lexicon's table has {genes.num_rows} genes but {len(vectors)} vectors."
        raise InputError(message)
    for note in notes or {}:
        if note in OWN_FILES or Path(note).name != note:
            message = f"A note cannot be called {note!r}: a lexicon has a file of its own there."
            raise InputError(message)
    with staged_folder(target, replace=overwrite) as folder:
        write_genes(folder, genes)
        write_table(folder, vectors, dtype)
        about = Manifest(
            name=name,
            organism=organism,
            text=text,
            encoder=encoder,
            n_genes=genes.num_rows,
            dim=vectors.shape[1],
            dtype=dtype,
            files={},
        )
        card = make_card(about, read_genes(folder, GENE_COLUMNS, about.n_genes))
        for note, content in {**(notes or {}), CARD_FILE: card.encode()}.items():
            (folder / note).write_bytes(content)
        files = {
            file.name: FileInfo(bytes=file.stat().st_size, blake3=hash_file(file))
            for file in sorted(folder.iterdir())
        }
        about.model_copy(update={"files": files}).write(folder)
    return Lexicon.open(target, verify=False)


def check_output(target: Path, *, overwrite: bool) -> None:
    """Raise `OutputExistsError` unless a lexicon may be written to `target`."""
    check_new_folder(target, MANIFEST_FILE, "lexicon", overwrite=overwrite)
