"""The cache folder, hashes, texts read whole, and outputs that are there completely or not at all."""

from __future__ import annotations

import gzip
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import blake3

from lexicell._limits import limit_reached
from lexicell.errors import (
    CorruptDataError,
    InputError,
    InputNotFoundError,
    LexicellError,
    OutputExistsError,
    WriteError,
)

__all__ = [
    "cache_folder",
    "check_new_file",
    "fsync",
    "hash_file",
    "is_taken",
    "read_utf8",
    "remove",
    "staged_folder",
    "staged_path",
]

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


def cache_folder() -> Path:
    """Where models, vectors and downloads are kept: ``$LEXICELL_CACHE``, or the user's own cache folder."""
    if explicit := os.environ.get("LEXICELL_CACHE"):
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lexicell"


def hash_file(path: Path) -> str:
    """BLAKE3 of a file as hex; the file is memory-mapped, so its size costs no memory.

    In this thread, at about a GB/s: BLAKE3's own threads do not outlive a fork, and whoever hashes after one
    would wait for them for ever.
    """
    return blake3.blake3().update_mmap(path).hexdigest()


def read_utf8(path: Path) -> bytes:
    """Read a text file, gzipped or not, and check that it is UTF-8; a byte order mark is left out.

    Raises
    ------
    InputNotFoundError
        If the file does not exist.
    InputError
        If it cannot be read, or is not UTF-8.
    CorruptDataError
        If it is not complete gzip.
    """
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP):
            data = gzip.decompress(data)
        elif path.suffix.lower() == ".gz":
            raise gzip.BadGzipFile("not a gzipped file")  # noqa: EM101
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{path}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); convert the file first."
        raise InputError(message) from error
    except FileNotFoundError as error:
        message = f"{path} does not exist."
        raise InputNotFoundError(message) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"{path} is not complete gzip ({error}); fetch it again."
        raise CorruptDataError(message) from error
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror or error})."
        raise limit_reached(str(path), error) or InputError(message) from error
    return data.removeprefix(_BOM)


def is_taken(path: Path) -> bool:
    """Whether something has this name; a link that leads nowhere has it too."""
    return path.exists() or path.is_symlink()


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputExistsError` unless a file may be written to `path`; a folder is never replaced by one."""
    if path.is_dir():
        message = f"{path} is a folder; name a file."
        raise OutputExistsError(message)
    if is_taken(path) and not overwrite:
        raise _exists(path)


@contextmanager
def staged_path(target: Path, *, replace: bool) -> Iterator[Path]:
    """Yield the name of a sibling that becomes `target` when the block ends well.

    The block makes a file or a folder of that name. It is on disk before the rename, so after a crash
    the target is the old one, the new one or (between two renames, with `replace`) absent, and never a
    mixture. When the block raises, the sibling is deleted and the target is as it was.

    Parameters
    ----------
    target
        The file or folder to create; its parent is created if need be.
    replace
        Whether an existing `target` is deleted after the new one is complete. Of a link that is the link
        itself, never what it points to; one that leads nowhere exists too.

    Raises
    ------
    OutputExistsError
        If `target` exists and `replace` is false.
    WriteError, ResourceError
        If the file system refuses, here or in the block.
    """
    try:
        with _staged(target, replace=replace) as staging:
            yield staging
    except LexicellError:
        raise
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        message = (
            f"{target} cannot be written ({reason}); make room or choose another place: nothing is left of it"
        )
        raise limit_reached(str(target), error) or WriteError(message) from error


@contextmanager
def staged_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """As `staged_path`, with the sibling already made as an empty folder."""
    with staged_path(target, replace=replace) as staging:
        staging.mkdir()
        yield staging


@contextmanager
def _staged(target: Path, *, replace: bool) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    staging = target.with_name(f".{target.name}.{token}.partial")
    retired = target.with_name(f".{target.name}.{token}.old")
    try:
        yield staging
        for path in (*sorted(staging.rglob("*")), staging):
            fsync(path)
        if is_taken(target) and not replace:
            raise _exists(target)
        try:
            if is_taken(target):
                target.rename(retired)
            staging.rename(target)
        except BaseException:  # an interrupt between the two renames is no reason to lose the old one
            if is_taken(retired) and not is_taken(target):
                retired.rename(target)
            raise
        fsync(target.parent)
    finally:
        remove(staging)
        remove(retired)


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(f"{path} exists; choose another name or overwrite it.")


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
