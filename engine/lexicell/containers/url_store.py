"""zarr's store of objects behind a URL, which a forked process refuses instead of waiting for ever."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from zarr.storage import ObjectStore

from lexicell.errors import InputError

__all__ = ["UrlStore", "check_process"]


@cache
def _first_process() -> int:
    """Process that used the network first: a child made by fork has this number, but not the threads."""
    return os.getpid()


def check_process(url: str) -> None:
    """Raise InputError in a process that was forked from one that had used a URL."""
    if _first_process() != os.getpid():
        msg = (
            f"{url}: this process was forked from one that had used a URL, and lacks its network threads; "
            "start processes with 'spawn' or 'forkserver', or open no URL before"
        )
        raise InputError(msg)


class UrlStore(ObjectStore[Any]):
    """As its base, with one check before each request.

    Parameters
    ----------
    store
        Of obstore.
    read_only
        Whether writing is refused.
    """

    def __init__(self, store: Any, *, read_only: bool = False) -> None:
        super().__init__(store, read_only=read_only)

    @property
    def store(self) -> Any:
        """The store of obstore."""
        check_process(str(self._bucket))
        return self._bucket

    @store.setter
    def store(self, store: Any) -> None:
        self._bucket = store

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._bucket, self.read_only)


def _again(store: Any, read_only: bool) -> UrlStore:  # noqa: FBT001
    return UrlStore(store, read_only=read_only)
