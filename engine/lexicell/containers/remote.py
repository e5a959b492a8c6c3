"""Stores behind a URL: object stores and web servers, reached through obstore as zarr's own stores."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from lexicell.errors import InputError, InputNotFoundError, LexicellError, needing

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig
    from zarr.abc.store import Store

__all__ = ["is_url", "local_or_remote_store", "network_fault", "open_store"]

_SCHEMES = ("s3", "gs", "az", "https", "http")
#: A request that fails is tried again for some seconds, a minute at most.
_RETRY: RetryConfig = {"max_retries": 10, "retry_timeout": timedelta(seconds=60)}
#: No limit on a whole request that a slow line could reach, but one on silence.
_CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(minutes=10),
}


def is_url(location: object) -> bool:
    """Whether a location is a URL and not a path."""
    return isinstance(location, str) and "://" in location


def open_store(url: str, *, read_only: bool) -> Store:
    """Open what lies behind a URL as a store of zarr; no request is made yet.

    Parameters
    ----------
    url
        ``s3://bucket/key``, ``gs://bucket/key``, ``az://container/key`` or ``https://host/path``. Credentials
        and endpoint come from the environment variables that each service's own tools read.
    read_only
        Whether writing is refused.

    Raises
    ------
    InputError
        The URL, or what the environment says about it, cannot be used; or this process was
        forked from one that had used a URL.
    MissingExtraError
        obstore is not installed.
    """
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        msg = f"{url}: {scheme}:// is not read; give a path or a URL that begins with {', '.join(_SCHEMES)}"
        raise InputError(msg)
    with needing("remote", f"{url}: a URL"):
        from obstore.store import from_url
    from lexicell.containers.url_store import UrlStore, check_process

    check_process(url)
    # Options that are given hide this one of the environment.
    plain = scheme == "http" or os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1", "yes")
    try:
        store = from_url(url, client_options={**_CLIENT, "allow_http": plain}, retry_config=_RETRY)
    except Exception as exc:
        msg = f"{url}: the URL cannot be used ({_reason(exc)}); check it and the environment variables"
        raise InputError(msg) from exc
    return UrlStore(store, read_only=read_only)


def local_or_remote_store(location: str, *, read_only: bool) -> Store:
    """Open a folder or a URL as a store of zarr."""
    from zarr.storage import LocalStore

    return (
        open_store(location, read_only=read_only)
        if is_url(location)
        else LocalStore(location, read_only=read_only)
    )


def network_fault(label: str, exc: BaseException) -> LexicellError | None:
    """Say in one sentence what obstore raised; None for what did not come from there.

    Parameters
    ----------
    label
        The URL.
    exc
        What was raised.
    """
    if not any(kind.__module__.partition(".")[0] == "obstore" for kind in type(exc).__mro__):
        return None
    kind, reason = type(exc).__name__, _reason(exc)
    if kind == "NotFoundError":
        return InputNotFoundError(f"{label}: nothing is there; check bucket and key")
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or "403" in reason or "401" in reason:
        return InputError(f"{label}: access is refused ({reason}); check the credentials in the environment")
    return InputError(f"{label}: the server does not answer as it should ({reason}); check URL and network")


def _reason(exc: BaseException) -> str:
    line = next((line.strip() for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
    return line.rpartition(" - ")[2][:200]  # the request, and the number of tries, come before
