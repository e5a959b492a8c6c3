"""The CUDA source as one string, which instantiation of it a call needs, and what a block of threads needs.

NVRTC gets the ``.cuh`` files of this folder joined, with a line at the end that instantiates one entry point
for one combination of types: a second of compilation for each, once, since CuPy keeps the result on disk.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import numpy as np

__all__ = [
    "CHUNK",
    "OPTIONS",
    "PICK_THREADS",
    "Instantiation",
    "joined_source",
    "padded_width",
    "shared_bytes",
    "source_hash",
    "threads_per_row",
]

#: Options that NVRTC gets from here; CuPy adds the architecture and ``-ftz=true``.
OPTIONS = ("-std=c++17",)
#: Picks that are held in shared memory at once, where they need not be sorted.
CHUNK = 2048
#: Threads of a block that selects only.
PICK_THREADS = 128

_PIECE = 16  # bytes that a thread loads at once
_WARP = 32
_HISTOGRAM = 1024  # bytes for each warp
_SMALL_PARTS = 512  # bytes of what else a kernel declares
_TYPES = {"uint16": "unsigned short", "int32": "int", "float32": "float", "float16": "lexicell::Half"}
_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
_GUARD = re.compile(r"^#pragma once$", re.MULTILINE)


@cache
def joined_source() -> str:
    """Join the ``.cuh`` files, each after those it includes; line numbers are those of the files."""
    folder = resources.files("lexicell_kernels.cuda")
    seen: set[str] = set()
    parts: list[str] = []

    def add(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        text = folder.joinpath(name).read_text(encoding="utf-8")
        for other in _INCLUDE.findall(text):
            add(other)
        parts.append(f'#line 1 "{name}"\n{_GUARD.sub("", _INCLUDE.sub("", text)).rstrip()}\n')

    add("entry.cuh")
    return "".join(parts)


@cache
def source_hash() -> str:
    """Hash of `joined_source`."""
    return hashlib.sha256(joined_source().encode()).hexdigest()


def padded_width(vectors: str, dim: int) -> int:
    """Elements of a table row, so that every row starts at a multiple of 16 bytes."""
    piece = _PIECE // np.dtype(vectors).itemsize
    return max(1, -(-dim // piece)) * piece


def threads_per_row(vectors: str, width: int) -> int:
    """Threads of the block that embeds a row: what keeps most of them busy in the gather, in few rounds.

    A function of the table alone, never of the cells: the order of sums depends on it.
    """
    pieces = width * np.dtype(vectors).itemsize // _PIECE

    def worth(threads: int) -> tuple[float, int, int]:
        rounds = -(-pieces // threads)
        return _slices(threads, pieces) * pieces / (rounds * threads), -rounds, -threads

    return max((128, 192, 256), key=worth)


def _slices(threads: int, pieces: int) -> int:
    """How many genes of a row are gathered side by side."""
    return max(1, threads // pieces)


def shared_bytes(chunk: int, n_genes: int, *, in_order: bool, by_score: bool) -> int:
    """Dynamic shared memory of a block, in bytes.

    Parameters
    ----------
    chunk
        Picks held at once, 8 bytes each.
    n_genes
        Rows of the table: bitmaps over them put the picks in lexicon order.
    in_order
        Whether columns follow the lexicon's order, so that there is nothing to put in order.
    by_score
        Whether picks are sorted by score, with 8 bytes each for a power of two of them.
    """
    parts = (
        8 * chunk,
        8 * (1 << (chunk - 1).bit_length()) if by_score else 0,
        0 if in_order else 12 * -(-n_genes // 32),
    )
    return sum(-(-part // _PIECE) * _PIECE for part in parts)


@dataclass(frozen=True, slots=True)
class Instantiation:
    """One entry point for one combination of types; dtypes by their NumPy names.

    Attributes
    ----------
    entry
        ``lexicell_embed`` or ``lexicell_pick``.
    values, columns
        ``uint16`` or ``float32`` counts, ``uint16`` or ``int32`` columns.
    in_order
        Whether the data set's columns follow the lexicon's order.
    vectors, width
        ``float16`` or ``float32``, and the elements of a padded table row; none for ``lexicell_pick``.
    """

    entry: Literal["lexicell_embed", "lexicell_pick"]
    values: str
    columns: str
    in_order: bool
    vectors: str = ""
    width: int = 0

    @property
    def threads(self) -> int:
        """Threads of a block, which does one row."""
        return threads_per_row(self.vectors, self.width) if self.width else PICK_THREADS

    @property
    def static_bytes(self) -> int:
        """Shared memory that the kernel declares itself, at most; the compile check holds it to this."""
        histograms, sums = self.threads // _WARP * _HISTOGRAM, 0
        if self.width:
            pieces = self.width * np.dtype(self.vectors).itemsize // _PIECE
            sums = _slices(self.threads, pieces) * self.width * 4
        return max(histograms, sums) + _SMALL_PARTS

    @property
    def source(self) -> str:
        """CUDA C++ with one entry point, named `entry`."""
        types = [_TYPES[self.values], _TYPES[self.columns]]
        if self.width:
            types += [_TYPES[self.vectors], str(self.width)]
        arguments = ", ".join([*types, str(self.threads), str(self.in_order).lower()])
        return f'{joined_source()}#line 1 "instantiation"\n{self.entry.upper()}({arguments})\n'

    def __str__(self) -> str:
        """Name it as in ``embed uint16 int32 float16 256 in order``."""
        table = f" {self.vectors} {self.width}" if self.width else ""
        order = " in order" if self.in_order else ""
        return f"{self.entry.removeprefix('lexicell_')} {self.values} {self.columns}{table}{order}"
