"""The history of a store: what each run did, in records that show by themselves whether they are whole."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import blake3

from lexicell._files import fsync
from lexicell._trace import detail
from lexicell.atlas.store import _steps
from lexicell.atlas.store._objects import FOLDER, LocalObjects, Objects, refusals, write_all

__all__ = ["Ledger", "open_ledger", "seal", "unseal"]

LEDGER = f"{FOLDER}/ledger"
_SEAL = b',"blake3":"'


def seal(content: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Write a mapping as JSON that ends in its own hash: all but the end, and the end."""
    body = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()[:-1]
    return body, _end(body)


def unseal(data: bytes | None) -> dict[str, Any] | None:
    """Read what `seal` wrote; None for anything else."""
    body, separator, _ = (data or b"").rpartition(_SEAL)
    if not separator or data != body + _end(body):
        return None
    content: dict[str, Any] = json.loads(body + b"}")
    return content


def _end(body: bytes) -> bytes:
    return _SEAL + blake3.blake3(body).hexdigest().encode() + b'"}\n'


class Ledger(ABC):
    """Records, first to last. What follows a record that is not whole does not count.

    Attributes
    ----------
    records
        All records, oldest first.
    torn
        Whether there is more than these: the tail of a write that was cut short, or damage.
    """

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.torn = False

    def append(self, kind: str, **content: Any) -> None:
        """Add a record; it is durable when this returns.

        Raises
        ------
        WriteError
            The disk is full, or refuses.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"n": len(self.records), "kind": kind, "time": now, **content}
        self._append(record)
        self.records.append(record)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Records of one kind."""
        return [record for record in self.records if record["kind"] == kind]

    @abstractmethod
    def cut(self) -> None:
        """Remove what follows the last whole record."""

    @abstractmethod
    def _append(self, record: dict[str, Any]) -> None: ...

    def _take(self, lines: list[bytes]) -> int:
        """Take records as long as they are whole; how many bytes these are."""
        size = 0
        for line in lines:
            record = unseal(line)
            if record is None or record.get("n") != len(self.records):
                self.torn = True
                break
            self.records.append(record)
            size += len(line)
        return size


class _LocalLedger(Ledger):
    """One file to which lines are added."""

    def __init__(self, objects: LocalObjects) -> None:
        super().__init__()
        self._path = objects.root / f"{LEDGER}.jsonl"
        self._size = self._take((objects.get(f"{LEDGER}.jsonl") or b"").splitlines(keepends=True))

    def cut(self) -> None:
        if self.torn:
            with refusals(self._path):
                os.truncate(self._path, self._size)
                fsync(self._path)
            self.torn = False

    def _append(self, record: dict[str, Any]) -> None:
        body, end = seal(record)
        self.cut()
        self.torn = True
        with refusals(self._path):
            _append_durably(self._path, body, end)
            if self._size == 0:
                fsync(self._path.parent)
        self._size += len(body) + len(end)
        self.torn = False
        _steps.step("ledger-fsynced")


class _RemoteLedger(Ledger):
    """One object for each record: nothing can be added to an object."""

    def __init__(self, objects: Objects, keys: list[str]) -> None:
        super().__init__()
        self._objects = objects
        self._keys = sorted(key for key in keys if key.startswith(f"{LEDGER}/"))
        self._take([objects.get(key) or b"" for key in self._keys])

    def cut(self) -> None:
        for key in self._keys[len(self.records) :]:
            self._objects.delete(key)
        self.torn = False

    def _append(self, record: dict[str, Any]) -> None:
        self._objects.put(f"{LEDGER}/{record['n']:06}.json", seal(record))
        _steps.step("ledger-fsynced")


def open_ledger(objects: Objects) -> Ledger:
    """Read the ledger of a store; it is empty where there is none."""
    if isinstance(objects, LocalObjects):
        return _LocalLedger(objects)
    return _RemoteLedger(objects, list(objects.sizes()))


def _append_durably(path: Path, body: bytes, end: bytes) -> None:
    """Add a line to a file; what is on disk of it after a crash is seen by its end."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        write_all(descriptor, body)
        _steps.step("ledger-half-written")
        write_all(descriptor, end)
        _steps.step("ledger-written")
        with detail("fsync"):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
