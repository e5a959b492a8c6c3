"""A packed atlas is compared with what was noted of each row when it came from its source."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from threading import local

import numpy as np
from numpy.typing import NDArray

from lexicell.containers.faults import Where
from lexicell.containers.remote import local_or_remote_store
from lexicell.counts import Scratch, stored_rows
from lexicell.packing.rows import first_difference
from lexicell.packing.stream import read_records
from lexicell.store import open_objects

__all__ = ["check_rows"]


def check_rows(
    location: str,
    label: str,
    ends: Sequence[int],
    numbers: NDArray[np.uint64],
    pool: Executor,
    max_nnz: int,
) -> None:
    """Read a packed atlas back, as any reader does, and compare number, sum and genes of each row's values.

    Parameters
    ----------
    location
        Of the store, whose X is written.
    label
        For messages.
    ends
        For each shard the rows that have ended when it ends.
    numbers
        ``[v]`` uint64 of the genes of its columns.
    pool
        Threads to work in.
    max_nnz
        Values to read at once.

    Raises
    ------
    CorruptDataError
        A row is not what its source had.
    """
    import zarr

    from lexicell.containers.bounded import bounded

    group = bounded(zarr.open_group(local_or_remote_store(location, read_only=True), path="X", mode="r"))
    where = Where(label, "the packed X")
    matrix, objects, state = stored_rows(group, where), open_objects(location), local()

    def check(number: int) -> None:
        scratch = state.__dict__.setdefault("scratch", Scratch())
        begin = ends[number - 1] if number else 0
        records = read_records(objects, number)
        if len(records) != ends[number] - begin:
            fault = f"has {len(records)} records where {ends[number] - begin} rows end"
            raise where.rows(begin, ends[number]).corrupt(fault)
        for start, stop in matrix.spans(max_nnz, begin, ends[number]):
            row = first_difference(
                matrix.read(start, stop, scratch), numbers, records[start - begin : stop - begin]
            )
            if row is not None:
                fault = "is not the row of the input"
                raise Where(label, f"row {start + row} of the packed X").corrupt(fault)

    list(pool.map(check, range(len(ends))))
