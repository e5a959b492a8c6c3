"""Where the objects of a store lie, a folder or a URL: written whole and durably, or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3

from lexicell._files import fsync, hash_file
from lexicell._limits import limit_reached
from lexicell._trace import detail
from lexicell.containers.remote import is_url, network_fault, open_store
from lexicell.errors import CorruptDataError, LexicellError, WriteError
from lexicell.store import steps

__all__ = ["FOLDER", "TEMPORARY", "LocalObjects", "Objects", "RemoteObjects", "Written", "open_objects"]

#: What a store knows about itself lies here; no reader of Zarr looks at it.
FOLDER = ".lexicell"
#: Objects that are being written. In a folder of their own none is mistaken for a chunk, and what a killed
#: writer leaves is found at once.
TEMPORARY = f"{FOLDER}/tmp"  # noqa: S108 -- in the store, where no other program looks

#: Something with the buffer protocol.
Bytes = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Written:
    """An object that is on disk.

    Attributes
    ----------
    key
        Its name in the store.
    size
        Bytes.
    blake3
        Hash of its content, as hex.
    """

    key: str
    size: int
    blake3: str


class Objects(ABC):
    """Objects by key. What `put` wrote is safe from a crash of the machine when `flush` has returned.

    Attributes
    ----------
    location
        Folder or URL.
    at_once
        How many of them are best read at once.
    """

    at_once: int

    def __init__(self, location: str) -> None:
        self.location = location

    def put(self, key: str, parts: Sequence[Bytes]) -> Written:
        """Write an object from its parts; readers see the old one or the new one.

        Raises
        ------
        WriteError
            The disk is full, or refuses.
        """
        hasher = blake3.blake3()
        with detail("hash"):
            for part in parts:
                hasher.update(part)
        with self._writing():
            self._put(key, parts)
        return Written(key, sum(len(part) for part in parts), hasher.hexdigest())

    def put_file(self, key: str, make: Callable[[Path], None]) -> Written:
        """Write an object that `make` writes to a path; it is there as a whole or not at all.

        Raises
        ------
        WriteError
            The disk is full, or refuses.
        """
        with self._writing(), self._scratch(key) as path:
            make(path)
            written = Written(key, path.stat().st_size, hash_file(path))
            self._move(path, key)
        return written

    def flush(self) -> None:
        """Wait until all that was put or deleted is on disk."""
        with self._writing():
            self._flush()

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        with self._writing():
            self._delete(key)

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Read an object; None where there is none.

        Raises
        ------
        CorruptDataError
            It can't be read.
        """

    @abstractmethod
    def hash(self, key: str) -> str:
        """BLAKE3 of an object, as hex; CorruptDataError where it can't be read."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Bytes of every object, those being written included."""

    @abstractmethod
    def zarr_store(self) -> Any:
        """Read the same objects through Zarr."""

    @abstractmethod
    def _put(self, key: str, parts: Sequence[Bytes]) -> None: ...

    @abstractmethod
    def _scratch(self, key: str) -> AbstractContextManager[Path]: ...

    @abstractmethod
    def _move(self, path: Path, key: str) -> None: ...

    @abstractmethod
    def _flush(self) -> None: ...

    @abstractmethod
    def _delete(self, key: str) -> None: ...

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self.location, self._errors)

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        return (OSError,)


