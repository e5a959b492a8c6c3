"""Files fetched over HTTP: streamed, tried again, resumed, checked, and kept for the next time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import blake3

from lexicell._files import hash_file, parse_json, staged_path
from lexicell._http import TRANSIENT, Backoff, connection_pool, retry_after, split_credentials
from lexicell._say import silent
from lexicell.errors import InputError, InputNotFoundError, LexicellError, WriteError

__all__ = ["Download", "download"]

#: A dropped connection costs at most this much of what had arrived.
_CHUNK = 1 << 15
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP})

Origin: TypeAlias = Literal["downloaded", "unchanged", "offline"]


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
    origin: Origin

    def discard(self) -> None:
        """Take the file out of the cache, since it is of no use."""
        for path in (self.path, _record_of(self.path)):
            path.unlink(missing_ok=True)


def download(
    url: str,
    folder: Path,
    *,
    refresh: bool = False,
    backoff: Backoff | None = None,
    progress: Callable[[int, int], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Download:
    """Fetch a file into a cache folder, or find that the copy there is still good.

    What has arrived stays in the folder when a download breaks off, also when the process is killed, and the
    next call goes on from there if the server's file is the same. One process at a time works in a folder.

    Parameters
    ----------
    url
        ``https://...`` or ``http://...``; a user name and password in it are sent, and shown nowhere.
    folder
        The cache; created if need be.
    refresh
        Whether to fetch anew whatever the folder holds.
    backoff
        When to try again; attempts are counted anew whenever more of the file has arrived.
    progress
        Called with (bytes there, bytes in all); both are the same where the server does not say how many.
    notify
        Called with one line at the start, before waiting, and where an earlier copy has to do.

    Raises
    ------
    InputError
        If `url` is none, or the server refuses it.
    InputNotFoundError
        If the server does not have it, or cannot be reached and the folder has no complete copy.
    WriteError
        If the folder cannot be written to.
    """
    address, credentials = split_credentials(url)
    path = folder / f"{blake3.blake3(address.encode()).hexdigest()[:8]}-{address.rsplit('/', 1)[-1]}"
    tell = notify or silent
    show = progress or silent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, tell):
            fetch = _Fetch(address, credentials, path, backoff or Backoff(), show, tell)
            if refresh:
                fetch.forget_part()
            with fetch.pool:
                return fetch.run(None if refresh else _held(address, path, tell))
    except LexicellError:
        raise
    except OSError as error:
        message = (
            f"{folder} cannot be written to ({error.strerror or error}); make room there, or set "
            "LEXICELL_CACHE to another folder, and run again: what has arrived is kept."
        )
        raise WriteError(message) from error


@dataclass(frozen=True)
class _Version:
    """What a server says about the version of a file that it sends."""

    url: str
    etag: str
    last_modified: str
    date: str
    size: int | None

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str]) -> _Version:
        length = headers.get("Content-Length", "")
        modified = headers.get("Last-Modified", "")
        return cls(
            url=url,
            etag=headers.get("ETag", ""),
            last_modified=modified,
            date=_iso_date(modified),
            size=int(length) if length.isdigit() else None,
        )

    @property
    def validator(self) -> str:
        """What If-Range takes: a weak ETag does not promise the same bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def continues(self, headers: Mapping[str, str], at: int) -> bool:
        """Whether a partial answer is this version's, from byte `at` on."""
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if span is None or int(span[1]) != at:
            return False
        if span[2] != "*" and self.size is not None and int(span[2]) != self.size:
            return False
        # Some servers ignore If-Range and send a part of whatever they have now.
        return all(
            not own or headers.get(name, own) == own
            for name, own in (("ETag", self.etag), ("Last-Modified", self.last_modified))
        )


class _TransientError(Exception):
    """The same request may succeed later."""

    def __init__(self, reason: str, asked: float | None = None) -> None:
        super().__init__(reason)
        self.asked = asked


