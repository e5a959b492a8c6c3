"""Hashes, and outputs that are there completely or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import blake3

__all__ = ["hash_file", "staged_folder", "staged_path"]


def hash_file(path: Path) -> str:
    """BLAKE3 of a file as hex; the file is memory-mapped, so its size costs no memory."""
    hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
    return hasher.update_mmap(path).hexdigest()


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
        Whether an existing `target` is deleted after the new one is complete.

    Raises
    ------
    OSError
        If `target` exists and `replace` is false, or the file system refuses.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    staging = target.with_name(f".{target.name}.{token}.partial")
    retired = target.with_name(f".{target.name}.{token}.old")
    try:
        yield staging
        for path in (*sorted(staging.rglob("*")), staging):
            _fsync(path)
        if target.exists() and not replace:
            raise FileExistsError(target)
        try:
            if target.exists():
                target.rename(retired)
            staging.rename(target)
        except BaseException:  # an interrupt between the two renames is no reason to lose the old one
            if retired.exists() and not target.exists():
                retired.rename(target)
            raise
        _fsync(target.parent)
    finally:
        _remove(staging)
        _remove(retired)


@contextmanager
def staged_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """As `staged_path`, with the sibling already made as an empty folder."""
    with staged_path(target, replace=replace) as staging:
        staging.mkdir()
        yield staging


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
