"""Gene vectors of other tools: JSON, Parquet and NumPy, never a pickle.

That is what published vectors are found in, or a few lines of Python away from; ``docs/lexicon.md`` has them
for word2vec's text, both ways. What is ours beyond pyarrow and NumPy is what these leave to a person: which
columns are names and which vectors, vectors as lists or as columns, and one sentence where a file is neither.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._files import check_growth, reading_file
from lexicell.errors import InputError, InputNotFoundError
from lexicell.lexicon.formats.json_vectors import read_json, refuse
from lexicell.lexicon.text.tabular import read_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["FORMATS", "NamedVectors", "read_vectors"]

# What an index is called: names of genes where nothing else is, and numbers of rows beside it.
_INDEXES = ("keys", "key", "index", "__index_level_0__")

#: What columns and arrays of names are usually called, the more telling ones first.
_NAME_COLUMNS = (
    "symbol", "symbols", "gene_symbol", "gene_symbols", "gene", "genes", "gene_name", "gene_names",
    "name", "names", "gene_id", "gene_ids", "id", "ids", "ncbi_id", "ncbi_ids", "ncbi_gene_id", "entrez",
    "entrez_id", "entrez_ids", "ensembl", "ensembl_id", "ensembl_ids", "ensembl_gene_id",
    "vocab", "words", "var_names", *_INDEXES,
)  # fmt: skip
_VECTOR_COLUMNS = ("emb", "embs", "embedding", "embeddings", "vector", "vectors", "x", "weight", "weights")
_PICKLES = {".pickle", ".pkl", ".p", ".joblib", ".pt", ".pth"}
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"(dp", b"(lp", b"}q\x00", b"]q\x00")
_SHOWN = 12


@dataclass(frozen=True)
class NamedVectors:
    """Vectors and what the file calls their genes.

    Attributes
    ----------
    names
        Name of a column or array -> one name per row, empty where there is none; the main one first.
    vectors
        float16 or float32 ``[n, d]``: float16 where the file has it.
    """

    names: Mapping[str, Sequence[str]]
    vectors: NDArray[np.floating[Any]]


def read_vectors(path: Path, names: Sequence[str] | None = None) -> NamedVectors:
    """Read gene vectors from a file of any known format.

    Parameters
    ----------
    path
        By the end of its name: ``.json`` (name -> list of numbers, as GenePT's; also gzipped), ``.parquet``
        (a row per gene) or ``.npz`` (a matrix and arrays of names).
    names
        Names of the rows, in place of those in the file.

    Raises
    ------
    InputNotFoundError
        If there is no such file.
    InputError
        If it is a pickle, of an unknown format, or does not hold one vector per name.
    CorruptDataError
        If it is truncated or damaged.
    """
    with reading_file(path, "fetch it again, or write it as another of the formats"):
        if not path.is_file():
            message = f"{path} does not exist." if not path.exists() else f"{path} is not a file."
            raise InputNotFoundError(message)
        _refuse_pickle(path)
        suffix = _suffix(path)
        if suffix not in FORMATS:
            message = f"{path} is of no known format by its name: expected {', '.join(FORMATS)}."
            raise InputError(message)
        columns, vectors = FORMATS[suffix](path, names)
    if vectors.ndim != 2 or 0 in vectors.shape:
        refuse(path, f"its vectors have the shape {list(vectors.shape)}, not [genes, dimensions]")
    if names is not None:
        columns = {"names": names}
    for column, values in columns.items():
        if len(values) != len(vectors):
            refuse(path, f"{len(values):,} names ({column!r}) for {len(vectors):,} vectors")
    return NamedVectors(columns, vectors)


_Read = tuple["dict[str, Sequence[str]]", "NDArray[np.floating[Any]]"]


def _read_npz(path: Path, names: Sequence[str] | None) -> _Read:
    with _opened(path) as stream, np.load(stream, allow_pickle=False) as file:
        if (members := getattr(file, "zip", None)) is not None:
            check_growth(path.stat().st_size, sum(member.file_size for member in members.infolist()))
        arrays = {name: file[name] for name in getattr(file, "files", ())}
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    vectors = _the_matrix(
        path, {name: a for name, a in arrays.items() if a.ndim == 2 and a.dtype.kind in "fiu"}
    )
    columns = {
        name: [_decoded(value) for value in a.tolist()]
        for name, a in arrays.items()
        if a.ndim == 1 and a.dtype.kind in "USiu"
    }
    return _name_columns(path, columns, names), _floating(vectors)


def _read_parquet(path: Path, names: Sequence[str] | None) -> _Read:
    import pyarrow as pa

    table = read_parquet(path)
    types = {field.name: field.type for field in table.schema}
    usual = [name for name in types if name.lower() in _NAME_COLUMNS]
    strings = [n for n, t in types.items() if pa.types.is_string(t) or pa.types.is_large_string(t)]
    columns = {
        name: [_decoded(value) for value in table.column(name).to_pylist()] for name in usual or strings
    }
    labels = _name_columns(path, columns, names)
    lists = {
        name: kind
        for name, kind in types.items()
        if (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
        and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
    }
    if lists:
        column = table.column(_the_one(path, "column of lists of numbers", list(lists))).combine_chunks()
        genes = names if names is not None else next(iter(labels.values()))
        return labels, _from_lists(path, genes, column)
    numbers = [n for n, t in types.items() if pa.types.is_floating(t) and n not in columns]
    if not numbers:
        refuse(path, "it has no column of numbers: expected a row per gene, and a column per dimension")
    halves = all(pa.types.is_float16(types[name]) for name in numbers)
    vectors = np.empty((table.num_rows, len(numbers)), np.float16 if halves else np.float32)
    with np.errstate(over="ignore"):
        for i, name in enumerate(numbers):
            vectors[:, i] = table.column(name).to_numpy()
    return labels, vectors


def _read_json(path: Path, names: Sequence[str] | None) -> _Read:  # noqa: ARG001 -- each vector has its name
    genes, vectors = read_json(path)
    return {"names": genes}, vectors


#: The end of a file's name -> what reads it.
FORMATS: dict[str, Callable[[Path, Sequence[str] | None], _Read]] = {
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
}


def _refuse_pickle(path: Path) -> None:
    head = b""
    try:
        with path.open("rb") as file:
            head = file.read(3)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as unzipped:
                head = unzipped.read(3)
    except (OSError, EOFError, zlib.error):
        pass  # the reader of the format reports it
    if _suffix(path) in _PICKLES or head.startswith(_PICKLE_STARTS):
        plain = path.name.rstrip(".")
        message = (
            f"{path} is a pickle, and opening a pickle runs any code that is in it, so lexicell never does; "
            "if you trust where it is from, turn it into an .npz in your own Python and convert that:\n"
            f'    import numpy, pandas; d = pandas.read_pickle("{plain}")\n'
            '    numpy.savez("genes.npz", symbol=list(d), emb=numpy.array(list(d.values()), "float32"))'
        )
        raise InputError(message)


def _suffix(path: Path) -> str:
    name = Path(path.name.rstrip("."))  # the archive of GenePT has a file that ends in ".pickle."
    return (name.with_suffix("") if name.suffix.lower() == ".gz" else name).suffix.lower()


def _from_lists(path: Path, labels: Sequence[str], column: Any) -> NDArray[np.floating[Any]]:
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    if not lengths.size:
        refuse(path, "it has no genes")
    uneven = np.flatnonzero(lengths != lengths[0])
    if uneven.size:
        at = int(uneven[0])
        gene = labels[at] if at < len(labels) else f"row {at}"
        refuse(
            path, f"the vector of {gene!r} has {lengths[at]:,} numbers, that of {labels[0]!r} {lengths[0]:,}"
        )
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return _floating(flat.reshape(len(column), int(lengths[0])))


def _floating(array: NDArray[Any]) -> NDArray[np.floating[Any]]:
    if array.dtype == np.float16:
        return np.ascontiguousarray(array, dtype=np.float16)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def _the_matrix(path: Path, matrices: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    return matrices[_the_one(path, "two-dimensional array of numbers", list(matrices))]


def _the_one(path: Path, kind: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    usual = [name for name in names if name.lower() in _VECTOR_COLUMNS]
    if len(usual) == 1:
        return usual[0]
    listing = f"{len(names)} ({', '.join(names[:_SHOWN])})" if names else "none"
    return refuse(path, f"expected one {kind}, found {listing}")


def _name_columns(
    path: Path, columns: Mapping[str, Sequence[str]], names: Sequence[str] | None
) -> dict[str, Sequence[str]]:
    if names is not None:
        return {}
    usual = {name: columns[name] for name in columns if name.lower() in _NAME_COLUMNS}
    if not usual and len(columns) == 1:
        return dict(columns)
    if not usual:
        hint = f"; there are {', '.join([*columns][:_SHOWN])}" if columns else ""
        refuse(path, f"it has no gene names under a usual name such as 'symbol'{hint}: give a file of names")
    telling = {name: values for name, values in usual.items() if name.lower() not in _INDEXES} or usual
    return dict(sorted(telling.items(), key=lambda item: _NAME_COLUMNS.index(item[0].lower())))


def _decoded(value: Any) -> str:
    if isinstance(value, list):  # several Ensembl ids
        return "|".join(str(part) for part in value)
    if isinstance(value, float):  # ids with gaps, which pandas makes 12.0
        return "" if value != value else f"{value:.0f}" if value.is_integer() else str(value)  # noqa: PLR0124
    return "" if value is None else value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file for NumPy, and say of one that it would have to unpickle what to do about it."""
    try:
        with path.open("rb") as stream:  # one that NumPy opened itself stays open when it is damaged
            yield stream
    except ValueError as error:
        if "pickle" in str(error):
            refuse(path, "it holds Python objects, which only a pickle can read; save names with astype(str)")
        raise
