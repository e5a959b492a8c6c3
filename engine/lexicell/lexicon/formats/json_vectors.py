"""Gene vectors as JSON, as GenePT's are.

Decoded gene by gene: `json.load` keeps every number as a Python object, eight times its room in the vector.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from lexicell._files import read_utf8
from lexicell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_json", "refuse"]

_SPACE = re.compile(r"\s*")


def read_json(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Read ``{name: [number, ...], ...}``: names, and vectors float32 ``[n, d]``.

    Raises
    ------
    InputError
        If it is anything else, or vectors differ in length.
    CorruptDataError
        If it is truncated.
    """
    text, decoder = read_utf8(path).decode(), json.JSONDecoder()
    genes: list[str] = []
    rows: list[NDArray[np.float32]] = []

    def skip(position: int, expected: str) -> int:
        position = _end_of_space(text, position)
        if text[position : position + 1] not in expected or position == len(text):
            refuse(path, f"not gene -> list of numbers at character {position:,}")
        return _end_of_space(text, position + 1)

    position = skip(0, "{")
    while text[position : position + 1] != "}":
        gene, position = decoder.raw_decode(text, position)
        values, position = decoder.raw_decode(text, skip(position, ":"))
        if isinstance(values, str):
            refuse(path, f"{gene!r} has a text, not a vector: put the texts in a table for `genes build`")
        genes.append(str(gene))
        rows.append(_row(path, str(gene), values))
        position = _end_of_space(text, position)
        if text[position : position + 1] != "}":
            position = skip(position, ",")
    return genes, _stack(path, genes, rows)


def refuse(path: Path, why: str) -> NoReturn:
    """Raise the `InputError` for a file that cannot be used."""
    message = f"{path} cannot be used: {why}."
    raise InputError(message)


def _end_of_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _row(path: Path, gene: str, values: Any) -> NDArray[np.float32]:
    try:
        array = np.asarray(values)
    except ValueError:  # lists of lists of different lengths
        array = np.empty((0, 0))
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        refuse(path, f"the vector of {gene!r} is not a list of numbers")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _stack(path: Path, genes: Sequence[str], rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    if not rows:
        refuse(path, "it has no genes")
    for gene, row in zip(genes, rows, strict=True):
        if row.size != rows[0].size:
            refuse(
                path,
                f"the vector of {gene!r} has {row.size:,} numbers, that of {genes[0]!r} {rows[0].size:,}",
            )
    return np.stack(rows)
