"""`RowsSource`: a matrix, its cells and its genes as one CountSource."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lexicell.containers.faults import Where, reading
from lexicell.counts.choose_reader import dense_reader
from lexicell.counts.modality import choose_columns
from lexicell.counts.rows import PickedRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    import pandas as pd
    from numpy.typing import NDArray

    from lexicell.counts.rows import MatrixRows
    from lexicell.counts.scratch import Scratch
    from lexicell.counts.source import CountSource
    from lexicell.counts.tables import Table
    from lexicell_kernels.types import CsrBlock

__all__ = ["RowsSource", "check_sides"]


class RowsSource:
    """A CountSource made of a matrix and its two tables. See `CountSource` for the members.

    Parameters
    ----------
    rows
        The matrix.
    obs
        ``n`` rows, or CorruptDataError is raised.
    var
        ``v`` rows, or CorruptDataError is raised.
    obsm
        Arrays of cells by name, where they lie.
    log_base, layers, has_raw, others, notes
        See `CountSource`.
    on_close
        Called in turn when the source is closed.
    """

    def __init__(
        self,
        rows: MatrixRows,
        obs: Table,
        var: pd.DataFrame,
        *,
        obsm: Mapping[str, Any] | None = None,
        log_base: float | None = None,
        layers: Sequence[str] = (),
        has_raw: bool = False,
        others: Mapping[str, Callable[[], CountSource]] | None = None,
        notes: Sequence[str] = (),
        on_close: Sequence[Callable[[], None]] = (),
    ) -> None:
        check_sides((rows.n_cells, rows.n_columns), (len(obs), len(var)), rows.where)
        self.label, self.layers, self.has_raw = rows.where.label, tuple(layers), has_raw
        self._others = others or {}
        self.device, self.notes = rows.device, tuple(notes)
        self.picked: NDArray[np.int64] | None = None
        self._rows, self._table, self._var, self._log_base = rows, obs, var, log_base
        self._obsm = {} if obsm is None else obsm
        self._closing = ExitStack()
        for call in reversed(on_close):
            self._closing.callback(call)
        self._closing.callback(rows.close)
        self._open = True

    def keep_modality(self, asked: str | None) -> None:
        """Read the columns of one type of feature only, as if there were no others; see `choose_columns`."""
        self.picked, notes = choose_columns(self._var, self.label, asked)
        self.notes += notes
        if self.picked is not None:
            self._rows = PickedRows(self._rows, None, self.picked)
            self._var = self._var.iloc[self.picked]

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Cells, read at first use."""
        self._check_open()
        return self._table.whole()

    @property
    def obs_columns(self) -> tuple[str, ...]:
        """Names of the columns of `obs`."""
        return self._table.columns

    def names(self, start: int, stop: int) -> pd.Index[Any]:
        """Names of the cells ``start:stop``."""
        self._check_rows(start, stop)
        return self._table.names(start, stop)

    def read_obs(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Some columns of the cells ``start:stop``."""
        self._check_rows(start, stop)
        return self._table.read(columns, start, stop)

    def read_obsm(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Rows ``start:stop`` of an array of ``obsm``."""
        self._check_rows(start, stop)
        where = Where(self.label, f"obsm[{name!r}]")
        array = dense_reader(self._obsm, name, where, self.n_cells, "name another, or columns of obs")
        with reading(where):
            return np.asarray(array[start:stop], np.float64)

    @property
    def var(self) -> pd.DataFrame:
        """Genes."""
        return self._var

    @property
    def n_cells(self) -> int:
        """Number of rows."""
        return self._rows.n_cells

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self._rows.n_columns

    @property
    def log_base(self) -> float | None:
        """Base of the logarithm that the file says was taken."""
        return self._log_base

    @property
    def others(self) -> Mapping[str, Callable[[], CountSource]]:
        """What opens each other matrix of the data set."""
        return self._others

    def spans(self, max_nnz: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Cut the rows ``start:stop`` into spans."""
        self._check_rows(start, self.n_cells if stop is None else stop)
        return self._rows.spans(max_nnz, start, stop)

    def peek(self, max_cells: int) -> Iterator[tuple[int, int]]:
        """Row ranges for a first look."""
        return self._rows.peek(max_cells)

    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:
        """Read rows ``start:stop``."""
        self._check_rows(start, stop)
        return self._rows.read(start, stop, scratch)

    def close(self) -> None:
        """Release files and temporary space; a second call does nothing."""
        self._open = False
        self._closing.close()

    def _check_rows(self, start: int, stop: int) -> None:
        self._check_open()
        if not 0 <= start <= stop <= self.n_cells:
            msg = f"rows {start}:{stop} are not within 0:{self.n_cells}"
            raise IndexError(msg)

    def _check_open(self) -> None:
        if not self._open:
            msg = f"{self.label}: the source is closed"
            raise ValueError(msg)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_sides(shape: Sequence[int], entries: tuple[int, int] | None, where: Where) -> None:
    """Raise CorruptDataError unless a matrix has as many cells and genes as their tables have entries."""
    for name, expected, side in zip(("obs", "var"), entries or (), shape, strict=False):
        if side != expected:
            fault = f"has {side} rows or columns where {name} has {expected} entries"
            raise where.corrupt(fault)
