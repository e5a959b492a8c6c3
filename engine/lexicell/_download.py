"""Files fetched over HTTP: streamed, tried again, checked, and kept for the next time.

Not by ``pooch``, which does not tell the date of a file, never asks whether one has changed, logs the
password in an address, and brings ``requests`` beside the ``urllib3`` that is here.
"""

from __future__ import annotations

import errno
import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import blake3

from lexicell._files import hash_file, parse_json
from lexicell._http import (
    FailedRequestError,
    TransientError,
    connection_pool,
    is_transient,
    send,
    split_credentials,
)
from lexicell._say import silent
from lexicell.errors import InputError, InputNotFoundError, LexicellError, WriteError

if TYPE_CHECKING:
    import urllib3

__all__ = ["Download", "download"]

_CHUNK = 1 << 16
_REDIRECTS = 5
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP})


@dataclass(frozen=True)
class Download:
    """A complete file from the network.

    Attributes
    ----------
    path
        Where it lies in the cache.
    url
        Where it is from, without credentials.
    date
        ISO date of its last change as the server says, or of the download where the server does not.
    bytes
        Its size.
    blake3
        Its hash as hex.
    origin
        "downloaded" now, "unchanged" at the server since an earlier time, or "offline": an earlier copy that
        could not be compared with the server's.
    """

    path: Path
    url: str
    date: str
    bytes: int
    blake3: str
    origin: Literal["downloaded", "unchanged", "offline"]

    def discard(self) -> None:
        """Take the file out of the cache, since it is of no use."""
        for path in (self.path, _record_of(self.path)):
            path.unlink(missing_ok=True)


def download(
    url: str,
    folder: Path,
    *,
    refresh: bool = False,
    progress: Callable[[int, int], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Download:
    """Fetch a file into a cache folder, or find that the copy there is still good.

    One process at a time works in a folder, and whatever ends it, files there are complete or not used.

    Parameters
    ----------
    url
        ``https://...`` or ``http://...``; a user name and password in it are sent, and shown nowhere.
    folder
        The cache; created if need be.
    refresh
        Whether to fetch anew whatever the folder holds.
    progress
        Called with (bytes there, bytes in all), from the first byte again where a connection broke; both
        are the same where the server does not say how many.
    notify
        Called with one line at the start, before waiting, and where an earlier copy has to do.

    Raises
    ------
    InputError
        If `url` is none, or the server refuses it.
    InputNotFoundError
        If the server does not have it, or cannot be reached and the folder has no copy.
    WriteError
        If the folder cannot be written to.
    """
    address, credentials = split_credentials(url)
    path = folder / f"{blake3.blake3(address.encode()).hexdigest()[:8]}-{address.rsplit('/', 1)[-1]}"
    tell = notify or silent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, tell):
            copy = None if refresh else _kept(address, path, tell)
            return _fetch(address, credentials, path, copy, progress or silent, tell)
    except LexicellError:
        raise
    except OSError as error:
        message = (
            f"{folder} cannot be written to ({error.strerror or error}); make room there, or set "
            "LEXICELL_CACHE to another folder, and run again."
        )
        raise WriteError(message) from error


def _fetch(
    url: str,
    credentials: str | None,
    path: Path,
    copy: Download | None,
    show: Callable[[int, int], None],
    tell: Callable[[str], None],
) -> Download:
    import urllib3

    def take(response: urllib3.BaseHTTPResponse) -> Download:
        if response.status == 304 and copy is not None:
            return replace(copy, origin="unchanged")
        _check_status(url, response)
        size = int(response.headers.get("Content-Length") or 0)
        tell(f"fetching {url} ({size / 1e6:,.1f} MB)" if size else f"fetching {url}")
        return _store(response, url, path, lambda done: show(done, size or done))

    headers = {"Accept-Encoding": "identity", "User-Agent": "lexicell"}
    if credentials:
        headers |= urllib3.make_headers(basic_auth=credentials)
    if copy is not None:
        headers |= _conditions(copy)
    try:
        with connection_pool(url) as pool:
            # With a copy, being offline is no reason to wait for half a minute.
            return send(
                pool, "GET", url, take, attempts=1 if copy else 6, redirects=_REDIRECTS,
                notify=lambda line: tell(f"{url}: {line}"), headers=headers,
            )  # fmt: skip
    except FailedRequestError as error:
        if copy is not None:
            tell(f"{url}: {error}; using the copy of {copy.date}")
            return replace(copy, origin="offline")
        if error.untrusted:
            message = (
                f"{url} cannot be fetched: its certificate is not trusted ({error}); if a proxy of your "
                "organisation reads along, set SSL_CERT_FILE to its certificates."
            )
            raise InputError(message) from error
        message = f"{url} could not be fetched ({error}); check the network and its proxy, and run again."
        raise InputNotFoundError(message) from error


def _check_status(url: str, response: urllib3.BaseHTTPResponse) -> None:
    answer = f"the server answered {response.status} {response.reason or ''}".rstrip()
    if is_transient(response.status):
        raise TransientError(answer)
    if response.status in {404, 410}:
        message = f"{url} is not there ({answer}); check the base URL."
        raise InputNotFoundError(message)
    if response.status != 200:
        message = f"{url} cannot be fetched: {answer}."
        raise InputError(message)


def _store(response: urllib3.BaseHTTPResponse, url: str, path: Path, show: Callable[[int], None]) -> Download:
    """Put the body of an answer, and what is known about it, into the cache."""
    part = path.with_name(f"{path.name}.part")
    size, digest = 0, blake3.blake3()
    try:
        with part.open("wb") as file:
            for chunk in response.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                show(size)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    modified = response.headers.get("Last-Modified", "")
    done = Download(path, url, _iso_date(modified), size, digest.hexdigest(), "downloaded")
    record = asdict(done) | {"etag": response.headers.get("ETag", ""), "last_modified": modified}
    _record_of(path).write_text(json.dumps(record, indent=1, default=str))
    return done


def _kept(url: str, path: Path, tell: Callable[[str], None]) -> Download | None:
    """The copy in the cache, if its bytes are what they were."""
    try:
        record = parse_json(_record_of(path).read_bytes())
        copy = Download(path, record["url"], record["date"], record["bytes"], record["blake3"], "unchanged")
        if copy.url == url and path.stat().st_size == copy.bytes and hash_file(path) == copy.blake3:
            return copy
    except (OSError, ValueError, KeyError, TypeError):
        if not path.exists():
            return None
    tell(f"{path} is not as it was written; fetching it again")
    return None


def _conditions(copy: Download) -> dict[str, str]:
    """Headers that ask for the file only if it is another one."""
    record = parse_json(_record_of(copy.path).read_bytes())
    conditions = {"If-None-Match": record.get("etag"), "If-Modified-Since": record.get("last_modified")}
    return {name: value for name, value in conditions.items() if value}


@contextmanager
def _alone(folder: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other process works in the folder; the lock goes with the process, however that ends."""
    with (folder / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting for another process that fetches into {folder}")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:  # some network file systems have no locks
                raise
        yield


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _iso_date(modified: str) -> str:
    try:
        return parsedate_to_datetime(modified).astimezone(UTC).date().isoformat()
    except ValueError:
        return datetime.now(tz=UTC).date().isoformat()
