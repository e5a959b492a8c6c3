"""What downloads and services share: one pool of connections, and when to try again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from lexicell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TRANSIENT", "Backoff", "connection_pool", "read_body", "retry_after", "split_credentials"]

#: Answers after which the same request may succeed later.
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Backoff:
    """How long to wait before each further attempt: doubling, with jitter, as long as the server says.

    Attributes
    ----------
    attempts
        Attempts in all without progress, the first included.
    first, longest
        Seconds before the second attempt, and at most; a server may ask for more, up to `patience`.
    patience
        Longest time in seconds that a server may ask for.
    seed
        Of the jitter, which moves nothing but moments.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 60.0
    patience: float = 300.0
    seed: int | None = None

    def seconds(self, attempt: int, asked: float | None = None) -> float:
        """Seconds to wait after the `attempt`-th failure in a row, from 1; `asked` is the server's demand."""
        wait = min(self.longest, self.first * 2.0 ** (attempt - 1))
        seed = None if self.seed is None else self.seed + attempt
        jittered = wait * random.Random(seed).uniform(0.5, 1.0)  # noqa: S311
        return max(jittered, min(asked, self.patience)) if asked is not None else jittered


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the header Retry-After asks for, or None; `now` is in seconds since 1970."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def split_credentials(url: str) -> tuple[str, str | None]:
    """Split an address into what may be shown and ``user:password``, None without a user.

    Raises
    ------
    InputError
        If `url` is no complete http or https address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in {"http", "https"}:
        typed = url.rpartition("@")[2]  # a password is no part of a message
        message = (
            f"{typed!r} is no address that can be fetched from; it should begin with https:// or http://."
        )
        raise InputError(message)
    shown = f"[{host}]" if ":" in host else host
    bare = parts._replace(netloc=shown if port is None else f"{shown}:{port}", fragment="")
    credentials = unquote(f"{parts.username}:{parts.password or ''}") if parts.username else None
    return urlunsplit(bare), credentials


def read_body(response: Any, most: int) -> bytes | None:
    """Read an answer that `urllib3` did not read, or None if it has more than `most` bytes."""
    parts, size = [], 0
    for part in response.stream(1 << 16):
        parts.append(part)
        size += len(part)
        if size > most:
            response.close()
            return None
    response.release_conn()
    return b"".join(parts)


def connection_pool(url: str, *, connections: int = 1, timeout: float = 60.0) -> Any:
    """Return a ``urllib3`` pool manager for requests to the host of `url`, through its proxy if there is one.

    Parameters
    ----------
    url
        Any address on the host.
    connections
        Connections kept open.
    timeout
        Seconds to wait for a connection, and for each next part of an answer.

    Raises
    ------
    InputError
        If the environment names a proxy that is no HTTP proxy.
    """
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    options: dict[str, Any] = {
        "maxsize": connections,
        "block": True,
        "retries": False,
        "timeout": urllib3.Timeout(connect=min(timeout, 30.0), read=timeout),
    }
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return urllib3.PoolManager(**options)
    # curl takes "host:3128" too, so people write it.
    address, credentials = split_credentials(proxy if "://" in proxy else f"http://{proxy}")
    headers = urllib3.make_headers(proxy_basic_auth=credentials) if credentials else None
    return urllib3.ProxyManager(address, proxy_headers=headers, **options)
