"""What a fault met in reading becomes: an error that names the file and the part of it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexicell._files import reading_file
from lexicell._limits import limit_reached
from lexicell.containers.remote import network_fault
from lexicell.errors import CorruptDataError, InputError, LexicellError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Where", "is_unknown", "reading"]

_RESTORE = "the file is truncated or damaged, copy or write it again"
#: How zarr, numcodecs, HDF5 and anndata say that something is of a kind they don't know.
_UNKNOWN = re.compile(
    r"No Zarr data type|Unknown (codec|chunk)|codec .*not available|disallowed extra fields"
    r"|No read method registered|node_type|filter .*not registered|can't open directory \(.*plugin",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Where:
    """What a message is about.

    Attributes
    ----------
    label
        The file, or "AnnData".
    what
        The part of it: "X", "rows 0:20 of X".
    """

    label: str
    what: str

    def __str__(self) -> str:
        return f"{self.label}: {self.what}"

    def rows(self, start: int, stop: int) -> Where:
        """Name some rows of a matrix."""
        return Where(self.label, f"rows {start}:{stop} of {self.what}")

    def corrupt(self, fault: str) -> CorruptDataError:
        """Build the error for a damaged file; `fault` continues the sentence that `what` begins."""
        return CorruptDataError(f"{self} {fault}; {_RESTORE}")


@contextmanager
def reading(where: Where) -> Iterator[None]:
    """Turn what a storage library raises while reading into a CorruptDataError; see `reading_file`.

    Where the network or a kind that is not known here is the reason, the error says that.
    """
    with reading_file(str(where), _RESTORE):
        try:
            yield
        except LexicellError:
            raise
        except Exception as exc:
            if (fault := limit_reached(str(where), exc) or network_fault(where.label, exc)) is not None:
                raise fault from exc
            if is_unknown(exc):
                reason = next((line.strip() for line in str(exc).splitlines() if line.strip()), "")[:160]
                msg = (
                    f"{where} is stored in a way that is not known here ({reason}); update zarr, anndata and "
                    "hdf5plugin, or write it without"
                )
                raise InputError(msg) from exc
            raise


def is_unknown(error: BaseException) -> bool:
    """Whether a library says that it doesn't know a type, a codec or an encoding: no sign of damage."""
    causes = (error, error.__cause__, error.__context__)
    return any(cause is not None and _UNKNOWN.search(str(cause)) for cause in causes)
