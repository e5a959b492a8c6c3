"""A lexicon as a file of vectors for other tools."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._files import check_new_file, staged_path
from lexicell.errors import InputError
from lexicell.lexicon._artefact import Lexicon
from lexicell.lexicon._card import gene_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["EXPORT_FORMATS", "export_vectors"]


def export_vectors(
    lexicon: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """Write genes and vectors of a lexicon as one file.

    ``.npz`` and ``.safetensors`` hold ``emb`` (float16 or float32 ``[G, d]``, bit for bit) with the names
    ``symbol``, ``ncbi_id`` and ``ensembl_ids``, the latter separated by ``|``; names are arrays in the one
    and lists in the entry ``genes`` (JSON) of the other's metadata. ``.parquet`` has such columns beside
    ``vector``, lists of float32. ``.json`` (name -> numbers) and ``.vec`` (word2vec text) know one name per
    gene: its symbol, or where it has none of its own an id. Numbers are written so that they are read back
    exactly.

    Parameters
    ----------
    lexicon
        A folder, or the name of a bundled lexicon.
    out
        The file to create; the end of its name says the format.
    overwrite
        Whether to replace an existing file.
    notify
        Called with one line if genes go by an id.

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
    names = _names(opened)
    if write in {_write_json, _write_text} and notify is not None:
        by_id = sum(a != b for a, b in zip(names["unique"], names["symbol"], strict=True))
        if by_id:
            notify(f"{by_id:,} genes without a symbol of their own are named by an id")
    with staged_path(target, replace=overwrite) as staging:
        write(staging, opened, names)
    return target


_Names = dict[str, list[str]]


def _names(lexicon: Lexicon) -> _Names:
    genes = lexicon.genes.to_pylist()
    labels = [gene_label(gene) for gene in genes]
    often = Counter(labels)
    unique = [
        label if often[label] == 1 else gene_label({**gene, "symbol": None})
        for label, gene in zip(labels, genes, strict=True)
    ]
    return {
        "unique": ["_".join(name.split()) for name in unique],
        "symbol": [gene["symbol"] or "" for gene in genes],
        "ncbi_id": ["" if gene["ncbi_id"] is None else str(gene["ncbi_id"]) for gene in genes],
        "ensembl_ids": ["|".join(gene["ensembl_ids"] or ()) for gene in genes],
    }


def _ids(names: _Names) -> _Names:
    """Arrays of names that say something: one of empty strings would not be known for what it is."""
    return {column: values for column, values in names.items() if column != "unique" and any(values)}


def _write_npz(path: Path, lexicon: Lexicon, names: _Names) -> None:
    arrays: dict[str, Any] = {column: np.array(values) for column, values in _ids(names).items()}
    with path.open("wb") as file:  # given a name, NumPy would add .npz to it
        np.savez_compressed(file, emb=lexicon.stored, **arrays)


def _write_safetensors(path: Path, lexicon: Lexicon, names: _Names) -> None:
    from safetensors.numpy import save

    # One entry, since safetensors writes several in another order each time.
    path.write_bytes(save({"emb": np.ascontiguousarray(lexicon.stored)}, {"genes": json.dumps(_ids(names))}))


def _write_parquet(path: Path, lexicon: Lexicon, names: _Names) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    genes = lexicon.genes.select(["ncbi_id", "symbol", "ensembl_ids"])
    flat = pa.array(lexicon.vectors(lexicon.rows).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, lexicon.dim)
    del names
    pq.write_table(genes.append_column("vector", vectors), path, compression="zstd")


def _write_json(path: Path, lexicon: Lexicon, names: _Names) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        start = "{"
        for name, vector in zip(names["unique"], _rows(lexicon), strict=True):
            file.write(f"{start}\n{json.dumps(name)}: [{_numbers(vector, ', ')}]")
            start = ","
        file.write("\n}\n")


def _write_text(path: Path, lexicon: Lexicon, names: _Names) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{lexicon.n_genes} {lexicon.dim}\n")
        for name, vector in zip(names["unique"], _rows(lexicon), strict=True):
            file.write(f"{name} {_numbers(vector, ' ')}\n")


#: The end of a file's name -> what writes it.
EXPORT_FORMATS: dict[str, Callable[[Path, Lexicon, _Names], None]] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".safetensors": _write_safetensors,
    ".json": _write_json,
    ".vec": _write_text,
    ".txt": _write_text,
}


def _rows(lexicon: Lexicon) -> Iterator[NDArray[np.floating[Any]]]:
    yield from lexicon.stored


def _numbers(vector: NDArray[np.floating[Any]], separator: str) -> str:
    values: Sequence[float] = vector.tolist()
    return separator.join([f"{value:.9g}" for value in values])  # nine digits tell all float32 apart
