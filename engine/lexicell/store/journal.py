"""Crash safety of a store written in units: what is committed stays, what is published is complete."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lexicell.errors import CorruptDataError, InputError, OutputExistsError
from lexicell.store import steps
from lexicell.store.identity import check_identity
from lexicell.store.objects import TEMPORARY, Objects, Written
from lexicell.store.place import COMPLETE, PASSING, REPLACES, RUN, TABLE, Place, is_scratch, place_of
from lexicell.store.units import (
    FORMAT,
    Receipt,
    identity_hash,
    is_complete,
    read_receipts,
    seal,
    units_done,
    unseal,
    write_receipt,
)
from lexicell.store.verification import check_finished

if TYPE_CHECKING:
    from lexicell.store.writer import WriterStore

__all__ = [
    "Begun",
    "Journal",
    "Mode",
    "Written",
    "begun",
    "check_target",
    "open_journal",
]

#: Whether a run begins, goes on or replaces.
Mode = Literal["new", "resume", "overwrite"]
#: What a store of a version without journal has.
_OLDER = ("uns/lexicell/zarr.json",)


class Journal:
    """A store being written, unit by unit. Made by `open_journal`.

    Attributes
    ----------
    location
        Folder or URL that workers write to, for `lexicell.store.writer.open_writer`.
    store
        For what this process writes itself, metadata and tables. That belongs to no unit, so a run that goes
        on writes all of it again.
    total
        Number of units.
    done
        Facts of every unit that is committed.
    complete
        Whether the store was complete already, and there is nothing to do.
    """

    store: WriterStore

    def __init__(self, place: Place, identity: Mapping[str, Any], total: int) -> None:
        self.location = place.objects.location
        self.total = total
        self.done: dict[int, dict[str, Any]] = {}
        self.complete = False
        self._place, self._identity = place, identity
        self._objects: dict[str, Written] = {}

    def commit(self, unit: int, objects: Sequence[Written], facts: Mapping[str, Any]) -> None:
        """Record that a unit is written; durable when this returns.

        Parameters
        ----------
        unit
            Its number, from 0.
        objects
            What a `WriterStore.take` returned.
        facts
            To be kept with it; JSON.

        Raises
        ------
        ValueError
            The unit is committed already, or there is none of this number.
        WriteError
            The disk is full, or refuses; the unit then counts as not written.
        """
        if unit in self.done or not 0 <= unit < self.total:
            msg = f"unit {unit} of {self.total} can't be committed (again)"
            raise ValueError(msg)
        steps.step("unit-written")
        own = write_receipt(
            self._place.objects, Receipt(unit, tuple(objects), facts), identity_hash(self._identity)
        )
        steps.step("unit-committed")
        self.done[unit] = dict(facts)
        self._objects |= {item.key: item for item in (*objects, own)}

    def finish(self) -> None:
        """Consolidate the metadata of a Zarr, and publish the store under its final name.

        Raises
        ------
        ValueError
            Units are missing.
        WriteError, OutputExistsError
            The disk refuses, or something has taken the name meanwhile; the run can be continued.
        """
        if len(self.done) != self.total:
            msg = f"{len(self.done)} of {self.total} units are committed"
            raise ValueError(msg)
        objects, store = self._place.objects, self.store
        store.put(RUN, (self._run_record(),))
        self._take()
        for key in objects.sizes().keys() - self._objects.keys():
            if not is_scratch(key):  # what a process wrote that was taken for dead
                objects.delete(key)
        if store.is_zarr:
            _consolidate(store)
            store.put_root()
        self._take()
        steps.step("tables-written")
        objects.put(COMPLETE, (seal(_manifest(self._identity, self.total, self._objects)),))
        objects.flush()
        steps.step("complete-written")
        self._publish()

    def _take(self) -> None:
        self._objects |= {item.key: item for item in self.store.take()}

    def _run_record(self) -> bytes:
        return seal({"format": FORMAT, "total": self.total, "identity": self._identity})

    def _publish(self) -> None:
        objects = self._place.objects
        for key in objects.sizes():
            if key.startswith((TABLE, PASSING)):
                objects.delete(key)
        objects.flush()
        self._place.publish()
        self.complete = True

    def _begin(self, table: bytes | None, *, replaces: bool) -> None:
        """Start with nothing."""
        objects = self._place.objects
        self._place.clear()
        if table is not None:  # before there is a run, so that none is without it
            objects.put(TABLE, (table,))
        if replaces:
            objects.put(REPLACES, ())
        objects.put(RUN, (self._run_record(),))
        objects.flush()

    def _go_on(self) -> None:
        """Take what earlier runs committed, and remove what they had not."""
        objects = self._place.objects
        sizes = objects.sizes()
        if is_complete(objects, sizes):
            self._recall(read_receipts(objects, sizes))
            self._publish()  # an earlier run ended just before it could
            return
        self._recall(units_done(objects, sizes))
        for key in sorted(sizes.keys() - self._objects.keys() - {RUN}):
            if key.startswith((TEMPORARY, PASSING)) or not is_scratch(key):
                objects.delete(key)
        objects.flush()

    def _recall(self, receipts: Mapping[int, Receipt]) -> None:
        """Take over what receipts tell of."""
        for number, receipt in receipts.items():
            self.done[number] = dict(receipt.facts)
            self._objects |= {item.key: item for item in receipt.objects}


@contextmanager
def open_journal(
    target: str | Path,
    identity: Mapping[str, Any],
    *,
    total: int,
    mode: Mode,
    keep: bool = True,
    table: bytes | None = None,
) -> Iterator[Journal]:
    """Begin to write a store in units, or go on.

    Work lies in ``TARGET.partial``, or at a URL in place, until `Journal.finish`. When the block ends
    without that, the work is kept if anything is committed.

    Parameters
    ----------
    target
        Folder or URL of the store.
    identity
        JSON: all that decides what the store will be. A run with another one can't go on.
    total
        Number of units.
    mode
        "new": `target` must not exist, nor an unfinished run to it. "resume": go on with that, or begin it.
        "overwrite": begin, and replace `target` at the end (at a URL: now).
    keep
        Whether unfinished work is kept at all.
    table
        What a run that goes on needs of the one that began, which `begun` gives; gone from a complete store.

    Raises
    ------
    OutputExistsError
        `target` exists, or an unfinished run to it.
    InputError
        Another process writes there, or the unfinished run is another one; names what differs.
    CorruptDataError
        There is a complete store, and it is damaged.
    WriteError
        The folder may not be written to.
    """
    identity = json.loads(json.dumps(identity))
    place = place_of(target)
    check_target(place, mode)
    if mode == "resume" and place.finished is not None and place.unfinished is None:
        yield _completed(place, place.finished, identity, total)
        return
    place.prepare()
    place.lock.acquire()
    journal = None
    try:
        check_target(place, mode)  # again: another process may have been faster
        journal = _opened(place, identity, total, mode, table)
        yield journal
    finally:
        if journal is not None and not journal.complete and not (keep and journal.done):
            place.discard()
        place.lock.release()


def check_target(place: Place, mode: Mode) -> None:
    """Raise OutputExistsError where the output exists and a run may not replace it."""
    if (finished := place.finished) is not None:
        if mode == "new":
            msg = f"{place.target} exists; choose another name or overwrite it (--overwrite)"
            raise OutputExistsError(msg)
        if all(finished.get(key) is None for key in (RUN, *_OLDER)):
            msg = f"{place.target} was not written by lexicell, so it is not replaced; choose another name"
            raise OutputExistsError(msg)
    if mode != "new" or (run := place.unfinished) is None:
        return
    if done := len(units_done(place.objects)):
        msg = (
            f"{place.target}: an unfinished run is there, {done:,} of {run['total']:,} shards; "
            "continue it with --resume or start over with --overwrite"
        )
        raise OutputExistsError(msg)


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that may go on.

    Attributes
    ----------
    identity
        What decides what its store is.
    pending
        Whether units are missing.
    table
        What it was given to make them; None for nothing, or where that is lost.
    """

    identity: dict[str, Any]
    pending: bool
    table: bytes | None


