"""Arrays and a JSON document in one safetensors file with a checksum; never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import blake3
import numpy as np
from numpy.typing import NDArray

from lexicell._files import check_new_file, reading_file, staged_path
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError

__all__ = ["hash_arrays", "read_tensors", "write_tensors"]

_FORMAT = 1
_ENTRY = "lexicell"


def hash_arrays(arrays: Mapping[str, NDArray[Any]]) -> str:
    """BLAKE3 of names, types, shapes and bytes, as hex; independent of the order of the names."""
    digest = blake3.blake3()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_tensors(
    path: Path, arrays: Mapping[str, NDArray[Any]], document: Mapping[str, Any], kind: str, *, overwrite: bool
) -> None:
    """Write a file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    arrays
        What to keep, by name.
    document
        Plain JSON.
    kind
        What the file is, for the error where it is opened as something else.
    overwrite
        Replace an existing file.

    Raises
    ------
    OutputExistsError, WriteError
        See `lexicell._files.staged_path`.
    """
    from safetensors.numpy import save_file

    check_new_file(path, overwrite=overwrite)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    body = json.dumps(dict(document), sort_keys=True)
    digest = blake3.blake3(f"{hash_arrays(contiguous)}\n{body}".encode()).hexdigest()
    # One entry, since safetensors writes several in another order each time.
    entry = json.dumps({"format": _FORMAT, "kind": kind, "blake3": digest, "document": body})
    with staged_path(path, replace=overwrite) as staging:
        save_file(contiguous, staging, {_ENTRY: entry})


def read_tensors(path: Path, kind: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read arrays and document of a file of `write_tensors`.

    Raises
    ------
    InputNotFoundError
        If there is no such file.
    InputError
        If it is something else, or of a later version.
    CorruptDataError
        If it was truncated or changed.
    """
    from safetensors import safe_open

    with reading_file(path, "make it again"):
        if not path.is_file():
            message = f"{path} does not exist."
            raise InputNotFoundError(message)
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        entry = json.loads(metadata[_ENTRY]) if _ENTRY in metadata else None
        if not isinstance(entry, dict) or entry.get("kind") != kind:
            message = f"{path} holds no {kind}."
            raise InputError(message)
        if entry.get("format", 0) > _FORMAT:
            message = (
                f"{path} was written by a newer version of lexicell (format {entry['format']}); update it."
            )
            raise InputError(message)
        body = str(entry.get("document"))
        if blake3.blake3(f"{hash_arrays(arrays)}\n{body}".encode()).hexdigest() != entry.get("blake3"):
            message = f"{path} was changed after it was written (hash); make it again."
            raise CorruptDataError(message)
        document: dict[str, Any] = json.loads(body)
        return arrays, document
