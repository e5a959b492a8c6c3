"""The cache folder, hashes, files that are read or named in an error, outputs that are whole or absent."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blake3

from lexicell._limits import limit_reached
from lexicell._say import listed, spreadsheet_cells, without_mark
from lexicell.errors import (
    CorruptDataError,
    InputError,
    InputNotFoundError,
    LexicellError,
    OutputExistsError,
    WriteError,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "cache_folder",
    "check_growth",
    "check_new_file",
    "check_new_folder",
    "check_table",
    "fsync",
    "hash_file",
    "is_taken",
    "parse_json",
    "read_cells",
    "read_file",
    "read_maybe_gzipped",
    "read_utf8",
    "reading_file",
    "remove",
    "staged_folder",
    "staged_path",
    "write_cells",
]

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
#: Suffixes of tables.
_TABLES = (".csv", ".parquet")
_SHOWN = 160  # characters of what a library says
#: Real tables and texts shrink 3 to 50 times; what is smaller than this may shrink as it likes.
_MAX_GROWTH, _SMALL = 100, 16 << 20


def cache_folder() -> Path:
    """Where models, vectors and downloads are kept: ``$LEXICELL_CACHE``, or the user's own cache folder."""
    if explicit := os.environ.get("LEXICELL_CACHE"):
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lexicell"


def hash_file(path: Path) -> str:
    """BLAKE3 of a file as hex, at about a GB/s.

    In this thread: BLAKE3's own threads do not outlive a fork, and a hash after one would wait for them for
    ever. Read and not mapped: a disk's error in a mapped page ends the process.
    """
    make: Any = blake3.blake3  # whose hexdigest takes more than hashlib's
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, make).hexdigest()


