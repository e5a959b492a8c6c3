"""Machine code on disk: Numba's cache, which a damaged file does not break."""

from __future__ import annotations

import hashlib
import logging
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["MachineCode"]

_DIGEST = 16
_LOGGER = logging.getLogger("lexicell_kernels")


class _CheckedFiles(IndexDataCacheFile):  # type: ignore[misc]  # Numba has no types
    """An index and one file for each signature, each behind a checksum.

    Without one, a truncated file raises whatever unpickling it raises, at every start, and a flipped bit in
    machine code is run. The key lies with the code, since two processes may give one name to two signatures.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        kept = super().load(key)
        return None if kept is None or kept[0] != key else kept[1]

    def _load_index(self) -> dict[Any, str]:
        try:
            version, stamp, names = _read(Path(self._index_path))
        except FileNotFoundError:
            return {}
        return names if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        with self._open_for_write(self._index_path) as file:
            file.write(self._dump((self._version, self._source_stamp, overloads)))

    def _load_data(self, name: str) -> Any:
        return _read(Path(self._data_path(name)))

    def _dump(self, obj: Any) -> bytes:
        content: bytes = super()._dump(obj)
        return _digest(content) + content

    def remove(self) -> None:
        """Delete all files of the function."""
        for pattern in (self._index_name, self._data_name_pattern.replace("{number:d}", "*")):
            for file in Path(self._cache_path).glob(pattern):
                file.unlink(missing_ok=True)


class MachineCode(FunctionCache):  # type: ignore[misc]  # Numba has no types
    """Numba's cache of one function; whatever is wrong with its files, the function is compiled and runs.

    Raises
    ------
    RuntimeError
        If there is no folder that it may write to.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        # Files of Numba's own have no checksum, so these have another name.
        self._cache_file: _CheckedFiles = _CheckedFiles(
            self._cache_path, f"{self._impl.filename_base}-checked", self._impl.locator.get_source_stamp()
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Read the code for a signature; None where there is none, or none that can be used."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception as error:  # unpickling raises anything
            try:
                self._cache_file.remove()
                remedy = "it is deleted and compiled anew"
            except OSError:
                self.disable()
                remedy = "it cannot be deleted, so each start compiles anew: delete the folder"
            self._tell(f"is damaged ({error or type(error).__name__}); {remedy}")
            return None
        if found is None:
            _LOGGER.info("compiling the kernel, once on this machine; it takes about ten seconds")
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the code for a signature, where that is possible."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.disable()
            self._tell(
                f"cannot be kept ({error.strerror or error}), so each start compiles anew; "
                "set NUMBA_CACHE_DIR to a folder with room that can be written to"
            )

    def _tell(self, what: str) -> None:
        warnings.warn(f"machine code in {self.cache_path} {what}", RuntimeWarning, stacklevel=3)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()


def _read(file: Path) -> Any:
    content = file.read_bytes()
    if _digest(content[_DIGEST:]) != content[:_DIGEST]:
        message = f"checksum of {file.name}"
        raise ValueError(message)
    return pickle.loads(content[_DIGEST:])  # noqa: S301 - written by this user's own processes, as Numba does
