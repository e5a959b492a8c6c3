"""A lexicon as a file of vectors for other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lexicell._files import check_new_file, staged_path
from lexicell.errors import InputError
from lexicell.lexicon.lexicon import Lexicon

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EXPORT_FORMATS", "export_vectors"]


def export_vectors(lexicon: str | Path, out: str | Path, *, overwrite: bool = False) -> Path:
    """Write genes and vectors of a lexicon as one file.

    Parameters
    ----------
    lexicon
        A folder, or the name of a bundled lexicon.
    out
        The file to create. ``.parquet`` has the columns ``ncbi_id``, ``symbol``, ``ensembl_ids`` and
        ``vector``, lists of float32. ``.safetensors`` holds ``emb`` (float16 or float32 ``[G, d]``, bit for
        bit), and in the entry ``genes`` of its metadata the same names as JSON, several ids separated by
        ``|``.
    overwrite
        Whether to replace an existing file.

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    OutputExistsError
        If `out` exists and is not to be replaced, or is a folder.
    InputError
        If the format is unknown.
    WriteError
        If the disk is full, or the folder may not be written to.
    """
    target = Path(out)
    write = EXPORT_FORMATS.get(target.suffix.lower())
    if write is None:
        message = f"{target} is of no known format by its name: expected {', '.join(EXPORT_FORMATS)}."
        raise InputError(message)
    check_new_file(target, overwrite=overwrite)
    opened = Lexicon.open(lexicon)
    with staged_path(target, replace=overwrite) as staging:
        write(staging, opened)
    return target


def _write_safetensors(path: Path, lexicon: Lexicon) -> None:
    from safetensors.numpy import save

    genes = lexicon.genes.to_pylist()
    names = {
        "symbol": [gene["symbol"] or "" for gene in genes],
        "ncbi_id": ["" if gene["ncbi_id"] is None else str(gene["ncbi_id"]) for gene in genes],
        "ensembl_ids": ["|".join(gene["ensembl_ids"] or ()) for gene in genes],
    }
    # One entry, since safetensors writes several in another order each time.
    path.write_bytes(save({"emb": np.ascontiguousarray(lexicon.stored)}, {"genes": json.dumps(names)}))


def _write_parquet(path: Path, lexicon: Lexicon) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    genes = lexicon.genes.select(["ncbi_id", "symbol", "ensembl_ids"])
    flat = pa.array(lexicon.vectors(lexicon.rows).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, lexicon.dim)
    pq.write_table(genes.append_column("vector", vectors), path, compression="zstd")


#: The end of a file's name -> what writes it.
EXPORT_FORMATS: dict[str, Callable[[Path, Lexicon], None]] = {
    ".parquet": _write_parquet,
    ".safetensors": _write_safetensors,
}
