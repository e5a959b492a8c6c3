"""Through which door a request goes, and how often; what is in an answer is for downloads and services."""

from __future__ import annotations

import pytest

from lexicell._http import FailedRequestError, TransientError, connection_pool, send, split_credentials
from lexicell.errors import InputError


@pytest.mark.parametrize(
    ("url", "shown", "credentials"),
    [
        ("https://host/a/b.gz", "https://host/a/b.gz", None),
        ("http://me:se%2Fcret@host:81/a", "http://host:81/a", "me:se/cret"),
        ("http://me@[::1]:81/a?x=1#y", "http://[::1]:81/a?x=1", "me:"),
    ],
)
def test_credentials_are_taken_out_of_an_address(url, shown, credentials):
    assert split_credentials(url) == (shown, credentials)


@pytest.mark.parametrize(
    "url", ["", "host/path", "ftp://me:secret@host/x", "http://", "http://[x", "http://h:p"]
)
def test_what_is_no_address_is_refused_without_showing_a_password(url):
    with pytest.raises(InputError, match="no address") as refused:
        split_credentials(url)
    assert "secret" not in str(refused.value)


@pytest.fixture
def environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_proxy_the_host_is_reached_directly(environment):
    with connection_pool("https://host/") as pool:
        assert pool.proxy is None


@pytest.mark.parametrize("proxy", ["http://me:pass@proxy:3128", "me:pass@proxy:3128"])
def test_a_proxy_is_used_with_its_password(environment, proxy):
    environment.setenv("https_proxy", proxy)
    with connection_pool("https://host/") as pool:
        assert str(pool.proxy) == "http://proxy:3128"
        assert pool.proxy_headers["proxy-authorization"] == "Basic bWU6cGFzcw=="


def test_hosts_may_be_left_out_of_the_proxy(environment):
    environment.setenv("https_proxy", "http://proxy:3128")
    environment.setenv("no_proxy", "host")
    with connection_pool("https://me:pass@host/") as pool:
        assert pool.proxy is None


def test_a_proxy_of_another_kind_is_refused(environment):
    environment.setenv("https_proxy", "socks5://proxy:1080")
    with pytest.raises(InputError, match="socks5"):
        connection_pool("https://host/")


def test_certificates_are_checked(environment):
    import ssl

    with connection_pool("https://host/") as pool:
        inner = pool.connection_from_url("https://host/")
        assert inner.cert_reqs in {None, "CERT_REQUIRED", ssl.CERT_REQUIRED}


def asked_until(server, answers, **how):
    """What `send` gives where a server gives these answers in turn, and then a file."""
    server.files["/file"] = b"here"
    server.faults.extend(answers)

    def take(response):
        if response.status != 200:
            raise TransientError(response.status)
        return response.read()

    with connection_pool(server.url) as pool:
        return send(pool, "GET", f"{server.url}/file", take, **how)


def test_pauses_grow_up_to_a_minute(server, waits):
    assert asked_until(server, [(500, {})] * 9, attempts=10) == b"here"
    for wait, full in zip(waits, [2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert full / 2 <= wait <= full


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("70", 70), ("Fri, 31 Dec 1999 23:59:59 GMT", None), ("-1", None), ("0.5", None), ("soon", None)],
)
def test_a_server_may_say_when(server, waits, value, seconds):
    assert asked_until(server, [(429, {"Retry-After": value})]) == b"here"
    (waited,) = waits
    assert waited == seconds or (seconds is None and waited <= 2)


def test_a_server_may_not_make_us_wait_for_hours(server, waits):
    with pytest.raises(FailedRequestError, match="120 minutes"):
        asked_until(server, [(429, {"Retry-After": "7200"})])
    assert waits == []


def test_attempts_are_counted_and_pauses_told(server, waits):
    said: list[str] = []
    with pytest.raises(FailedRequestError, match="3 attempts") as failed:
        asked_until(server, [(500, {}), 0, 2, (500, {})], attempts=3, notify=said.append)
    assert (len(server.asked), len(waits), len(said)) == (3, 2, 2)
    assert failed.value.__context__ is None  # urllib3's errors hold the address


def test_a_connection_is_kept_for_the_next_request(server):
    with connection_pool(server.url) as pool:
        for _ in range(3):
            send(pool, "GET", f"{server.url}/none", lambda response: response.read())
        assert pool.connection_from_url(server.url).num_connections == 1
