"""Vectors in tables, CSV and Parquet, read block by block; and the lengths of tokenised cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexicell._files import parse_json, reading_file
from lexicell.errors import InputError

__all__ = ["Opened", "open_csv", "open_parquet", "read_lengths"]

#: Ids, shape, and what gives the rows.
Opened = tuple[NDArray[np.object_] | None, tuple[int, int], Callable[[], Iterator[NDArray[Any]]]]

_NUMBERED = re.compile(r"(.*?)(0|[1-9]\d*)", re.DOTALL)
_CSV_BYTES = 16 << 20
_ROWS = 16_384


def open_csv(path: Path, ids: str) -> Opened:
    """Open a CSV with a column for each number of a vector, called 0, 1, 2, ... as Geneformer and pandas do.

    A prefix that all have is allowed ("dim_0"); other columns but `ids` are not looked at.

    Parameters
    ----------
    path
        Of the file.
    ids
        Column with the ids of the cells.

    Raises
    ------
    InputError
        There are no such columns, or a value of them is no number.
    """
    from pyarrow import csv

    def read(columns: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        convert = csv.ConvertOptions(
            column_types=columns, include_columns=list(columns), strings_can_be_null=False
        )
        with _reading(path), csv.open_csv(path, csv.ReadOptions(block_size=_CSV_BYTES), None, convert) as it:
            yield from it

    with _reading(path), csv.open_csv(path, csv.ReadOptions(block_size=_CSV_BYTES)) as opened:
        names = opened.schema.names
    numbers = _numbered(names, path)
    n, found = 0, []
    counted = ids if ids in names else numbers[0]
    for batch in read({counted: pa.string()}):
        n += batch.num_rows
        found.append(batch.column(0))
    known = _texts(found, path) if counted == ids else None

    def blocks() -> Iterator[NDArray[Any]]:
        for batch in read(dict.fromkeys(numbers, pa.float64())):
            yield _stacked(batch)

    return known, (n, len(numbers)), blocks


def open_parquet(path: Path, ids: str) -> Opened:
    """Open Parquet, a file or a folder of them, with one column of lists or a column for each number.

    Parameters
    ----------
    path, ids
        See `open_csv`.

    Raises
    ------
    InputError
        There are no such columns, or vectors are of different lengths.
    """
    import pyarrow.parquet as pq

    files = (
        sorted(part for part in path.glob("*.parquet") if part.name[0] not in "_.")
        if path.is_dir()
        else [path]
    )

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for file in files:
            with _reading(file), pq.ParquetFile(file) as opened:
                yield from opened.iter_batches(_ROWS, columns=list(columns))

    with _reading(path):
        if not files:
            msg = "there is no .parquet in it"
            raise FileNotFoundError(msg)
        schema = pq.read_schema(files[0])
        n = sum(pq.read_metadata(file).num_rows for file in files)
    known = _texts((batch.column(0) for batch in read([ids])), path) if ids in schema.names else None
    lists = [field.name for field in schema if _is_vectors(field.type)]
    lists = ["embedding"] if "embedding" in lists else lists
    if len(lists) > 1:
        msg = f"{path} has several columns of vectors ({', '.join(lists)}); keep one"
        raise InputError(msg)
    columns = lists or _numbered(schema.names, path)
    first = next((batch for batch in read(columns)), None)
    d = len(columns) if not lists else 0 if first is None else _width(first.column(0))

    def blocks() -> Iterator[NDArray[Any]]:
        for batch in read(columns):
            yield _listed(batch.column(0), d, path) if lists else _stacked(batch)

    return known, (n, d), blocks


def read_lengths(folder: Path) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Ids and lengths of the cells of a folder that `lexicell export geneformer` wrote, in its order.

    Raises
    ------
    InputError
        It is no such folder.
    """
    remedy = "name the folder that `lexicell export geneformer` wrote"
    with reading_file(folder / "state.json", remedy, InputError):
        parts = [
            folder / part["filename"]
            for part in parse_json((folder / "state.json").read_text())["_data_files"]
        ]
        tables = []
        for part in parts:
            with pa.memory_map(str(part)) as file, pa.ipc.open_stream(file) as stream:
                tables.append(stream.read_all().select(["cell_id", "length"]))
        table = pa.concat_tables(tables)
        return _texts(table.column("cell_id").chunks, folder), table.column("length").to_numpy().astype(
            np.int64
        )


def _reading(path: Path) -> Any:
    return reading_file(path, "see whether it is the file that was meant", InputError)


def _numbered(names: Sequence[str], path: Path) -> list[str]:
    """The longest run of columns that are called by a prefix and 0, 1, 2, ... or 1, 2, 3, ..., in order."""
    of_prefix: dict[str, dict[int, str]] = {}
    for name in names:
        if (found := _NUMBERED.fullmatch(name)) is not None:
            of_prefix.setdefault(found[1], {})[int(found[2])] = name
    runs = []
    for numbers in of_prefix.values():
        order = sorted(numbers)
        if order[0] in (0, 1) and order == list(range(order[0], order[0] + len(order))):
            runs.append([numbers[number] for number in order])
    if not runs or len(set(names)) < len(names):
        what = "columns with the same name" if runs else "no columns that are called 0, 1, 2, ..."
        msg = f"{path} has {what}, so it is not known which are the vectors"
        raise InputError(msg)
    return max(runs, key=len)


def _texts(chunks: Iterable[pa.Array], path: Path) -> NDArray[np.object_]:
    """Ids as str; numbers are written out, and what is missing is refused."""
    parts = []
    for chunk in chunks:
        with _reading(path):
            parts.append(np.asarray(chunk.cast(pa.string()).fill_null(""), object))
    return np.concatenate(parts) if parts else np.empty(0, object)


def _stacked(batch: pa.RecordBatch) -> NDArray[Any]:
    return np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], axis=1)


def _is_vectors(kind: pa.DataType) -> bool:
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))


def _width(lists: pa.Array) -> int:
    if pa.types.is_fixed_size_list(lists.type):
        return int(lists.type.list_size)
    import pyarrow.compute as pc

    return int(pc.max(pc.list_value_length(lists)).as_py() or 0)


def _listed(lists: pa.Array, d: int, path: Path) -> NDArray[Any]:
    """Rows of a column of lists; a list that is missing is a row of NaN."""
    import pyarrow.compute as pc

    there = np.asarray(lists.is_valid())
    values = lists.flatten().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(lists).drop_null()
    if len(values) != there.sum() * d or not np.all(np.asarray(lengths) == d):
        msg = f"{path} has vectors of different lengths"
        raise InputError(msg)
    rows = np.full((len(there), d), np.nan, np.result_type(values, np.float32))
    rows[there] = values.reshape(-1, d)
    return rows
