"""One writer at a time: a lock that dies with its process here, and a heartbeat at a URL."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from stat import S_ISREG
from typing import Any

from lexicell.errors import InputError, WriteError
from lexicell.store.objects import FOLDER, Objects, write_all, writing

__all__ = ["FileLock", "HeartbeatLock", "Lock"]

LOCK = f"{FOLDER}/lock"
#: Seconds between two signs of life, and after how many without one the holder is taken for dead.
BEAT, DEAD = 20.0, 120.0


class Lock(ABC):
    """The right to write to a store."""

    @abstractmethod
    def acquire(self) -> None:
        """Get it.

        Raises
        ------
        InputError
            Another process has it.
        WriteError
            What lies there is no lock, a link for instance; it is left alone.
        """

    @abstractmethod
    def release(self) -> None:
        """Give it back."""


class FileLock(Lock):
    """A lock of the operating system on a file: a process that ends in any way gives it back.

    Parameters
    ----------
    path
        Of the file; its folder exists.
    label
        Of the store, for messages.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._path, self._label = path, label
        self._descriptor = -1

    def acquire(self) -> None:
        """See `Lock`; the file holds who has it."""
        with writing(self._path):
            if self._path.is_symlink():
                raise self._planted()
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                self._check()
                self._take()
            except BaseException:
                self.release()
                raise

    def _check(self) -> None:
        """See that taking the lock overwrites nothing else: a file of one name, in its owner's folder."""
        file, folder = os.fstat(self._descriptor), self._path.parent.stat()
        if not S_ISREG(file.st_mode) or file.st_nlink > 1 or file.st_uid not in {os.geteuid(), folder.st_uid}:
            raise self._planted()

    def _planted(self) -> WriteError:
        return WriteError(
            f"{self._path} is no lock that lexicell made, but a link or something else; look who put it "
            "there, and remove it"
        )

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(self._label, self._path.read_bytes()) from None
        except OSError as error:
            msg = (
                f"{self._label}: this file system has no locks ({error.strerror}); mount it with locks, or "
                "choose another place"
            )
            raise WriteError(msg) from error
        os.ftruncate(self._descriptor, 0)
        write_all(self._descriptor, json.dumps(_holder()).encode())

    def release(self) -> None:
        """See `Lock`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class HeartbeatLock(Lock):
    """An object that its holder writes again and again. Advisory: one that slept may not know it lost it.

    Parameters
    ----------
    objects
        Of the store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._token = secrets.token_hex(8)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """See `Lock`; a thread writes the object again until `release`."""
        content = _read(self._objects.get(LOCK))
        if time.time() - float(content.get("beat", 0)) < DEAD:
            raise _taken(self._objects.location, json.dumps(content).encode())
        self._beat()
        if _read(self._objects.get(LOCK)).get("token") != self._token:  # two at once: the last one has it
            raise _taken(self._objects.location, self._objects.get(LOCK) or b"")
        self._thread = threading.Thread(target=self._beat_on, name="lexicell-lock", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """See `Lock`."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
            self._objects.delete(LOCK)

    def _beat_on(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                self._beat()
            except WriteError:  # the run itself meets it too, and says so
                continue

    def _beat(self) -> None:
        beat = {**_holder(), "token": self._token, "beat": time.time()}
        self._objects.put(LOCK, (json.dumps(beat).encode(),))


def _holder() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _read(data: bytes | None) -> dict[str, Any]:
    try:
        content = json.loads(data or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _taken(label: str, data: bytes) -> InputError:
    content = _read(data)
    owner = f"process {content.get('pid', '?')} on {content.get('host', '?')}"
    return InputError(f"{label} is being written by {owner}; wait for it, or end it")
