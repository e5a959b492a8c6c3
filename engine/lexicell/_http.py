"""What downloads and services share: a pool of connections, and asking again where that may help.

`send` asks again rather than ``urllib3.Retry`` since a body may break off while it is read, a used-up quota
answers as a rate limit does and does not pass, and people are told about pauses.
"""

from __future__ import annotations

import itertools
import random
import ssl
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from lexicell._say import silent
from lexicell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

__all__ = [
    "FailedRequestError",
    "TransientError",
    "connection_pool",
    "is_transient",
    "send",
    "split_credentials",
]

T = TypeVar("T")

# Answers after which the same request may succeed later; 529 says "overloaded" at some services.
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_TRIES_TO_CONNECT = 3
_LONGEST_PAUSE = 60.0
_PATIENCE = 300.0  # a server may ask for longer pauses, up to this


class TransientError(Exception):
    """The same request may succeed later."""


class FailedRequestError(Exception):
    """A request got no answer that can be used; the message is a clause without the address.

    Attributes
    ----------
    untrusted
        Whether it was not sent, since the server's certificate is not trusted.
    """

    def __init__(self, why: str, *, untrusted: bool = False) -> None:
        super().__init__(why)
        self.untrusted = untrusted


def is_transient(status: int) -> bool:
    """Whether a request that got this status may succeed later."""
    return status in _TRANSIENT


def send(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    take: Callable[[Any], T],
    *,
    attempts: int = 6,
    redirects: int = 0,
    notify: Callable[[str], None] = silent,
    **request: Any,
) -> T:
    """Send a request, again after pauses where that may help, and return what `take` makes of the answer.

    Parameters
    ----------
    pool, method, url, request
        As for ``urllib3``.
    take
        Called with an answer whose body is not yet read; raises `TransientError` where asking again may
        help, as a body that breaks off does.
    attempts
        How often to ask at most.
    redirects
        How many to follow.
    notify
        Called with one clause before each pause.

    Raises
    ------
    FailedRequestError
        If there is no hope left. No error behind it holds an address.
    """
    from urllib3 import Retry
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, InvalidHeader

    follow = Retry(redirects, connect=False, read=False, status=False, other=False) if redirects else False
    for attempt in itertools.count(1):
        most, asked, untrusted = attempts, 0.0, False
        try:
            response = pool.request(
                method, url, preload_content=False, retries=follow, redirect=bool(redirects), **request
            )
            try:
                return take(response)
            except TransientError:
                asked = Retry().get_retry_after(response) or 0.0
                raise
            finally:
                # A body that was read to its end has left the connection open for the next request.
                response.close()
                response.release_conn()
        except InvalidHeader:
            why = "the server says when to try again in a way that cannot be read"
        except TransientError as error:
            why = str(error)
        except HTTPError as error:
            cause = _cause(error)
            untrusted = isinstance(cause, ssl.SSLCertVerificationError)
            why = getattr(cause, "verify_message" if untrusted else "strerror", None) or str(cause)
            if isinstance(error, ConnectTimeoutError):
                most = min(attempts, _TRIES_TO_CONNECT)
        # Here, where no error is being handled, none with the address is kept behind the one that is raised.
        if untrusted:
            raise FailedRequestError(why, untrusted=True)
        if asked > _PATIENCE:
            why += f", and asks to come again in {asked / 60:.0f} minutes"
            raise FailedRequestError(why)
        if attempt >= most:
            raise FailedRequestError(f"{why}, at the last of {attempt} attempts" if attempt > 1 else why)
        pause = max(asked, min(_LONGEST_PAUSE, 2.0**attempt) * random.uniform(0.5, 1.0))  # noqa: S311
        notify(f"{why}; trying again in {pause:.0f} s")
        time.sleep(pause)
    raise AssertionError  # for mypy: the loop has no end of its own


def _cause(error: BaseException) -> BaseException:
    """What urllib3 wrapped, which it keeps as the cause or as an argument."""
    inner = error.__cause__ or next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    return error if inner is None else _cause(inner)


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


def connection_pool(url: str, *, connections: int = 1, timeout: float = 60.0) -> urllib3.PoolManager:
    """Return a pool of connections to the host of `url`, through its proxy if there is one.

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