def begun(target: str | Path) -> Begun | None:
    """Return the run to a target, complete or not; None where there is none.

    Raises
    ------
    CorruptDataError
        It can't be read.
    """
    place = place_of(target)
    if place.unfinished is None and place.finished is not None:
        run = unseal(place.finished.get(RUN))
        return None if run is None else Begun(run["identity"], pending=False, table=None)
    run = place.unfinished
    if run is None:
        return None
    pending = len(units_done(place.objects)) < run["total"]
    return Begun(run["identity"], pending, place.objects.get(TABLE))


def _opened(
    place: Place, identity: Mapping[str, Any], total: int, mode: Mode, table: bytes | None
) -> Journal:
    """Open the work place, which is locked."""
    from lexicell.store.writer import WriterStore

    journal = Journal(place, identity, total)
    journal.store = WriterStore(place.objects)
    if mode == "resume" and (run := place.unfinished) is not None:
        check_identity(place.target, run["identity"], identity)
        journal._go_on()
        return journal
    try:
        journal._begin(table, replaces=mode == "overwrite")
    except BaseException:
        place.discard()
        raise
    return journal


def _completed(place: Place, finished: Objects, identity: Mapping[str, Any], total: int) -> Journal:
    """Journal of a store that was complete already; CorruptDataError where it is not as it was."""
    run = unseal(finished.get(RUN))
    if run is None or unseal(finished.get(COMPLETE)) is None:
        msg = f"{place.target}: {RUN} or {COMPLETE} is missing or damaged; start over with --overwrite"
        raise CorruptDataError(msg)
    if run["format"] != FORMAT:
        msg = (
            f"{place.target} is complete, and was written by another version of lexicell (format "
            f"{run['format']}, not {FORMAT}): it can be read, and there is nothing to go on with"
        )
        raise InputError(msg)
    check_identity(place.target, run["identity"], identity)
    check_finished(finished, place.target)
    sizes = finished.sizes()
    for key in filter(is_scratch, sizes):  # of a process that ended just before it could
        finished.delete(key)
    place.objects = finished
    journal = Journal(place, identity, total)
    journal._recall(read_receipts(finished, sizes))
    journal.complete = True
    return journal


def _consolidate(store: WriterStore) -> None:
    """Put the metadata of all arrays and groups into the root's, where one read finds them."""
    import zarr

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata")
        zarr.consolidate_metadata(store)


def _manifest(identity: Mapping[str, Any], total: int, objects: Mapping[str, Written]) -> dict[str, Any]:
    """Content of ``COMPLETE``: the same for the same store, whatever happened on the way."""
    return {
        "format": FORMAT,
        "identity": identity_hash(identity),
        "total": total,
        "objects": [
            [key, item.size, item.blake3]
            for key, item in sorted(objects.items())
            if not key.startswith(PASSING)
        ],
    }
