"""When to try again, and through which door."""

from __future__ import annotations

import pytest

from lexicell._http import Backoff, connection_pool, retry_after, split_credentials
from lexicell.errors import InputError


def test_waits_double_up_to_the_longest():
    backoff = Backoff(first=1.0, longest=10.0, seed=3)
    waits = [backoff.seconds(attempt) for attempt in range(1, 8)]
    for wait, full in zip(waits, [1, 2, 4, 8, 10, 10, 10], strict=True):
        assert full / 2 <= wait <= full
    assert waits == [backoff.seconds(attempt) for attempt in range(1, 8)]


def test_waits_without_a_seed_differ_between_processes():
    assert len({Backoff().seconds(3) for _ in range(20)}) > 1


def test_the_server_may_ask_for_more_but_not_for_ever():
    backoff = Backoff(first=1.0, patience=30.0)
    assert backoff.seconds(1, 12.0) == 12.0
    assert backoff.seconds(1, 3600.0) == 30.0
    assert backoff.seconds(1, 0.0) >= 0.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("nan", 0.0), ("Tue, 06 Jan 2026 23:30:10 GMT", 10.0),
        ("Tue, 06 Jan 2026 23:29:00 GMT", 0.0), ("", None), ("soon", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after({"Retry-After": value}, now=1767742200.0) == seconds


def test_a_server_need_not_say_when():
    assert retry_after({}, now=0.0) is None


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
