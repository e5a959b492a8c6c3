"""Vectors that were computed before: what makes a repeated, an extended or an interrupted build cheap."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np

from lexicell._files import cache_folder
from lexicell._say import silent
from lexicell.errors import LexicellError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from lexicell.lexicon.encoders.encoder import Encoder, ProgressCallback

__all__ = ["encode_cached", "known_vectors", "text_hash", "vector_folder"]

# Raise it when tables or hashes change; files of another version are left alone.
_FORMAT = 1
_CHECK_BYTES = 8
_TEXTS_PER_QUERY = 500
# Whatever ends the process loses at most as much.
_TEXTS_PER_COMMIT, _SECONDS_PER_COMMIT = 256, 2.0
_PATIENCE = 30.0  # seconds to wait for another process that writes
_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_MISMATCH}
_TABLES = (
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vectors "
    "(text BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum BLOB NOT NULL)",
)


def encode_cached(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    progress: ProgressCallback | None = None,
    notify: Callable[[str], None] | None = None,
    keep: bool = True,
) -> NDArray[np.float32]:
    """Encode texts, each different one once, and none that the same encoder has encoded before.

    Vectors are kept in ``vectors`` in the cache folder, in one SQLite file for each `cache_key`, and are
    written there while encoding goes on. An encoder whose `cache_key` is empty keeps none.

    Parameters
    ----------
    encoder
        What encodes.
    texts
        ``n`` texts.
    progress
        Called with (texts done, all texts); those known before are done at once.
    notify
        Called with one line on how many texts were known, and where vectors cannot be kept.
    keep
        Whether vectors are taken from the cache and kept there at all.

    Returns
    -------
    numpy.ndarray
        float32 ``[n, d]``, in the order of `texts`; bit for bit what the encoder gave, now or before.

    Raises
    ------
    LexicellError
        What the encoder raises; or if its vectors now have another length than before.
    """
    tell = notify or silent
    keys = [text_hash(text) for text in texts]
    repeats = Counter(keys)
    by_key = dict(zip(keys, texts, strict=True))
    cache = _VectorCache.of(encoder.cache_key if keep else "", tell)
    try:
        cached = cache.get(by_key)
        missing = [key for key in by_key if key not in cached]
        done = sum(repeats[key] for key in cached)
        if cached:
            tell(f"{done:,} of {len(texts):,} texts were encoded before")
            if progress is not None:
                progress(done, len(texts))

        def take(positions: Sequence[int], vectors: NDArray[np.float32]) -> None:
            nonlocal done
            batch_keys = [missing[position] for position in positions]
            done += sum(repeats[key] for key in batch_keys)
            cache.put(batch_keys, vectors)
            if progress is not None:
                progress(done, len(texts))

        fresh = encoder.encode([by_key[key] for key in missing], take) if missing or not texts else None
    except BaseException:
        cache.close()
        if cache.kept:
            tell(f"{cache.kept:,} new vectors are kept: the same command goes on from there")
        raise
    cache.close()
    if fresh is None:
        return np.stack([cached[key] for key in keys])
    lengths = {len(vector) for vector in cached.values()} - {fresh.shape[1]}
    if lengths:
        message = (
            f"{encoder.info.id} gives vectors of length {fresh.shape[1]}, and gave {lengths.pop()} before, "
            f"so it is another model now; delete {cache.path} to encode all texts anew."
        )
        raise LexicellError(message)
    rows = {key: row for row, key in enumerate(missing)}
    return np.stack([cached[key] if key in cached else fresh[rows[key]] for key in keys]) if texts else fresh


def known_vectors(encoder: Encoder, texts: Sequence[str]) -> tuple[set[str], int | None]:
    """Return which of `texts` have a vector, and the length of these; nothing is written."""
    cache = _VectorCache.of(encoder.cache_key, silent, peek=True)
    by_key = {text_hash(text): text for text in texts}
    cached = cache.get(by_key)
    cache.close()
    return {by_key[key] for key in cached}, next((len(vector) for vector in cached.values()), None)


def vector_folder() -> Path:
    """Where the vectors are."""
    return cache_folder() / "vectors"


def text_hash(text: str) -> bytes:
    """BLAKE3 of a text; two texts with the same one are the same."""
    return blake3.blake3(text.encode("utf-8", "surrogatepass")).digest()


@dataclass
class _VectorCache:
    """The vectors of one encoder; whatever is wrong with its file, encoding goes on."""

    path: Path
    key: str
    tell: Callable[[str], None]
    peek: bool
    kept: int = 0
    _database: sqlite3.Connection | None = None
    _waiting: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)
    _repaired: bool = False

    @classmethod
    def of(cls, key: str, tell: Callable[[str], None], *, peek: bool = False) -> _VectorCache:
        """Open the cache of the encoder with this key; with `peek`, read what is there and write nothing."""
        name = blake3.blake3(f"{_FORMAT}\n{key}".encode()).hexdigest()[:32]
        try:
            cache = cls(vector_folder() / f"{name}.sqlite", key, tell, peek)
        except RuntimeError:  # a user without a home
            return cls(Path(), "", tell, peek)
        if key and (cache.path.exists() or not peek):
            try:
                cache._open()
            except (sqlite3.Error, OSError) as error:
                cache._repair(error)
        return cache

    def get(self, keys: Iterable[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Vectors of those texts that have an undamaged one."""
        vectors: dict[bytes, NDArray[np.float32]] = {}
        all_keys = list(keys)
        for start in range(0, len(all_keys), _TEXTS_PER_QUERY):
            self._guarded(self._read, all_keys[start : start + _TEXTS_PER_QUERY], vectors)
        return vectors

    def put(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Keep vectors; they are on disk after a while, or after `flush`."""
        if self._database is None:
            return
        for key, vector in zip(keys, vectors, strict=True):
            content = np.asarray(vector, dtype="<f4").tobytes()
            self._waiting.append((key, content, self._checksum(key, content)))
        overdue = time.monotonic() - self._written > _SECONDS_PER_COMMIT
        if overdue or len(self._waiting) >= _TEXTS_PER_COMMIT:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            self._guarded(self._write)

    def close(self) -> None:
        """Write what is waiting, and let the file go."""
        self.flush()
        self._release()

    def _open(self) -> None:
        if self.peek:
            self._database = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The journal is one that is rolled back: WAL needs what the file systems of clusters cannot do.
        self._database = sqlite3.connect(self.path, timeout=_PATIENCE)
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                self._database.execute(statement)
            self._database.execute("INSERT OR IGNORE INTO about VALUES ('encoder', ?)", (self.key,))

    def _read(
        self, database: sqlite3.Connection, keys: Sequence[bytes], vectors: dict[bytes, NDArray[np.float32]]
    ) -> None:
        marks = ",".join("?" * len(keys))
        query = f"SELECT text, vector, checksum FROM vectors WHERE text IN ({marks})"  # noqa: S608
        for key, content, checksum in database.execute(query, keys):
            if isinstance(content, bytes) and checksum == self._checksum(key, content):
                vectors[key] = np.frombuffer(content, dtype="<f4").astype(np.float32)

    def _write(self, database: sqlite3.Connection) -> None:
        with database:  # commits, or rolls back
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", self._waiting)
        self.kept += len(self._waiting)
        self._waiting.clear()
        self._written = time.monotonic()

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        while self._database is not None:
            try:
                work(self._database, *args)
            except (sqlite3.Error, OSError) as error:
                if self._repair(error):
                    continue
            return

    def _repair(self, error: sqlite3.Error | OSError) -> bool:
        """Start a damaged file anew, and say so; without a file from here on where that is no help."""
        self._release()
        damaged = isinstance(error, sqlite3.Error) and _code(error) in _DAMAGE
        if damaged and not self._repaired and not self.peek:
            self._repaired = True
            try:
                self.path.unlink()
                self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)
                self._open()
            except (sqlite3.Error, OSError) as again:
                error = again
                self._release()
            else:
                self.tell("The cache of vectors was damaged and is begun anew")
                return True
        self._waiting.clear()
        why = error.strerror if isinstance(error, OSError) else str(error)
        self.tell(f"Vectors are not kept for a next time ({self.path}: {why})")
        return False

    def _release(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _checksum(self, key: bytes, content: bytes) -> bytes:
        """Of a vector, its text and its encoder: none of them can be exchanged or change unnoticed."""
        return blake3.blake3(b"\0".join((self.key.encode(), key, content))).digest()[:_CHECK_BYTES]


def _code(error: sqlite3.Error) -> int:
    """SQLite's own code, without its refinements; -1 where the error is not SQLite's."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF
