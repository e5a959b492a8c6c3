"""What the system allows a process, and the error where that is not enough."""

from __future__ import annotations

import errno
from importlib import import_module

from lexicell.errors import ResourceError

__all__ = ["limit_reached", "open_file_limit"]

#: Kinds of limits: numbers of the error, and the system's words, which libraries pass on without a number.
_FILES = ((errno.EMFILE, errno.ENFILE), ("Too many open files",))
_MEMORY = ((errno.ENOMEM,), ("Cannot allocate memory",))


def open_file_limit() -> int | None:
    """Files that this process may open (``ulimit -n``); None where the system does not say."""
    try:
        resource = import_module("resource")
    except ModuleNotFoundError:  # Windows
        return None
    limit: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def limit_reached(what: str, error: BaseException) -> ResourceError | None:
    """Say in one sentence which limit an error comes from; None where it comes from none.

    Parameters
    ----------
    what
        What could not be done for it: a file, or a part of one.
    error
        What was raised. Its causes count too.
    """
    cause: BaseException | None = error
    while cause is not None:
        if _is_of(_FILES, cause):
            limit = open_file_limit() or "unknown"
            msg = (
                f"{what}: too many files are open (the limit is {limit}); raise it with `ulimit -n`, or use "
                "fewer workers"
            )
            return ResourceError(msg)
        if isinstance(cause, MemoryError) or _is_of(_MEMORY, cause):
            msg = f"{what}: memory does not suffice; use fewer workers, or a machine with more"
            return ResourceError(msg)
        cause = cause.__cause__ or cause.__context__
    return None


def _is_of(kind: tuple[tuple[int, ...], tuple[str, ...]], error: BaseException) -> bool:
    numbers, words = kind
    return getattr(error, "errno", None) in numbers or any(word in str(error) for word in words)
