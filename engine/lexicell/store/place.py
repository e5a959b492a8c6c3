"""Where a run writes before its store is complete, and how that becomes the store.

A folder grows as ``TARGET.partial`` and is renamed at the end, so what has the name is complete, also for
readers that know nothing of ``COMPLETE``. At a URL, where nothing can be renamed, the root's metadata come
last instead.
"""

from __future__ import annotations

import re
import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from lexicell._files import fsync, is_taken, remove
from lexicell.containers.remote import is_url
from lexicell.errors import InputError, OutputExistsError
from lexicell.store import steps
from lexicell.store.lock import LOCK, FileLock, HeartbeatLock, Lock
from lexicell.store.objects import FOLDER, TEMPORARY, LocalObjects, Objects, RemoteObjects, writing
from lexicell.store.units import COMPLETE, FORMAT, RUN, unseal

__all__ = ["COMPLETE", "PASSING", "REPLACES", "RUN", "TABLE", "Place", "is_scratch", "place_of"]

#: What identifies a run, and what shows that it has ended well.
#: What was computed before the first unit and all units are made with; gone when the store is complete.
TABLE = f"{FOLDER}/table"
#: Objects of units that the store is put together of at the end; gone when it is complete.
PASSING = f"{FOLDER}/passing"
#: Is there where a run replaces what has the name of its store.
REPLACES = f"{FOLDER}/replaces"
_SCRATCH = (LOCK, TEMPORARY, TABLE, PASSING, REPLACES)


class Place(ABC):
    """Target and work place of a run.

    Attributes
    ----------
    target
        Where the store will be.
    objects
        Of the work place.
    lock
        Of the work place.
    """

    target: str
    objects: Objects
    lock: Lock

    @property
    @abstractmethod
    def finished(self) -> Objects | None:
        """Objects of what lies at the target, whatever that is, also a link; None where nothing does."""

    @property
    def unfinished(self) -> dict[str, Any] | None:
        """Identity and size of the run in the work place; None where there is none.

        Raises
        ------
        InputError
            It is of another version.
        """
        run = unseal(self.objects.get(RUN))
        if run is not None and run["format"] != FORMAT:
            msg = (
                f"{self.target} was begun by another version of lexicell (format {run['format']}, not "
                f"{FORMAT}), and can't go on; start over with --overwrite"
            )
            raise InputError(msg)
        return run

    @property
    @abstractmethod
    def begun(self) -> bool:
        """Whether anything of a run lies in the work place."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the work place, if need be, so that it can be locked."""

    @abstractmethod
    def publish(self) -> None:
        """Give the work, which is complete, its final name, and give back the lock."""

    @abstractmethod
    def discard(self) -> None:
        """Remove all that the run wrote, and give back the lock."""

    def leftovers(self) -> list[Path]:
        """Siblings that runs of other versions have left, or a former store that was being replaced."""
        return []

    def clear(self) -> None:
        """Remove all that an earlier run wrote, but for the lock; what makes it a store first."""
        keys = sorted(self.objects.sizes(), key=lambda key: key not in (COMPLETE, RUN, "zarr.json"))
        for key in keys:
            if key != LOCK:
                self.objects.delete(key)
        self.objects.flush()


def is_scratch(key: str) -> bool:
    """Whether an object serves a run while it writes, and is no part of the store."""
    return key.startswith(_SCRATCH)


class _LocalPlace(Place):
    """``NAME.partial`` beside ``NAME``, renamed at the end."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)
        self._target = target
        self._work = target.with_name(f"{target.name}.partial")
        self.objects = LocalObjects(self._work)
        self.lock = FileLock(self._work / LOCK, self.target)

    @property
    def finished(self) -> Objects | None:
        return LocalObjects(self._target) if is_taken(self._target) else None

    @property
    def begun(self) -> bool:
        return (self._work / FOLDER).is_dir()

    def leftovers(self) -> list[Path]:
        name = re.compile(rf"\.{re.escape(self._target.name)}\.[0-9a-f]{{8}}\.(partial|old)")
        beside = self._target.parent.glob(".*")
        return sorted(path for path in beside if name.fullmatch(path.name))

    def prepare(self) -> None:
        folder = self._work / FOLDER
        with writing(self._work):
            for path in (self._work, folder):
                if path.is_symlink():  # its target would be written to, and removed
                    msg = f"{path} is a link, and a run is not written through one; remove it"
                    raise OutputExistsError(msg)
            if self._work.exists() and not folder.is_dir() and not self._is_empty():
                msg = f"{self._work} exists and is no unfinished run of lexicell; move it"
                raise OutputExistsError(msg)
            folder.mkdir(parents=True, exist_ok=True)
            fsync(self._work.parent)

    def publish(self) -> None:
        with writing(self._target):
            self._rename()

    def discard(self) -> None:
        remove(self._work)
        self.lock.release()

    def _rename(self) -> None:
        remove(self._work / TEMPORARY)
        retired = self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}.old")
        if is_taken(self._target):
            if not (self._work / REPLACES).exists():
                msg = f"{self.target} has appeared meanwhile; move it, and go on with --resume"
                raise OutputExistsError(msg)
            self._target.rename(retired)
        try:
            self._work.rename(self._target)
        except BaseException:  # an interrupt between the two renames is no reason to lose the old one
            if is_taken(retired) and not is_taken(self._target):
                retired.rename(self._target)
            raise
        for key in (LOCK, REPLACES):
            (self._target / key).unlink(missing_ok=True)
        fsync(self._target.parent)
        steps.step("renamed")
        self.lock.release()
        remove(retired)

    def _is_empty(self) -> bool:
        return self._work.is_dir() and not any(self._work.iterdir())


class _RemotePlace(Place):
    """A URL, where the store is written in place: nothing can be renamed there."""

    def __init__(self, url: str) -> None:
        self.target = url
        self.objects = RemoteObjects(url)
        self.lock = HeartbeatLock(self.objects)

    @property
    def finished(self) -> Objects | None:
        of_another = self.objects.get("zarr.json") is not None and self.objects.get(RUN) is None
        return self.objects if of_another or self.objects.get(COMPLETE) is not None else None

    @property
    def unfinished(self) -> dict[str, Any] | None:
        return super().unfinished if self.finished is None else None

    @property
    def begun(self) -> bool:
        return self.finished is None and any(key != LOCK for key in self.objects.sizes())

    def prepare(self) -> None:
        """A URL needs no folder."""

    def publish(self) -> None:  # what was there went when the run began
        self.objects.delete(REPLACES)
        self.lock.release()
        steps.step("renamed")

    def discard(self) -> None:
        self.clear()
        self.lock.release()


def place_of(target: str | Path) -> Place:
    """Place of a target: a path, or a URL."""
    return _RemotePlace(str(target).rstrip("/")) if is_url(target) else _LocalPlace(Path(target))
