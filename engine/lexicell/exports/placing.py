"""Vectors of cells in another order, by donor, slide or number: written to their places one table at a time.

What is held in memory is one table, beside names and columns of ``obs``, about 100 bytes a cell; the vectors
lie in a file that is mapped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import blake3
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["file_names", "fill", "map_tensors", "places", "rows_and_vectors", "table_in_order", "with_vector"]

#: Names of files are shorter than 255 bytes, with their ends.
_LONGEST = 200
_SAFETENSORS = {"float32": "F32", "int64": "I64"}


def rows_and_vectors(tables: Iterable[pa.Table]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Rows of the data set and their vectors, ``[n]`` and ``[n, d]``, of tables of `NumberedVectors`."""
    for table in tables:
        lists = table.column("embedding").combine_chunks()
        vectors = lists.flatten().to_numpy().reshape(len(lists), lists.type.list_size)
        yield table.column("row").to_numpy(), vectors


def with_vector(tables: Iterable[pa.Table], n: int, *, empty: bool = False) -> NDArray[np.bool_]:
    """Which of `n` rows of the data set are there, ``[n]``; those without genes only if `empty`."""
    there = np.zeros(n, bool)
    for table in tables:
        there[table.column("row").to_numpy()] = table.column("lexicell_n_genes").to_numpy() > (
            -1 if empty else 0
        )
    return there


def places(group: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Places of rows by their group, ascending, and in a group as they are; -1 where the group is below 0."""
    order = np.argsort(group, kind="stable")[int((group < 0).sum()) :]
    place = np.full(len(group), -1, np.int64)
    place[order] = np.arange(len(order))
    return place


def fill(
    tables: Iterable[pa.Table],
    place: NDArray[np.int64],
    out: NDArray[np.float32],
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
) -> None:
    """Write the vectors of the rows that have a place there, changed each for itself."""
    for rows, vectors in rows_and_vectors(tables):
        kept = place[rows] >= 0
        out[place[rows[kept]]] = vectors[kept] if change is None else change(vectors[kept])
    if isinstance(out, np.memmap):
        out.flush()


def table_in_order(tables: Iterable[pa.Table], place: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
    """Columns of the rows that have a place, in the order of places."""
    parts, at = [], []
    for table in tables:
        to = place[table.column("row").to_numpy()]
        parts.append(table.select(list(columns)).filter(pa.array(to >= 0)))
        at.append(to[to >= 0])
    return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(at))))


def map_tensors(path: Path, tensors: Mapping[str, tuple[Any, tuple[int, ...]]]) -> dict[str, NDArray[Any]]:
    """Make a safetensors file and map its tensors, given by dtype and shape, to be written to."""
    header: dict[str, Any] = {}
    size = 0
    for name, (dtype, shape) in tensors.items():
        begin, size = size, size + int(np.prod(shape)) * np.dtype(dtype).itemsize
        kind = _SAFETENSORS[np.dtype(dtype).name]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, size]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(file.tell() + size)
    first = 8 + len(text)
    return {
        name: np.memmap(path, dtype, "r+", first + header[name]["data_offsets"][0], shape)
        if np.prod(shape)
        else np.zeros(shape, dtype)
        for name, (dtype, shape) in tensors.items()
    }


def file_names(names: Iterable[str]) -> list[str]:
    """Names that files may have, without ends: `urllib.parse.unquote` gives back all but very long ones."""
    found = []
    for name in names:
        safe = quote(name, safe=" +,=@()")
        safe = f"%2E{safe[1:]}" if safe.startswith(".") else safe or "%"
        if len(safe) > _LONGEST:
            safe = f"{safe[: _LONGEST - 33]}~{blake3.blake3(name.encode()).hexdigest()[:32]}"
        found.append(safe)
    return found
