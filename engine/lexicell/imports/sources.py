"""What other tools wrote: vectors in files, the ids of their cells, and a hash of each file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import blake3
import numpy as np
from numpy.typing import NDArray

from lexicell._files import hash_file, read_utf8, reading_file
from lexicell.counts import open_obsm
from lexicell.errors import InputError, InputNotFoundError
from lexicell.imports import tables
from lexicell.store import KEY, vectors_of

__all__ = ["KINDS", "Kind", "Source", "checked_ids", "open_sources"]

#: Who made vectors, or what kind of file they are in.
Kind = Literal[
    "geneformer", "scgpt", "uce", "state", "transcriptformer", "scimilarity", "npy", "parquet", "csv"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Keys of ``obsm`` that the tools use; None where the user names it.
_KEYS: dict[str, str | None] = {
    "scgpt": "X_scGPT",
    "uce": "X_uce",
    "state": "X_state",
    "transcriptformer": "embeddings",
    "scimilarity": None,
}
_BLOCK = 16_384


@dataclass(frozen=True)
class Source:
    """Vectors in one file.

    Attributes
    ----------
    label
        The file.
    ids
        ``[n]`` str; None where the file has none.
    shape
        ``(n, d)``.
    blocks
        Gives all rows in order, as numbers of any type.
    key
        Of ``obsm``, or the column of ids; "" where there is none.
    digest
        BLAKE3 of the file as hex; of a folder, over the names and hashes of its files.
    """

    label: str
    ids: NDArray[np.object_] | None
    shape: tuple[int, int]
    blocks: Callable[[], Iterator[NDArray[Any]]]
    key: str
    digest: str


def open_sources(
    files: Sequence[str | Path],
    kind: Kind | None,
    opened: ExitStack,
    *,
    key: str | None = None,
    ids: str | Path | None = None,
) -> list[Source]:
    """Open vectors in files, whose cells follow one another.

    Parameters
    ----------
    files
        On this machine.
    kind
        What they are; None to tell by their names.
    opened
        Closes what is opened.
    key
        Of ``obsm``; of tables, the column with the ids, ``cell_id`` if None.
    ids
        Of an ``.npy``: a text file with one id on each line, or another ``.npy``.

    Raises
    ------
    InputNotFoundError
        A file is not there.
    InputError
        A file is of another kind, has no such key, or holds no vectors.
    CorruptDataError
        A file is damaged.
    """
    if kind is not None and kind not in KINDS:
        msg = f"vectors are from {', '.join(KINDS)}, not {kind!r}"
        raise InputError(msg)
    if not files:
        msg = "name at least one file with vectors"
        raise InputError(msg)
    if ids is not None and len(files) > 1:
        msg = "a file of ids belongs to one .npy: import them one by one"
        raise InputError(msg)
    return [_open(Path(file), kind, key, ids, opened) for file in files]


def checked_ids(ids: NDArray[np.object_], label: str) -> NDArray[np.object_]:
    """The same ids, or InputError where one is empty or two are the same."""
    import pandas as pd

    if (ids == "").any():
        msg = f"{label}: cell {int(np.argmax(ids == '')):,} has no id"
        raise InputError(msg)
    again = pd.Index(ids).duplicated()
    if again.any():
        twice = ids[int(np.argmax(again))]
        msg = f"{label}: the id {twice!r} occurs more than once, so it names no cell; make ids unique"
        raise InputError(msg)
    return ids


def _open(path: Path, kind: Kind | None, key: str | None, ids: Any, opened: ExitStack) -> Source:
    if not path.exists():
        msg = f"{path}: no such file or folder; check the path"
        raise InputNotFoundError(msg)
    how = "obsm" if kind in _KEYS else "csv" if kind == "geneformer" else kind or _told_by_name(path)
    if (how != "npy") and ids is not None:
        msg = f"{path}: a file of ids is for an .npy; what else there is has its own"
        raise InputError(msg)
    if how == "obsm":
        return _from_obsm(path, key or _KEYS.get(kind or ""), opened)
    if how == "npy":
        return _from_npy(path, None if ids is None else _read_ids(Path(ids)))
    column = key or "cell_id"
    names, shape, blocks = (tables.open_csv if how == "csv" else tables.open_parquet)(path, column)
    return Source(str(path), names, shape, blocks, "" if names is None else column, _digest(path))


def _told_by_name(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".npy", ".parquet"):
        return suffix[1:]
    return "parquet" if path.is_dir() and any(path.glob("*.parquet")) else "obsm"


def _from_obsm(path: Path, key: str | None, opened: ExitStack) -> Source:
    store = vectors_of(path) if key in (None, KEY) else None
    if store is not None:  # ours, which is hashed as it is opened
        names = np.asarray(store.names.astype(str), object)
        return Source(
            str(path), names, store.shape, lambda: (part for _, part in store.blocks()), "", _digest(path)
        )
    stored = open_obsm(path, key, opened)
    return Source(str(path), stored.names, stored.shape, stored.blocks, stored.key, _digest(path))


def _from_npy(path: Path, ids: NDArray[np.object_] | None) -> Source:
    array = _load(path)
    if array.ndim != 2 or array.dtype.kind not in "buif":
        msg = f"{path} holds {array.dtype} {list(array.shape)}, and no vectors: numbers, a row for each cell"
        raise InputError(msg)
    n, d = array.shape
    if ids is not None and len(ids) != n:
        msg = f"{path} has {n:,} rows, and there are {len(ids):,} ids"
        raise InputError(msg)

    def blocks() -> Iterator[NDArray[Any]]:
        for start in range(0, n, _BLOCK):
            yield np.asarray(array[start : start + _BLOCK])

    return Source(str(path), ids, (n, d), blocks, "", _digest(path))


def _load(path: Path) -> NDArray[Any]:
    with reading_file(path, "it is no .npy of numbers or text; write it with numpy.save", InputError):
        loaded: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            msg = "several arrays"
            raise TypeError(msg)
        return loaded


def _read_ids(path: Path) -> NDArray[np.object_]:
    if path.suffix != ".npy":
        lines = read_utf8(path).decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
        return np.array(lines, object)
    ids = _load(path)
    if ids.ndim != 1 or ids.dtype.kind not in "USiu":
        msg = f"{path} holds {ids.dtype} {list(ids.shape)}, and no ids: texts or whole numbers, one a cell"
        raise InputError(msg)
    ids = np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids
    return np.asarray(ids.astype(str), object)


def _digest(path: Path) -> str:
    if path.is_file():
        return hash_file(path)
    hasher = blake3.blake3()
    for folder, below, names in os.walk(path):
        below.sort()
        for name in sorted(names):
            file = Path(folder, name)
            hasher.update(f"{file.relative_to(path).as_posix()}\0{hash_file(file)}\n".encode())
    return hasher.hexdigest()
