"""The inputs of one job, as people name them: paths, globs, lists of paths, folders of data sets."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lexicell._files import read_utf8, reading_file
from lexicell.counts.mtx import matrices_in
from lexicell.errors import InputError, InputNotFoundError

__all__ = ["expand_inputs"]

_DATA_SETS = (".h5ad", ".h5mu", ".zarr", ".h5")
_ZARR = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


def expand_inputs(args: Sequence[Any]) -> list[str]:
    """List the data sets that some arguments name, in their order.

    Parameters
    ----------
    args
        Each a data set; a URL; a glob (``"atlas/**/*.h5ad"``); a ``.txt`` with one of these a line, where
        blank lines and lines that begin with ``#`` are skipped and relative paths start from the list's
        folder; or a folder of ``.h5ad``, ``.h5mu``, ``.zarr`` and 10x ``.h5``, as CELLxGENE publishes them.
        Globs and folders are sorted by name; hidden files of theirs are none of the inputs.

    Returns
    -------
    At least one path or URL; whether it can be read shows when it is opened.

    Raises
    ------
    InputNotFoundError
        A list does not exist, or a glob matches nothing.
    InputError
        A list is empty, an input is named twice, or nothing is given.
    CorruptDataError
        A list is not complete gzip.
    """
    names: list[str] = []
    for arg in args:
        if not isinstance(arg, str | os.PathLike):
            msg = (
                f"several data sets are given by their paths, not as {type(arg).__name__}; see anndata.concat"
            )
            raise InputError(msg)
        with reading_file(os.fspath(arg), "look at its permissions", InputError):
            names += _expand(os.fspath(arg))
    if not names:
        msg = "no input is given; name a data set, a glob, a .txt with one path a line, or a folder"
        raise InputError(msg)
    identities: set[str] = set()
    for name in names:
        # Two names of one file would count its cells twice, which is never meant.
        identity = name if "://" in name else os.path.realpath(name)
        if identity in identities:
            msg = f"{name} is given more than once; name each input once"
            raise InputError(msg)
        identities.add(identity)
    return names


def _expand(arg: str) -> Iterator[str]:
    path = Path(arg)
    is_folder = os.path.isdir(arg)  # noqa: PTH112 -- Path.is_dir raises for names that no file can have
    if "://" in arg:
        yield arg
    elif path.suffix == ".txt" and not is_folder:
        yield from _listed(path)
    elif is_folder:
        yield from _folder(path, arg)
    elif glob.has_magic(arg) and not os.path.exists(arg):  # noqa: PTH110 -- as above
        matches = sorted(glob.glob(arg, recursive=True))  # noqa: PTH207 -- Path.glob takes no absolute pattern
        if not matches:
            msg = f"{arg}: no file or folder matches; check the path"
            raise InputNotFoundError(msg)
        yield from matches
    else:
        yield arg


def _listed(path: Path) -> Iterator[str]:
    lines = [line.strip() for line in read_utf8(path).decode().splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        msg = f"{path}: the list is empty; write one path a line"
        raise InputError(msg)
    for name in names:
        if Path(name).suffix == ".txt":
            msg = f"{path} names {name}, another list; name data sets in it"
            raise InputError(msg)
        if "://" in name:
            yield name
            continue
        joined = os.path.join(path.parent, name)  # noqa: PTH118 -- kept as written
        if not glob.has_magic(name) and not os.path.exists(joined):  # noqa: PTH110 -- a name, not yet a path
            msg = f"{path} names {name}, which does not exist; a list has one path on each line"
            raise InputNotFoundError(msg)
        yield from _expand(joined)


def _folder(path: Path, arg: str) -> Iterator[str]:
    names = sorted(os.listdir(path))  # noqa: PTH208 -- names are what is looked at
    is_data_set = any(name in _ZARR for name in names) or matrices_in(path)
    inside = [] if is_data_set else [name for name in names if name.endswith(_DATA_SETS) and name[0] != "."]
    if not inside:  # itself a data set, or what `open_counts` complains of
        yield arg
    for name in inside:
        yield os.path.join(arg, name)  # noqa: PTH118 -- kept as written