class _Fetch:
    """One file on its way into the cache; the only one at work in the folder."""

    def __init__(
        self,
        url: str,
        credentials: str | None,
        path: Path,
        backoff: Backoff,
        show: Callable[[int, int], None],
        tell: Callable[[str], None],
    ) -> None:
        from importlib.metadata import version

        import urllib3

        self._url = url
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._backoff = backoff
        self._show = show
        self._tell = tell
        self._furthest = 0
        self.pool = connection_pool(url)
        self._headers = {"Accept-Encoding": "identity", "User-Agent": f"lexicell/{version('lexicell')}"}
        if credentials:
            self._headers.update(urllib3.make_headers(basic_auth=credentials))

    def run(self, copy: Download | None) -> Download:
        """Try until the file is there, or there is no hope; `copy` is an earlier one."""
        failures = 0
        self._furthest = started = self._arrived()[1]
        while True:
            reached = self._furthest
            try:
                return self._attempt(copy)
            except _TransientError as problem:
                failures = 1 if self._furthest > reached else failures + 1
                # With a copy, being offline is no reason to wait for half a minute.
                if copy is not None and self._furthest == started:
                    failures = self._backoff.attempts
                if failures < self._backoff.attempts:
                    seconds = self._backoff.seconds(failures, problem.asked)
                    self._tell(f"{self._url}: {problem}; trying again in {seconds:.0f} s")
                    time.sleep(seconds)
                    continue
                if copy is not None:
                    self._tell(f"{self._url}: {problem}; using the copy of {copy.date}")
                    return replace(copy, origin="offline")
                hint = " What has arrived is kept." if self._arrived()[1] else ""
                message = (
                    f"{self._url} could not be fetched ({problem}, {failures} times in a row); check the "
                    f"network and its proxy, and run again.{hint}"
                )
                raise InputNotFoundError(message) from problem.__cause__

    def forget_part(self) -> None:
        """Begin at the first byte."""
        for path in (self._part, _record_of(self._part)):
            path.unlink(missing_ok=True)

    def _arrived(self) -> tuple[_Version | None, int]:
        """Version and number of bytes that an earlier attempt left, where one can go on from there."""
        try:
            version = _Version(**parse_json(_record_of(self._part).read_bytes()))
            size = self._part.stat().st_size
        except (OSError, ValueError, TypeError):
            return None, 0
        if version.url != self._url or not version.validator or size > (version.size or size):
            return None, 0
        return (version, size) if size else (None, 0)

    def _attempt(self, copy: Download | None) -> Download:
        import urllib3

        version, size = self._arrived()
        if version is not None and size == version.size:
            return self._finish(version)
        headers = dict(self._headers)
        if version is not None:
            headers |= {"Range": f"bytes={size}-", "If-Range": version.validator}
        elif copy is not None:
            headers |= _conditions(copy)
        # Redirects are followed; whatever else goes wrong is tried again by `run`.
        redirects = urllib3.Retry(None, connect=False, read=False, redirect=5, status=False, other=False)
        try:
            response = self.pool.request(
                "GET", self._url, headers=headers, preload_content=False, retries=redirects
            )
            try:
                if response.status == 304 and copy is not None:
                    return replace(copy, origin="unchanged")
                if version is None or not _outdated(response, version, size):
                    return self._finish(self._take(response, version, size))
            finally:
                response.close()
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise self._problem(error) from error
        self.forget_part()
        return self._attempt(copy)

    def _take(self, response: Any, version: _Version | None, size: int) -> _Version:
        """Append the body of an answer to the bytes there are."""
        if response.status == 206 and version is not None:
            self._tell(f"going on with {self._url} at {_mb(size)}{_of(version.size)}")
        elif response.status == 200:
            self.forget_part()
            version, size = _Version.of(self._url, response.headers), 0
            _write_json(_record_of(self._part), asdict(version))
            self._tell(f"fetching {self._url}{_of(version.size, ' (', ')')}")
        else:
            raise self._refusal(response)
        with self._part.open("ab", buffering=0) as file:
            for chunk in response.stream(_CHUNK, decode_content=False):
                _write(file, chunk)
                size += len(chunk)
                self._furthest = max(self._furthest, size)
                self._show(size, size if version.size is None else version.size)
            os.fsync(file.fileno())
        if version.size is not None and size != version.size:
            message = f"{size:,} of {version.size:,} bytes arrived"
            raise _TransientError(message)
        return version

    def _finish(self, version: _Version) -> Download:
        date = version.date or datetime.now(tz=UTC).date().isoformat()
        done = Download(
            self._path, self._url, date, self._part.stat().st_size, hash_file(self._part), "downloaded"
        )
        # The record first: a kill before the next line leaves a complete part, which is then found.
        _write_json(
            _record_of(self._path),
            asdict(replace(version, date=date, size=done.bytes)) | {"blake3": done.blake3},
        )
        self._part.replace(self._path)
        self.forget_part()
        return done

    def _refusal(self, response: Any) -> Exception:
        status = response.status
        answer = f"the server answered {status} {response.reason or ''}".rstrip()
        if status in TRANSIENT:
            return _TransientError(answer, retry_after(response.headers, time.time()))
        if status in {404, 410}:
            return InputNotFoundError(f"{self._url} is not there ({answer}); check the base URL.")
        return InputError(f"{self._url} cannot be fetched: {answer}.")

    def _problem(self, error: Exception) -> Exception:
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            return InputError(
                f"{self._url} cannot be fetched: its certificate is not trusted ({root.verify_message}); "
                "if a proxy of your organisation reads along, set SSL_CERT_FILE to its certificates."
            )
        return _TransientError(getattr(root, "strerror", None) or str(root) or type(root).__name__)


def _root(error: BaseException) -> BaseException:
    """What urllib3 wrapped, which it keeps as the cause or as an argument."""
    inner = error.__cause__ or next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    return error if inner is None else _root(inner)


def _outdated(response: Any, version: _Version, size: int) -> bool:
    """Whether the server has other bytes now than those that are there."""
    return response.status == 416 or (
        response.status == 206 and not version.continues(response.headers, size)
    )


def _held(url: str, path: Path, tell: Callable[[str], None]) -> Download | None:
    """The complete copy in the cache, if its bytes are what they were."""
    try:
        record = parse_json(_record_of(path).read_bytes())
        copy = Download(path, record["url"], record["date"], record["size"], record["blake3"], "unchanged")
        if copy.url == url and path.stat().st_size == copy.bytes and hash_file(path) == copy.blake3:
            return copy
    except (OSError, ValueError, KeyError, TypeError):
        if not path.exists():
            return None
    tell(f"{path} is not as it was written; fetching it again")
    path.unlink(missing_ok=True)
    _record_of(path).unlink(missing_ok=True)
    return None


def _conditions(copy: Download) -> dict[str, str]:
    record = parse_json(_record_of(copy.path).read_bytes())
    conditions = {"If-None-Match": record["etag"], "If-Modified-Since": record["last_modified"]}
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


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with staged_path(path, replace=True) as staging:
        staging.write_text(json.dumps(value, indent=1))


def _write(file: Any, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:  # a file without a buffer may take less than it is given
        view = view[file.write(view) :]


def _iso_date(value: str) -> str:
    try:
        return parsedate_to_datetime(value).astimezone(UTC).date().isoformat()
    except ValueError:
        return ""


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _of(size: int | None, prefix: str = " of ", suffix: str = "") -> str:
    return "" if size is None else f"{prefix}{_mb(size)}{suffix}"
