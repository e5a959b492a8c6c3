"""Packed rows become shards: a stream of values, cut where a shard is full and not where a row ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import CorruptDataError
from lexicell.packing import shard
from lexicell.packing.rows import RECORD, PackedRows
from lexicell.packing.shard import encode_shard
from lexicell.store import FOLDER, Objects, Written, steps

__all__ = ["Position", "ShardStream", "Unit", "read_records", "write_unit"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the stream.

    Attributes
    ----------
    rows
        Rows that have ended. An empty row ends with the next one that is not.
    offset
        Values of the next row that lie before it.
    """

    rows: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """What one shard holds.

    Attributes
    ----------
    number
        Of the shard.
    values, columns
        ``[n]``, as many as a shard holds but in the last one.
    records
        `RECORD` of the rows that end in it.
    end
        Where it ends.
    """

    number: int
    values: NDArray[Any]
    columns: NDArray[Any]
    records: NDArray[Any]
    end: Position


class ShardStream:
    """Cuts packed rows into shards. The cuts depend on the rows only, not on the blocks in which they come.

    Parameters
    ----------
    number
        Of the first shard to make.
    begin
        Where it begins; the first block that is added begins with the row after ``begin.rows``.
    """

    def __init__(self, number: int, begin: Position) -> None:
        self._number, self._rows, self._skip = number, begin.rows, begin.offset
        self._values: list[NDArray[Any]] = []
        self._columns: list[NDArray[Any]] = []
        self._records: list[NDArray[Any]] = []
        self._size = 0

    def add(self, block: PackedRows) -> Iterator[Unit]:
        """Add the next rows; yields each shard that they complete."""
        skip, self._skip = self._skip, 0
        values, columns = block.values[skip:], block.columns[skip:]
        ends = np.cumsum(block.records["values"], dtype=np.int64) - skip
        done = begin = 0
        while len(values) - begin >= shard.SHARD - self._size:
            stop = begin + shard.SHARD - self._size
            self._take(values[begin:stop], columns[begin:stop])
            begin = stop
            row = int(np.searchsorted(ends, stop))
            row += int(ends[row] == stop)
            self._records.append(block.records[done:row])
            done = row
            begun = stop - (int(ends[row - 1]) if row else -skip)
            yield self._cut(Position(self._rows + row, begun))
        self._take(values[begin:], columns[begin:])
        self._records.append(block.records[done:])
        self._rows += len(ends)

    def finish(self) -> Iterator[Unit]:
        """Yield the last shard, if anything is left for it."""
        if any(map(len, self._records)):
            yield self._cut(Position(self._rows, 0))

    def _take(self, values: NDArray[Any], columns: NDArray[Any]) -> None:
        self._values.append(values)
        self._columns.append(columns)
        self._size += len(values)

    def _cut(self, end: Position) -> Unit:
        unit = Unit(
            self._number,
            np.concatenate(self._values),
            np.concatenate(self._columns),
            np.concatenate(self._records),
            end,
        )
        self._values, self._columns, self._records, self._size = [], [], [], 0
        self._number += 1
        return unit


def write_unit(location: str, unit: Unit) -> tuple[Written, ...]:
    """Write a shard of both arrays and the records of its rows; durable when this returns.

    Parameters
    ----------
    location
        Of the unfinished store.
    unit
        What to write.
    """
    from lexicell.store import open_writer

    store = open_writer(location)
    if len(unit.values):
        arrays = {"data": encode_shard(unit.values), "indices": encode_shard(unit.columns)}
        steps.step("shard-encoded")
        for name, parts in arrays.items():
            store.put(f"X/{name}/c/{unit.number}", parts)
    store.put(_key(unit.number), (unit.records.tobytes(),))
    return store.take()


def read_records(objects: Objects, number: int) -> NDArray[Any]:
    """Read the records of the rows that end in a shard."""
    data = objects.get(_key(number))
    if data is None or len(data) % RECORD.itemsize:
        msg = f"{objects.location}: {_key(number)} is missing or cut short; start over with --overwrite"
        raise CorruptDataError(msg)
    return np.frombuffer(data, RECORD)


def _key(number: int) -> str:
    """Where the records of a shard's rows are kept, beside what readers of Zarr look at."""
    return f"{FOLDER}/rows/{number:06}"
