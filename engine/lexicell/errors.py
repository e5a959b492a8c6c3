"""The exception tree: everything lexicell raises on purpose.

Each class is also the builtin a caller would expect, so ``except FileNotFoundError`` works, and each
carries the exit code that the command line ends with. Messages are one sentence: what is wrong,
where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

__all__ = [
    "CorruptDataError",
    "CountsError",
    "CoverageError",
    "GpuMemoryError",
    "InputError",
    "InputNotFoundError",
    "LexicellError",
    "MissingExtraError",
    "OutputExistsError",
    "PartialError",
    "ResourceError",
    "WriteError",
]


class LexicellError(Exception):
    """Base of all errors that lexicell raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle class and message: what other libraries make of two builtin bases can't be read again."""
        return type(self), self.args


class InputError(LexicellError, ValueError):
    """The input or an option cannot be used as given."""

    exit_code: ClassVar[int] = 2


class InputNotFoundError(InputError, FileNotFoundError):
    """An input path does not exist."""


class OutputExistsError(InputError, FileExistsError):
    """The output path exists and overwriting was not asked for."""


class CountsError(InputError):
    """The count matrix holds values that are not counts (negative, NaN, infinite, log-transformed)."""


class CoverageError(InputError):
    """Too few of the data set's genes or counts are described by the lexicon."""


class GpuMemoryError(LexicellError, MemoryError):
    """A GPU's memory does not hold what is embedded at once."""


class MissingExtraError(LexicellError, ImportError):
    """An optional dependency is not installed; the message holds the ``pip install`` line."""

    exit_code: ClassVar[int] = 2

    @classmethod
    def of(cls, extra: str, why: str) -> MissingExtraError:
        """Build the error for one extra of this package.

        Parameters
        ----------
        extra
            Name of the extra, as in ``pip install "lexicell[extra]"``.
        why
            What needs it, as the subject of a sentence ("The demo").
        """
        return cls(f'{why} needs packages that are not installed: pip install "lexicell[{extra}]"')


@contextmanager
def needing(extra: str, why: str) -> Iterator[None]:
    """Import what an extra brings; see `MissingExtraError.of`."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError.of(extra, why) from error


class CorruptDataError(LexicellError, OSError):
    """A file is truncated, changed or unreadable."""

    exit_code: ClassVar[int] = 4


class ResourceError(LexicellError, OSError):
    """The system's limit of open files is reached, or its memory does not suffice."""


class WriteError(LexicellError, OSError):
    """The output cannot be written: the disk is full, or the folder may not be written to."""


class PartialError(LexicellError, OSError):
    """Something is not complete, and what is there can be continued."""

    exit_code: ClassVar[int] = 3
