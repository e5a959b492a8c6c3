"""Dictionaries of other models, gene to number: JSON, tables, and pickles that are read and never run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lexicell._files import read_maybe_gzipped
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError

__all__ = ["PUBLISHED", "read_dictionary", "read_file"]

#: Published files of Geneformer, by SHA-256.
PUBLISHED: Mapping[str, str] = {
    "ab9dc40973fa5224d77b793e2fd114cacf3d08423ed9c4c49caf0ba9c7f218f1": "token_dictionary_gc30M.pkl",
    "b3b589bb5ec75040d05fc44dd6bf0184cf87f3c362cf158d196a6ed3b7fe5f39": "gene_median_dictionary_gc30M.pkl",
    "eac0fb0b3007267871b6305ac0003ceba19d4f28d85686cb9067ecf142787869": "ensembl_mapping_dict_gc30M.pkl",
    "55e67962e79c0039a6c32d43c5c99f38e51964bbcfa32f736150ee1e285c438c": "gene_name_id_dict_gc30M.pkl",
    "67c445f4385127adfc48dcc072320cd65d6822829bf27dd38070e6e787bc597f": "token_dictionary_gc104M.pkl",
    "a51c53f6a771d64508dfaf61529df70e394c53bd20856926117ae5d641a24bf5": "gene_median_dictionary_gc104M.pkl",
    "0819bcbd869cfa14279449b037eb9ed1d09a91310e77bd1a19d927465030e95c": "ensembl_mapping_dict_gc104M.pkl",
    "fabfa0c2f49c598c59ae432a32c3499a5908c033756c663b5e0cddf58deea8e1": "gene_name_id_dict_gc104M.pkl",
}
#: Numbers that a pickle of NumPy may hold.
_NUMBERS = {"f4", "f8", "i2", "i4", "i8", "u2", "u4"}


def read_dictionary(path: str | Path, key: str | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a dictionary from JSON, a table of two columns, or a pickle; also gzipped.

    Parameters
    ----------
    path
        ``.json``, ``.csv``, ``.tsv``, ``.txt`` or ``.pkl``, with or without ``.gz``.
    key
        Of a JSON that holds several dictionaries, which one.

    Returns
    -------
    tuple
        The dictionary, keys as text; and its ``file``, ``sha256`` and, where it is one, what it was
        ``published`` as.

    Raises
    ------
    InputNotFoundError, InputError
        There is no such file, or it holds something else.
    CorruptDataError
        It is damaged, or a pickle that holds more than text and numbers.
    """
    target = Path(path)
    content = read_file(target)
    sha256 = hashlib.sha256(content).hexdigest()
    facts = {"file": target.name, "sha256": sha256}
    if sha256 in PUBLISHED:
        facts["published"] = PUBLISHED[sha256]
    kind = target.suffix if target.suffix != ".gz" else Path(target.stem).suffix
    if kind == ".pkl":
        found = _unpickled(content, target)
    elif kind == ".json":
        found = _json(content, target)
        if key is not None and isinstance(found.get(key), dict):
            found = found[key]
    elif kind in {".csv", ".tsv", ".txt"}:
        found = _table(content, target, "," if kind == ".csv" else "\t")
    else:
        msg = f"{target}: a dictionary is a .json, .csv, .tsv or .pkl file"
        raise InputError(msg)
    if not found or not all(isinstance(value, int | float | str) for value in found.values()):
        msg = f"{target} does not map genes to numbers or names"
        raise InputError(msg)
    return {str(name): value for name, value in found.items()}, facts


def read_file(path: Path) -> bytes:
    """Content of a file, gzipped or not; InputNotFoundError or InputError where that fails."""
    try:
        return read_maybe_gzipped(path)
    except FileNotFoundError as error:
        msg = f"{path} does not exist"
        raise InputNotFoundError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror or error}); name a file"
        raise InputError(msg) from error


def _json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        msg = f"{path} is no JSON that can be read ({error})"
        raise CorruptDataError(msg) from error
    if not isinstance(found, dict):
        msg = f"{path} is a JSON without a map of genes"
        raise InputError(msg)
    return found


def _table(content: bytes, path: Path, separator: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=separator))
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{path} is no table that can be read ({error})"
        raise CorruptDataError(msg) from error
    for number, row in enumerate(rows):
        if not row:
            continue
        if len(row) < 2:
            msg = f"{path}: line {number + 1} has one column; write a gene and its value on each"
            raise InputError(msg)
        found[row[0]] = _number(row[1])
    first = next(iter(rows), [])
    values = list(found.values())
    if len(values) > 1 and isinstance(values[0], str) and not isinstance(values[1], str):
        del found[first[0]]  # names of the columns
    return found


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class _Kind:
    """Stands in for a NumPy dtype."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])


def _scalar(kind: _Kind, raw: bytes) -> float | int:
    """Stands in for what makes a NumPy number of bytes."""
    if kind.code not in _NUMBERS or kind.order not in {"<", ">", "=", "|"}:
        msg = f"a number of type {kind.code}"
        raise pickle.UnpicklingError(msg)
    return np.frombuffer(raw, np.dtype(kind.order + kind.code))[0].item()  # type: ignore[no-any-return]


class _Reader(pickle.Unpickler):
    """Finds nothing but stand-ins for NumPy's numbers, so nothing of a file is executed."""

    _known: Mapping[tuple[str, str], Any] = {
        ("numpy", "dtype"): _Kind,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "scalar"): _scalar,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            msg = f"{module}.{name}"
            raise pickle.UnpicklingError(msg)
        return self._known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        msg = f"a reference to something else ({pid})"
        raise pickle.UnpicklingError(msg)


def _unpickled(content: bytes, path: Path) -> dict[str, Any]:
    try:
        found = _Reader(io.BytesIO(content)).load()
    except Exception as error:  # a pickle can ask for anything
        msg = f"{path} holds more than text and numbers ({error}), so it is not read; give it as JSON"
        raise CorruptDataError(msg) from error
    if not isinstance(found, dict):
        msg = f"{path} is a pickle without a map of genes"
        raise InputError(msg)
    return found
