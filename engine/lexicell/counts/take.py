"""Some cells of a data set, in memory: read once, as a CountSource of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._say import silent
from lexicell.arrays import Growing, compact, move
from lexicell.containers.faults import Where
from lexicell.counts.blocks import MAX_NNZ, gather_rows
from lexicell.counts.dataset import RowsSource
from lexicell.counts.rows import CsrRows, MatrixRows, PickedRows
from lexicell.counts.source import CountSource
from lexicell.counts.tables import FrameTable
from lexicell_kernels.cpu import available_cpus
from lexicell_kernels.types import CsrBlock

__all__ = ["take_cells"]


def take_cells(
    source: CountSource,
    rows: NDArray[np.integer[Any]],
    obs: pd.DataFrame | None = None,
    *,
    tick: Callable[[int, int], Any] = silent,
) -> RowsSource:
    """Read some cells into memory, the values as they are stored.

    Parameters
    ----------
    source
        ``N`` cells.
    rows
        ``[n]`` numbers of the cells, in any order, none twice.
    obs
        ``n`` rows, in the order of `rows`; None for names only.
    tick
        Is told how many of all cells were passed, and how many there are.

    Returns
    -------
    RowsSource
        ``n`` cells in that order, which take 3 to 8 bytes for each stored value: values and columns are held
        in the smallest type that loses nothing.

    Raises
    ------
    CorruptDataError
        The input is damaged.
    """
    order = np.argsort(rows, kind="stable")
    values, columns, sizes = Growing(), Growing(), np.zeros(len(rows), np.int64)
    done = 0
    for stop, part in _read(source, np.asarray(rows)[order]):
        sizes[done : done + part.n_rows] = np.diff(part.indptr)
        done += part.n_rows
        values.append(part.data, done / len(rows))
        columns.append(part.indices, done / len(rows))
        tick(stop, source.n_cells)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    if obs is None:
        obs = pd.DataFrame(index=_names(source, rows))
    where = Where(source.label, f"{len(rows):,} of its cells")
    shape = len(rows), source.n_columns
    matrix: MatrixRows = CsrRows(values.array, columns.array, indptr, shape, where)
    if (order[1:] < order[:-1]).any():
        matrix = PickedRows(matrix, np.argsort(order), None)
    return RowsSource(matrix, FrameTable(obs, source.label), source.var, log_base=source.log_base)


def _read(source: CountSource, rows: NDArray[np.integer[Any]]) -> Iterator[tuple[int, CsrBlock]]:
    """Read the spans that have one of these cells, several at once; the last cell passed, and the cells."""

    def read(span: tuple[int, int]) -> CsrBlock:
        start, stop = span
        first, last = np.searchsorted(rows, [start, stop])
        part = gather_rows(move(source.read(start, stop), "cpu"), np.asarray(rows[first:last]) - start)
        return CsrBlock(
            data=compact(part.data),
            indices=compact(part.indices),
            indptr=part.indptr,
            n_columns=part.n_columns,
        )

    spans = [(a, b) for a, b in source.spans(MAX_NNZ) if np.diff(np.searchsorted(rows, [a, b]))[0]]
    if source.device == "cuda":  # read in the calling thread only
        yield from ((stop, read((start, stop))) for start, stop in spans)
        return
    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="lexicell-take") as readers:
        yield from ((stop, part) for (_, stop), part in zip(spans, readers.map(read, spans), strict=True))


def _names(source: CountSource, rows: NDArray[np.integer[Any]]) -> pd.Index[Any]:
    return source.names(0, source.n_cells)[rows]
