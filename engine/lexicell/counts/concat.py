"""Many data sets as one CountSource: their rows after one another, their columns united."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from lexicell._say import listed
from lexicell.arrays import Device
from lexicell.counts.anndata import other_parts
from lexicell.counts.blocks import concat_rows
from lexicell.counts.concat_tables import UnitedCells, UnitedGenes
from lexicell.counts.guess import Values
from lexicell.counts.open_inputs import OpenInputs
from lexicell.counts.opening import open_counts
from lexicell.counts.values import guess_source
from lexicell.errors import InputError
from lexicell_kernels.types import CsrBlock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from numpy.typing import NDArray

    from lexicell.counts.scratch import Scratch
    from lexicell.counts.source import CountSource

__all__ = ["INPUT", "INPUT_ROW", "ConcatSource", "open_many"]

#: Columns of obs that say where a cell comes from.
INPUT, INPUT_ROW = "input", "input_row"
#: Cells of each input that are looked at when their values are compared.
_LOOK_CELLS = 48
#: Lines about how single inputs are read.
_MOST_NOTES = 3
#: Inputs that `ConcatSource.peek` spreads over.
_PEEK_INPUTS = 12


def open_many(
    paths: Sequence[str | os.PathLike[str]],
    *,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
) -> CountSource:
    """Open several data sets as one; a single one is opened by `open_counts`.

    Parameters
    ----------
    paths
        See `open_counts`; their rows follow one another. Columns are united by name and, where a data set
        has a name several times, by which of them it is; they stand in order of first appearance. obs has
        the columns of all, categories united and missing where a data set has none, and two more: ``input``
        (categorical, the data set) and ``input_row`` (int64).
    layer, use_raw, modality, follow_links
        See `open_counts`.

    Raises
    ------
    InputError, CorruptDataError
        See `open_counts`.
    """
    if len(paths) == 1:
        return open_counts(
            paths[0], layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links
        )
    return ConcatSource(paths, layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links)


@dataclass(frozen=True)
class _Member:
    """What is kept of an input while it is closed.

    `columns` holds for each of its columns the place among all, or None where they are all, in order.
    """

    path: str
    name: str
    n_columns: int
    columns: NDArray[np.int32] | None


class ConcatSource:
    """A CountSource of several data sets. See `CountSource` for the members, `open_many` for what they hold.

    Opening looks into each input once, for its columns and the types of its tables. Then few are open at a
    time (`OpenInputs`), and what is kept of the others is a number for each of their columns, shared where
    several have the same columns.

    Attributes
    ----------
    inputs
        Names of the data sets, as in ``obs["input"]``.
    ends
        ``[inputs + 1]`` int64 rows at which the data sets begin, and the number of all.
    """

    device: Device = "cpu"
    picked: NDArray[np.int64] | None = None

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        layer: str | None = None,
        use_raw: bool = False,
        modality: str | None = None,
        follow_links: bool = False,
    ) -> None:
        names = [os.fspath(path) for path in paths]
        self._asked: dict[str, Any] = {
            "layer": layer, "use_raw": use_raw, "modality": modality, "follow_links": follow_links
        }  # fmt: skip
        self.inputs = tuple(_short(names))
        self.label = names[0] if len(names) == 1 else f"{len(names):,} inputs ({listed(self.inputs, 3)})"
        self._opened = OpenInputs(self._reopen, self.label)
        self._look_into(names)

    def _look_into(self, names: Sequence[str]) -> None:
        genes, self._cells = UnitedGenes(), UnitedCells()
        shared: dict[bytes, NDArray[np.int32]] = {}
        places, sizes, layers = [], [], []
        self._log_base: float | None = None
        self.has_raw = True
        self._strangers: list[str] = []
        self._own_names: list[str] = []
        notes: dict[str, list[str]] = {}
        for path, name in zip(names, self.inputs, strict=True):
            with open_counts(path, **self._asked) as source:
                n_genes = len(genes.keys)
                mapping = genes.add(source.var)
                if n_genes and int(mapping.min()) >= n_genes:
                    self._strangers.append(name)
                columns = [column for column in source.obs_columns if column not in (INPUT, INPUT_ROW)]
                if len(columns) < len(source.obs_columns):
                    self._own_names.append(name)
                self._cells.add(source.read_obs(columns, 0, 0))
                layers.append(source.layers)
                sizes.append(source.n_cells)
                self._log_base = self._log_base or source.log_base
                self.has_raw &= source.has_raw
                for note in source.notes:
                    notes.setdefault(note, []).append(name)
            places.append(shared.setdefault(mapping.tobytes(), mapping))
        self._cells.settle()
        self.notes = _merged(notes, len(names))
        self.ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self._var = genes.table()
        everything = np.arange(len(self._var), dtype=np.int32).tobytes()
        self._members = [
            _Member(path, name, len(mapping), None if mapping.tobytes() == everything else mapping)
            for path, name, mapping in zip(names, self.inputs, places, strict=True)
        ]
        self.layers = tuple(name for name in layers[0] if all(name in available for available in layers))
        self.others = other_parts(
            partial(open_counts, names[0], **self._asked),  # of which layer and use_raw are replaced
            self.layers,
            has_x=True,
            has_raw=self.has_raw,
            layer=self._asked["layer"],
            use_raw=self._asked["use_raw"],
        )

    @property
    def var(self) -> pd.DataFrame:
        """Genes: of each, what the first data set that knows it says."""
        return self._var

    @property
    def n_cells(self) -> int:
        """Number of rows."""
        return int(self.ends[-1])

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self._var)

    @property
    def log_base(self) -> float | None:
        """Base of the logarithm that the first of the files that says so says was taken."""
        return self._log_base

    def check(self, values: Values | None = None) -> tuple[str, ...]:
        """Look at some cells of each input; what a person should know about putting them together.

        Parameters
        ----------
        values
            What the user says that all hold, or None.

        Returns
        -------
        Sentences.

        Raises
        ------
        CountsError
            A value is no count; the message names input, cell and gene.
        InputError
            Some inputs hold counts and others fractions or logarithms: as one matrix they mean nothing. Where
            the user says what they are, this is a sentence only.
        """
        kinds: dict[str, str] = {}
        for number, member in enumerate(self._members):
            with self._opened.borrow(number) as source:
                kinds.setdefault(_kind_of(source), member.name)
        notes = []
        if len(kinds) > 1:
            (kind, name), (other_kind, other_name) = list(kinds.items())[:2]
            mixed_kinds = f"{name} holds {kind} and {other_name} holds {other_kind}"
            if values is None:
                msg = f"{mixed_kinds}; give inputs of one kind, or a --layer that is the same in all"
                raise InputError(msg)
            notes.append(f"{mixed_kinds}; all are taken as {values}, as --values says")
        if self._strangers:
            notes.append(
                f"{listed(self._strangers, 3)}: no gene in common with the inputs before; rows of different "
                "naming (symbols and Ensembl ids, two organisms) do not line up"
            )
        if mixed := self._cells.mixed():
            notes.append(f"columns of obs that differ in kind between inputs become text: {listed(mixed)}")
        if self._own_names:
            notes.append(
                f"{INPUT!r} and {INPUT_ROW!r} tell where a cell is from now; columns of these names are left "
                f"out of {listed(self._own_names, 3)}"
            )
        return tuple(notes)

    def spans(self, max_nnz: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Cut rows into spans; none has rows of two data sets."""
        for number, first, last in self._parts(start, self.n_cells if stop is None else stop):
            begin = int(self.ends[number])
            with self._opened.borrow(number) as source:
                for a, b in source.spans(max_nnz, first, last):
                    yield begin + a, begin + b

    def peek(self, max_cells: int) -> Iterator[tuple[int, int]]:
        """Row ranges for a first look, spread over the data sets."""
        n = min(len(self._members), _PEEK_INPUTS, max(max_cells, 1))
        for number in np.unique(np.linspace(0, len(self._members) - 1, n).round().astype(int)).tolist():
            begin = int(self.ends[number])
            with self._opened.borrow(number) as source:
                for a, b in source.peek(max(max_cells // n, 1)):
                    yield begin + a, begin + b

    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:
        """Read rows ``start:stop``."""
        parts = list(self._parts(start, stop)) or [(0, 0, 0)]
        # The buffers hold one read, so several data sets cannot share them.
        buffers = scratch if len(parts) == 1 else None
        blocks = []
        for number, first, last in parts:
            block = self.read_own(number, first, last, buffers)
            columns = self._members[number].columns
            indices = block.indices if columns is None else columns[block.indices]
            blocks.append(
                CsrBlock(data=block.data, indices=indices, indptr=block.indptr, n_columns=self.n_columns)
            )
        return concat_rows(blocks)

    def read_own(self, number: int, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:
        """Rows of one data set as it has them, in its own columns and its own row numbers."""
        with self._opened.borrow(number) as source:
            return source.read(start, stop, scratch)

    def own_columns(self, number: int) -> tuple[pd.Index[Any], NDArray[np.int32]]:
        """Names of the columns of one data set, ``[v]``, and the place of each among all."""
        with self._opened.borrow(number) as source:
            columns = self._members[number].columns
            place = np.arange(self.n_columns, dtype=np.int32) if columns is None else columns
            return source.var.index, place

    def within(self, start: int, stop: int) -> tuple[int, int, int]:
        """Data set that rows ``start:stop``, which are a span, are of, and which of its rows they are."""
        return next(self._parts(start, stop))

    def names(self, start: int, stop: int) -> pd.Index[Any]:
        """Names of cells ``start:stop``, as their data sets have them."""
        names: list[str] = []
        for number, first, last in self._parts(start, stop):
            with self._opened.borrow(number) as source:
                names.extend(source.names(first, last))
        return pd.Index(names, dtype=object)

    @property
    def obs_columns(self) -> tuple[str, ...]:
        """Names of the columns of obs."""
        return (*self._cells.dtypes, INPUT, INPUT_ROW)

    def read_obs(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Some columns of cells ``start:stop``; categoricals have all categories of all data sets."""
        unknown = next((name for name in columns if name not in self.obs_columns), None)
        if unknown is not None:
            msg = f"{self.label}: obs has no column {unknown!r}; it has {', '.join(self.obs_columns)}"
            raise InputError(msg)
        stored = [name for name in columns if name not in (INPUT, INPUT_ROW)]
        parts = list(self._parts(start, stop)) or [(0, 0, 0)]
        table = pd.concat([self._cells.cast(self._read_own_obs(*part, stored), stored) for part in parts])
        table.index = table.index.astype(object)  # which newer pandas makes text of
        rows = np.arange(start, stop)
        number = np.searchsorted(self.ends, rows, side="right") - 1
        if INPUT in columns:
            table[INPUT] = pd.Categorical.from_codes(number, dtype=pd.CategoricalDtype(list(self.inputs)))
        if INPUT_ROW in columns:
            table[INPUT_ROW] = rows - self.ends[number]
        return pd.DataFrame(table[list(columns)])

    def _read_own_obs(self, number: int, start: int, stop: int, columns: Sequence[str]) -> pd.DataFrame:
        with self._opened.borrow(number) as source:
            return source.read_obs([name for name in columns if name in source.obs_columns], start, stop)

    def read_obsm(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Rows ``start:stop`` of an array of ``obsm``, which all data sets that they are of must have."""
        parts: list[NDArray[np.float64]] = []
        for number, first, last in list(self._parts(start, stop)) or [(0, 0, 0)]:
            with self._opened.borrow(number) as source:
                parts.append(source.read_obsm(name, first, last))
        if len(widths := {part.shape[1] for part in parts}) > 1:
            several = listed(map(str, sorted(widths)))
            msg = f"{self.label}: obsm[{name!r}] has {several} columns in different inputs"
            raise InputError(msg)
        return np.concatenate(parts)

    @property
    def obs(self) -> pd.DataFrame:
        """Cells."""
        return self.read_obs(self.obs_columns, 0, self.n_cells)

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Data sets that rows ``start:stop`` are of, and which of their rows."""
        if not 0 <= start <= stop <= self.n_cells:
            msg = f"rows {start}:{stop} are not within 0:{self.n_cells}"
            raise IndexError(msg)
        number = int(np.searchsorted(self.ends, start, side="right")) - 1
        while start < stop:
            begin, end = int(self.ends[number]), int(self.ends[number + 1])
            last = min(stop, end)
            yield number, start - begin, last - begin
            start, number = last, number + 1

    def _reopen(self, number: int) -> CountSource:
        member = self._members[number]
        source = open_counts(member.path, **self._asked)
        cells = int(self.ends[number + 1] - self.ends[number])
        if (source.n_cells, source.n_columns) != (cells, member.n_columns):
            source.close()
            msg = f"{member.path} has changed since it was opened; run again when nothing writes to it"
            raise InputError(msg)
        return source

    def close(self) -> None:
        """Release files and temporary space; a second call does nothing."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _short(paths: Sequence[str]) -> list[str]:
    """Names that tell the inputs apart: what follows the folder that all share."""
    if len(paths) == 1 or any("://" in path for path in paths):
        tails = [path.rstrip("/").rpartition("/")[2] for path in paths]
        return tails if len(set(tails)) == len(tails) else list(paths)
    absolute = [os.path.abspath(path) for path in paths]  # noqa: PTH100 -- links keep the name that was given
    return [os.path.relpath(path, os.path.commonpath(absolute)) for path in absolute]


def _merged(notes: dict[str, list[str]], n_inputs: int) -> tuple[str, ...]:
    """What was noted of which inputs, one line for what is the same, and few lines altogether."""
    if n_inputs == 1:
        return tuple(notes)
    lines = [f"{listed(names, 3)}: {note}" for note, names in notes.items()]
    if len(lines) > _MOST_NOTES:
        lines[_MOST_NOTES:] = [f"and {len(lines) - _MOST_NOTES:,} more notes of this kind about other inputs"]
    return tuple(lines)


def _kind_of(source: CountSource) -> str:
    guess = guess_source(source, _LOOK_CELLS)
    if guess.values is None:
        return "values of an unknown kind"
    return {Values.COUNTS: "counts", Values.NORMALISED: "fractions"}.get(guess.values, guess.values.formula)
