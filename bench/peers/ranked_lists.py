"""Cells as ranked lists, as others make them: loops that write Arrow files, and idioms of one or two lines.

Each is written from what its users read or its authors say it does; none of their code is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["IDIOMS", "Idiom", "lists_of", "loop", "rank_value"]

_AT_ONCE = 5_000  # cells of a record batch


def rank_value(
    x: NDArray[Any], columns: NDArray[Any], token: NDArray[Any], median: NDArray[Any], k: int
) -> NDArray[np.int32]:
    """Tokens of a cell by ``x / N * 10_000 / median``, as Geneformer says it."""
    known = token[columns] >= 0
    j = columns[known]
    score = x[known] / x.sum(dtype=np.float64) * 10_000 / median[j]
    return np.asarray(token[j[np.argsort(-score)[:k]]], np.int32)


def loop(
    path: Path,
    out: Path,
    k: int,
    token: NDArray[Any],
    median: NDArray[Any] | None,
    words: Sequence[str],
    rows: tuple[int, int] | None = None,
) -> int:
    """One cell of a plain h5ad after another, in NumPy, to an Arrow stream; returns how many tokens.

    Parameters
    ----------
    token, median
        ``[v]`` of the columns, -1 for none; with no medians counts are compared, and `words` are joined.
    rows
        First and one after the last; None for all.
    """
    n = 0
    with h5py.File(path) as file, pa.OSFile(str(out), "wb") as sink:
        indptr = file["X/indptr"][:]
        names = file["obs/_index"].asstr()[:]
        first, last = rows or (0, len(indptr) - 1)
        writer = None
        for start in range(first, last, _AT_ONCE):
            stop = min(start + _AT_ONCE, last)
            a, b = int(indptr[start]), int(indptr[stop])
            data, columns = file["X/data"][a:b], file["X/indices"][a:b]
            ends = indptr[start : stop + 1] - a
            cells = [
                (data[i:j], columns[i:j]) for i, j in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
            ]
            column, listed = lists_of(cells, k, token, median, words)
            n += listed
            batch = pa.table({"cell_id": pa.array(names[start:stop].astype(str)), "made": column})
            writer = writer or pa.ipc.new_stream(sink, batch.schema)
            writer.write_table(batch)
        if writer is not None:
            writer.close()
    return n


def lists_of(
    cells: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    k: int,
    token: NDArray[Any],
    median: NDArray[Any] | None,
    words: Sequence[str],
) -> tuple[pa.Array, int]:
    """Lists or sentences of cells, given as counts and columns, and how many genes they have; see `loop`."""
    if median is not None:
        lists = [rank_value(x, at, token, median, k) for x, at in cells]
        offsets = np.cumsum([0, *map(len, lists)], dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(lists))), int(offsets[-1])
    sentences, n = [], 0
    for x, at in cells:
        known = token[at] >= 0
        # Small unsigned counts have no negatives.
        best = at[known][np.argsort(-x[known].astype(np.float32), kind="stable")[:k]]
        sentences.append(" ".join([words[one] for one in best.tolist()]))
        n += len(best)
    return pa.array(sentences), n


@dataclass(frozen=True)
class Idiom:
    """What somebody's preprocessing makes of a cell.

    Attributes
    ----------
    label, of
        What it is, and whose.
    make
        Row of all counts ``[v]``, generator, median per column -> columns, in order.
    as_set
        Whether their order is left out of the comparison.
    """

    label: str
    of: str
    make: Callable[[NDArray[Any], np.random.Generator, NDArray[Any]], NDArray[Any]]
    as_set: bool = False


def _ranked(x: NDArray[Any], _: np.random.Generator, median: NDArray[Any]) -> NDArray[Any]:
    j = np.flatnonzero((x > 0) & (median > 0))
    return np.asarray(j[np.argsort(-(x[j] / x.sum(dtype=np.float64) * 10_000 / median[j]))[:2048]])


def _shuffled_ties(x: NDArray[Any], rng: np.random.Generator, _: NDArray[Any]) -> NDArray[Any]:
    any_order = rng.permutation(len(x))
    return any_order[np.argsort(-x[any_order], kind="stable")[:2048]]


def _subset(x: NDArray[Any], rng: np.random.Generator, _: NDArray[Any]) -> NDArray[Any]:
    j = np.flatnonzero(x)
    return j if len(j) <= 1_199 else rng.permutation(j)[:1_199]


def _sampled(x: NDArray[Any], rng: np.random.Generator, _: NDArray[Any]) -> NDArray[Any]:
    p = np.log1p(x.astype(np.float64))
    return rng.choice(len(x), 1_024, p=p / p.sum())


def _argsort(x: NDArray[Any], _: np.random.Generator, __: NDArray[Any]) -> NDArray[Any]:
    return np.argsort(-x)[:128]


def _words(x: NDArray[Any], rng: np.random.Generator, _: NDArray[Any]) -> NDArray[Any]:
    any_order = rng.permutation(np.flatnonzero(x))
    return np.asarray(any_order[np.argsort(-x[any_order], kind="stable")])


IDIOMS = (
    Idiom("all genes by count, ties shuffled: the list", "Cell2Sentence", _words),
    Idiom("argsort(-x), first 128: the list", "Geneformer, Nicheformer, scDataLoader", _argsort),
    Idiom("argsort(-x), first 128: the set", "Geneformer, Nicheformer, scDataLoader", _argsort, as_set=True),
    Idiom("argsort of x / N * 1e4 / median, first 2,048", "Geneformer", _ranked),
    Idiom("first 2,048 of all genes, ties shuffled: the set", "STATE", _shuffled_ties, as_set=True),
    Idiom("random 1,199 of more expressed genes: the set", "scGPT", _subset, as_set=True),
    Idiom("1,024 drawn by log1p(x): the multiset", "UCE", _sampled, as_set=True),
)


def dense_rows(x: sp.csr_array) -> Callable[[int], NDArray[Any]]:
    """Give the rows of a matrix one by one."""
    return lambda i: np.asarray(x[[i]].toarray()[0])