class LocalObjects(Objects):
    """Objects in a folder.

    A file is written under another name, fsynced and renamed; `flush` fsyncs the folders in which a name
    changed.
    """

    at_once = os.cpu_count() or 1

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.root = root
        self._known: set[Path] = set()
        self._changed: set[Path] = set()

    def get(self, key: str) -> bytes | None:
        """See `Objects`."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(key, error) from error

    def hash(self, key: str) -> str:
        """See `Objects`."""
        try:
            return hash_file(self.root / key)
        except OSError as error:
            raise self._unreadable(key, error) from error

    def sizes(self) -> dict[str, int]:
        """See `Objects`."""
        sizes = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # renamed meanwhile, by a process that writes
                    sizes[path.relative_to(self.root).as_posix()] = path.lstat().st_size
        return sizes

    def zarr_store(self) -> Any:
        """See `Objects`."""
        from zarr.storage import LocalStore

        return LocalStore(self.root)

    def _put(self, key: str, parts: Sequence[Bytes]) -> None:
        with self._scratch(key) as temporary:
            write_durably(temporary, parts)
            self._rename(temporary, key)

    @contextmanager
    def _scratch(self, key: str) -> Iterator[Path]:
        temporary = self.root / TEMPORARY
        self._make_folder(temporary)
        # The key's end says what it was going to be; more of it could be longer than a file's name may be.
        temporary /= f"{key.replace('/', '!')[-50:]}.{os.getpid()}-{secrets.token_hex(4)}"
        try:
            yield temporary
        except Exception:
            temporary.unlink(missing_ok=True)
            raise

    def _move(self, path: Path, key: str) -> None:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self._rename(path, key)

    def _rename(self, temporary: Path, key: str) -> None:
        path = self.root / key
        self._make_folder(path.parent)
        temporary.rename(path)
        self._changed.add(path.parent)
        steps.step("data-renamed")

    def _flush(self) -> None:
        with detail("fsync"):
            for folder in sorted(self._changed, reverse=True):
                fsync(folder)
                self._changed.discard(folder)
        steps.step("folder-fsynced")

    def _delete(self, key: str) -> None:
        path = self.root / key
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        self._changed.add(path.parent)
        for folder in path.relative_to(self.root).parents[:-1]:
            try:
                (self.root / folder).rmdir()
            except OSError:  # not empty
                break
            self._known.discard(self.root / folder)
            self._changed.discard(self.root / folder)
            self._changed.add((self.root / folder).parent)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder, and take care that `flush` makes its name durable.

        Another process may have made it a moment ago and not have got to that, so this holds for folders
        that are there already, too.
        """
        if folder in self._known:
            return
        if folder != self.root:
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            self._changed.add(folder.parent)
        else:
            folder.mkdir(parents=True, exist_ok=True)
        self._known.add(folder)

    def _unreadable(self, key: str, error: OSError) -> LexicellError:
        file = self.root / key
        unreadable = CorruptDataError(f"{file} cannot be read ({error.strerror or error})")
        return limit_reached(str(file), error) or unreadable


class RemoteObjects(Objects):
    """Objects at a URL, where each is replaced as a whole and is durable when the service has answered."""

    at_once = 32

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._zarr_store: Any = open_store(url, read_only=False)

    def get(self, key: str) -> bytes | None:
        """See `Objects`."""
        import obstore

        try:
            return bytes(obstore.get(self._bucket, key).bytes())
        except FileNotFoundError:
            return None
        except self._errors as error:
            raise network_fault(f"{self.location}/{key}", error) or error from error

    def hash(self, key: str) -> str:
        """See `Objects`."""
        data = self.get(key)
        if data is None:
            msg = f"{self.location}/{key} cannot be read (it is gone)"
            raise CorruptDataError(msg)
        return blake3.blake3(data).hexdigest()

    def sizes(self) -> dict[str, int]:
        """See `Objects`."""
        import obstore

        try:
            return {meta["path"]: meta["size"] for batch in obstore.list(self._bucket) for meta in batch}
        except self._errors as error:
            raise network_fault(self.location, error) or error from error

    def zarr_store(self) -> Any:
        """See `Objects`."""
        return self._zarr_store

    def _put(self, key: str, parts: Sequence[Bytes]) -> None:
        import obstore

        obstore.put(self._bucket, key, b"".join(parts))
        steps.step("data-renamed")

    @contextmanager
    def _scratch(self, key: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, Path(key).name)

    def _move(self, path: Path, key: str) -> None:
        import obstore

        obstore.put(self._bucket, key, path)
        steps.step("data-renamed")

    def _flush(self) -> None:
        """Nothing waits."""

    def _delete(self, key: str) -> None:
        import obstore

        with suppress(FileNotFoundError):
            obstore.delete(self._bucket, key)

    @property
    def _bucket(self) -> Any:
        return self._zarr_store.store

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        from obstore.exceptions import BaseError

        return (OSError, BaseError)


def open_objects(location: str) -> Objects:
    """Objects of a folder, which need not exist, or of a URL."""
    return RemoteObjects(location) if is_url(location) else LocalObjects(Path(location))


@contextmanager
def writing(where: object, errors: tuple[type[Exception], ...] = (OSError,)) -> Iterator[None]:
    """Make what the system refuses a WriteError, or a ResourceError, that says where."""
    try:
        yield
    except LexicellError:
        raise
    except errors as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        msg = f"{where} cannot be written ({reason}); make room or choose another place"
        raise limit_reached(str(where), error) or WriteError(msg) from error


def write_durably(path: Path, parts: Sequence[Bytes]) -> None:
    """Write a new file and wait until its content is on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        for part in parts:
            write_all(descriptor, part)
        steps.step("data-temp-written")
        with detail("fsync"):
            os.fsync(descriptor)
        steps.step("data-fsynced")
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: Bytes) -> None:
    """Write all of something, however little the system takes at once."""
    remaining = memoryview(data).cast("B")
    while len(remaining):
        n_written = os.write(descriptor, remaining)
        if n_written == 0:
            msg = "nothing was taken"
            raise OSError(msg)
        remaining = remaining[n_written:]
