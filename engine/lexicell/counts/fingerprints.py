"""Whether an input is still the one that a run began with, checked without reading it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3

from lexicell._limits import limit_reached
from lexicell.containers.faults import Where, reading
from lexicell.containers.remote import is_url, network_fault, open_store
from lexicell.counts.mtx import find_mtx, tables_of
from lexicell.errors import InputError, InputNotFoundError

__all__ = ["Fingerprint", "fingerprint"]

#: Key within the input, bytes, and what changes whenever the file is written.
_Entry = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What some inputs are made of.

    Attributes
    ----------
    files, bytes
        How many files or objects, and their sizes together.
    state
        BLAKE3 over name, size and time of writing (or entity tag) of each, as hex. Moving or copying a whole
        input does not change it as long as the times are kept; writing to any of its files does.
    """

    files: int
    bytes: int
    state: str


def fingerprint(locations: str | Path | Sequence[str | Path], *, follow_links: bool = False) -> Fingerprint:
    """Take the fingerprint of one input, or of several in their order. No content is read.

    Parameters
    ----------
    locations
        Path of a file, of a ``.mtx`` or its folder (matrix and tables count, other files don't), of a Zarr
        folder; or URL of a Zarr, whose objects are listed. A web server lists nothing: there it is the
        metadata at the root that count.
    follow_links
        Whether the files count too in which parts of an HDF5 file lie.

    Raises
    ------
    InputNotFoundError
        Nothing is there.
    InputError
        It may not be looked at, or the server refuses.
    """
    listed = [locations] if isinstance(locations, (str, os.PathLike)) else list(locations)
    files = size = 0
    hasher = blake3.blake3()
    for location in listed:
        digest = blake3.blake3()
        for key, n_bytes, stamp in _entries(location, follow_links=follow_links):
            files, size = files + 1, size + n_bytes
            digest.update(f"{key}\0{n_bytes}\0{stamp}\n".encode("utf-8", "surrogateescape"))
        hasher.update(digest.digest())
    return Fingerprint(files, size, hasher.hexdigest())


def _entries(location: str | Path, *, follow_links: bool) -> Iterator[_Entry]:
    """Files of one input in an order that only depends on their names."""
    if isinstance(location, str) and is_url(location):
        yield from sorted(_objects(location))
        return
    path = Path(location)
    try:
        is_folder = path.is_dir()
        matrix = find_mtx(path) if is_folder else path if path.name.endswith((".mtx", ".mtx.gz")) else None
        if matrix is not None:
            yield from (_entry(file, file.name) for file in (matrix, *tables_of(matrix)))
        elif is_folder:
            yield from _tree(path, "")
        else:
            yield _entry(path, "")
            if follow_links:
                yield from _linked(path)
    except FileNotFoundError as exc:
        msg = f"{exc.filename}: no such file or folder; check the path"
        raise InputNotFoundError(msg) from exc
    except PermissionError as exc:
        msg = f"{exc.filename}: no permission to read it; change its mode or its owner"
        raise InputError(msg) from exc
    except OSError as exc:
        msg = f"{path}: its files cannot be listed ({exc.strerror}); see whether a link leads in a circle"
        raise limit_reached(str(path), exc) or InputError(msg) from exc


def _entry(file: os.PathLike[str], key: str) -> _Entry:
    status = os.stat(file)  # noqa: PTH116 -- of a Path or of a DirEntry
    return key, status.st_size, str(status.st_mtime_ns)


def _linked(path: Path) -> list[_Entry]:
    import h5py

    if not h5py.is_hdf5(path):
        return []
    from lexicell.containers.h5group import outside_files

    with reading(Where(str(path), "what it links to")):
        return [_entry(Path(file), os.path.relpath(file, path.parent)) for file in outside_files(path)]


def _tree(folder: os.PathLike[str], prefix: str) -> Iterator[_Entry]:
    # One folder's names at a time: a store can have millions of chunks.
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir():
            yield from _tree(entry, f"{prefix}{entry.name}/")
        else:
            yield _entry(entry, prefix + entry.name)


def _objects(url: str) -> list[_Entry]:
    store: Any = open_store(url, read_only=True)
    import obstore

    try:
        if type(store.store).__name__ == "HTTPStore":
            metadata = _heads(store.store, ("zarr.json", ".zmetadata", ".zgroup"))
        else:
            metadata = [meta for batch in obstore.list(store.store) for meta in batch]
    except FileNotFoundError:
        metadata = []
    except Exception as exc:
        fault = network_fault(url, exc)
        if fault is None:
            raise
        raise fault from exc
    if not metadata:
        msg = f"{url}: nothing is there; check the URL"
        raise InputNotFoundError(msg)
    return [
        (meta["path"], meta["size"], meta["e_tag"] or meta["last_modified"].isoformat()) for meta in metadata
    ]


def _heads(store: Any, names: Sequence[str]) -> list[Any]:
    import obstore

    metadata = []
    for name in names:
        with suppress(FileNotFoundError):
            metadata.append(obstore.head(store, name))
    return metadata
