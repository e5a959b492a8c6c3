"""A server on this machine that speaks S3, for the tests of URLs."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def s3_server() -> Iterator[Any]:
    """Run a server until the end of the block; one that the test has stopped itself stays stopped."""
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    server.running = True
    try:
        yield server
    finally:
        stop(server)


def stop(server: Any) -> None:
    """Stop a server, once."""
    if server.running:
        server.stop()
        server.running = False


def empty_bucket(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an empty bucket ``atlas`` on the server, and let the environment name the server."""
    url = "http://{}:{}".format(*server.get_host_and_port())
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    for path, method in (("/moto-api/reset", "POST"), ("/atlas", "PUT")):
        urllib.request.urlopen(urllib.request.Request(url + path, method=method)).close()  # noqa: S310