@contextmanager
def reading_file(
    path: str | Path, remedy: str, kind: type[LexicellError] = CorruptDataError
) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one error that names it.

    Libraries raise almost anything for unexpected content, so nothing is listed here. A limit of the system,
    memory or open files, is no damage, and gets the file's name only.

    Parameters
    ----------
    path
        What is read, for the message.
    remedy
        What to do about it; ends a sentence.
    kind
        Class of the error.
    """
    try:
        yield
    except LexicellError:
        raise
    except Exception as error:
        if (limit := limit_reached(str(path), error)) is not None:
            raise limit from error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        line = next((line.strip() for line in reason.splitlines() if line.strip()), "")[:_SHOWN]
        message = f"{path} cannot be read ({type(error).__name__}{line and ': '}{line}); {remedy}"
        raise kind(message) from error


def read_file(path: Path) -> bytes:
    """Return the content of a regular file; anything else (a pipe) is an OSError, and not waited for."""
    if path.exists() and not path.is_file():
        message = "not a regular file"
        raise OSError(message)
    return path.read_bytes()


def check_growth(packed: int, size: int) -> None:
    """Raise ValueError where `packed` compressed bytes become `size`, more than real files do: a bomb."""
    if size > max(_MAX_GROWTH * packed, _SMALL):
        message = f"{packed:,} bytes expand more than {_MAX_GROWTH} times"
        raise ValueError(message)


def read_maybe_gzipped(path: Path) -> bytes:
    """Return the content of a regular file, decompressed where it is gzip or is called so.

    Raises
    ------
    OSError, EOFError, ValueError, zlib.error
        It can't be read, is not complete gzip, or expands to more than real files do.
    """
    data = read_file(path)
    if not data.startswith(_GZIP) and path.suffix.lower() != ".gz":
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        text = file.read(max(_MAX_GROWTH * len(data), _SMALL) + 1)
    check_growth(len(data), len(text))
    return text


def parse_json(text: str | bytes) -> Any:
    """Parse JSON as `json.loads` does, with a ValueError for nesting too deep for it too."""
    try:
        return json.loads(text)
    except RecursionError as error:
        message = "nested too deeply"
        raise ValueError(message) from error


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
        data = read_maybe_gzipped(path)
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{path}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); convert the file first."
        raise InputError(message) from error
    except FileNotFoundError as error:
        message = f"{path} does not exist."
        raise InputNotFoundError(message) from error
    except (EOFError, gzip.BadGzipFile, ValueError, zlib.error) as error:
        message = f"{path} is not complete gzip ({error}); fetch it again."
        raise CorruptDataError(message) from error
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror or error})."
        raise limit_reached(str(path), error) or InputError(message) from error
    return data.removeprefix(_BOM)


def check_table(path: str | Path, what: str, *, overwrite: bool) -> Path:
    """See that a table can be written, before the work is done.

    Parameters
    ----------
    path
        ``.csv`` or ``.parquet``.
    what
        The table holds, for the message.
    overwrite
        Whether a file of this name is replaced.

    Raises
    ------
    InputError
        The suffix is neither.
    OutputExistsError
        There is such a file, and it is not to be replaced.
    """
    target = Path(path)
    if target.suffix not in _TABLES:
        message = f"{target}: {what} are written to {' or '.join(_TABLES)}; name such a file or a folder"
        raise InputError(message)
    check_new_file(target, overwrite=overwrite)
    return target


def write_cells(cells: pd.DataFrame, path: Path, suffix: str) -> None:
    """Write a table of cells, whose index is their names, as ``suffix`` says: ``.csv`` or ``.parquet``.

    In a ``.csv`` text that a spreadsheet would run as a formula begins with ``'``.
    """
    if suffix == ".csv":
        spreadsheet_cells(cells).to_csv(path, index_label="cell", lineterminator="\n")
    else:
        cells.rename_axis("cell").reset_index().to_parquet(path, index=False)


def read_cells(path: Path) -> pd.DataFrame:
    """Read what `write_cells` wrote, index = names as text; what was marked for spreadsheets is as it was.

    Raises
    ------
    InputError
        It is no ``.csv`` or ``.parquet``, or has no column "cell".
    """
    import pandas as pd

    if path.suffix not in _TABLES:
        message = f"{path}: tables of cells are {' or '.join(_TABLES)}; name such a file"
        raise InputError(message)
    with reading_file(path, "name a table that lexicell wrote", InputError):
        if path.suffix == ".csv":
            kinds = dict.fromkeys(("cell", "label", "second"), str)  # a label may look like a number
            table = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])
            texts = table.select_dtypes(exclude=["number", "bool"]).columns
            table = table.assign(**{name: table[name].map(without_mark) for name in texts})
        else:
            table = pd.read_parquet(path)
    if "cell" not in table:
        message = f"{path} has no column cell with names; it has {listed(map(str, table.columns))}"
        raise InputError(message)
    names = table.pop("cell").astype(str)
    return table.set_axis(pd.Index(names.array, dtype=object), axis=0)


def is_taken(path: Path) -> bool:
    """Whether something has this name; a link that leads nowhere has it too."""
    return path.exists() or path.is_symlink()


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputExistsError` unless a file may be written to `path`; a folder is never replaced by one."""
    with _writing(path):
        if path.is_dir():
            message = f"{path} is a folder; name a file."
            raise OutputExistsError(message)
        if is_taken(path) and not overwrite:
            raise _exists(path)


def check_new_folder(path: Path, holds: str, what: str, *, overwrite: bool) -> None:
    """Raise `OutputExistsError` unless a folder may be written to `path`.

    Only a folder with a file called `holds` is ever replaced; without it, it is no `what` ("lexicon").
    """
    with _writing(path):
        if not is_taken(path):
            return
        if not overwrite:
            raise _exists(path)
        if not (path / holds).is_file():
            message = f"{path} is not a {what}, so it is not overwritten; choose another name."
            raise OutputExistsError(message)


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
    with _writing(target), _staged(target, replace=replace) as staging:
        yield staging


@contextmanager
def staged_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """As `staged_path`, with the sibling already made as an empty folder."""
    with staged_path(target, replace=replace) as staging:
        staging.mkdir()
        yield staging


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except LexicellError:
        raise
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        message = (
            f"{target} cannot be written ({reason}); make room or choose another place: nothing is left of it"
        )
        raise limit_reached(str(target), error) or WriteError(message) from error


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
