"""Downloads over a line that breaks, to a disk that fills, from servers that change their mind."""

from __future__ import annotations

import errno
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import blake3
import pytest

from lexicell._download import Download, download
from lexicell.errors import InputError, InputNotFoundError, WriteError

BODY = blake3.blake3(b"a dump").digest(300_000)
NEWER = blake3.blake3(b"a newer dump").digest(310_000)


@pytest.fixture
def url(server, waits) -> str:
    server.files["/dump.gz"] = BODY
    return f"{server.url}/dump.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def names(folder: Path) -> list[str]:
    """Kinds of files in the cache, without their hashed beginnings."""
    return sorted(path.name[9:] for path in folder.iterdir() if path.name != ".lock")


def test_a_file_is_fetched_and_described(server, url, folder, waits):
    seen: list[tuple[int, int]] = []
    said: list[str] = []
    got = download(url, folder, progress=lambda *now: seen.append(now), notify=said.append)
    assert got == Download(
        got.path, url, "2026-01-06", len(BODY), blake3.blake3(BODY).hexdigest(), "downloaded"
    )
    assert got.path.read_bytes() == BODY
    assert names(folder) == ["dump.gz", "dump.gz.json"]
    assert seen[-1] == (300_000, 300_000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert url in said[0]
    assert waits == []


@pytest.mark.parametrize("fault", [0, 100_000, (503, {}), (429, {"Retry-After": "7"})])
def test_passing_trouble_is_tried_again(server, url, folder, waits, fault):
    server.faults.extend([fault] * 5)
    assert download(url, folder).path.read_bytes() == BODY
    assert len(waits) == 5
    assert names(folder) == ["dump.gz", "dump.gz.json"]


@pytest.mark.parametrize("fault", [0, 100_000, (503, {})])
def test_lasting_trouble_has_an_end_and_leaves_nothing(server, url, folder, waits, fault):
    server.faults.extend([fault] * 6)
    with pytest.raises(InputNotFoundError) as failed:
        download(url, folder)
    assert url in str(failed.value)
    assert len(server.asked) == 6
    assert names(folder) == []


@pytest.mark.parametrize(
    ("status", "kind"), [(404, InputNotFoundError), (410, InputNotFoundError), (403, InputError)]
)
def test_a_refusal_is_not_tried_again(server, url, folder, waits, status, kind):
    server.faults.append((status, {}))
    with pytest.raises(kind) as refused:
        download(url, folder)
    assert type(refused.value) is kind
    assert url in str(refused.value)
    assert str(status) in str(refused.value)
    assert (len(server.asked), waits, names(folder)) == (1, [], [])


@pytest.mark.parametrize("validators", [("ETag", "Last-Modified"), ("ETag",), ("Last-Modified",)])
def test_what_has_not_changed_is_not_sent_again(server, url, folder, validators):
    server.validators = validators
    first = download(url, folder)
    again = download(url, folder)
    assert server.statuses() == [200, 304]
    assert (again.origin, again.path, again.blake3) == ("unchanged", first.path, first.blake3)
    assert again.path.read_bytes() == BODY


@pytest.mark.parametrize("validators", [("ETag", "Last-Modified"), ()])
def test_what_may_have_changed_replaces_the_copy(server, url, folder, validators):
    server.validators = validators
    download(url, folder)
    server.files["/dump.gz"] = NEWER
    got = download(url, folder)
    assert (got.origin, got.path.read_bytes()) == ("downloaded", NEWER)


def test_refresh_asks_for_everything(server, url, folder):
    download(url, folder)
    assert download(url, folder, refresh=True).origin == "downloaded"
    assert server.statuses() == [200, 200]


@pytest.mark.parametrize("fault", [0, 100_000, (503, {})])
def test_offline_an_earlier_copy_serves_at_once_and_says_so(server, url, folder, waits, fault):
    download(url, folder)
    server.files["/dump.gz"] = NEWER
    server.faults.append(fault)
    said: list[str] = []
    got = download(url, folder, notify=said.append)
    assert (got.origin, got.path.read_bytes(), got.date, waits) == ("offline", BODY, "2026-01-06", [])
    assert url in said[-1]
    assert got.date in said[-1]
    assert download(url, folder).path.read_bytes() == NEWER


def test_offline_without_a_copy_soon_says_what_is_wrong(folder, waits):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(InputNotFoundError, match=f"127.0.0.1:{port}.*Connection refused"):
        download(f"http://127.0.0.1:{port}/dump.gz", folder)
    assert len(waits) == 2


@pytest.mark.parametrize("damage", [BODY[:-1], BODY[:-1] + b"?", b"", None])
@pytest.mark.parametrize("part", ["file", "record"])
def test_a_damaged_copy_is_noticed_and_fetched_again(server, url, folder, damage, part):
    got = download(url, folder)
    path = got.path if part == "file" else got.path.with_name(f"{got.path.name}.json")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses() == [200, 200]


def test_a_full_disk_is_one_sentence_and_nothing_is_left(server, url, folder, monkeypatch):
    def full(done: int, total: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(WriteError) as failed:
        download(url, folder, progress=full)
    assert {str(folder), "LEXICELL_CACHE"} <= set(str(failed.value).split())
    assert names(folder) == []


def test_a_cache_that_cannot_be_made_is_a_write_error(server, url, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="LEXICELL_CACHE"):
        download(url, tmp_path / "file" / "cache")


def test_an_interrupt_leaves_the_earlier_copy(server, url, folder):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    download(url, folder)
    server.files["/dump.gz"] = NEWER
    with pytest.raises(KeyboardInterrupt):
        download(url, folder, progress=interrupt)
    server.files["/dump.gz"] = BODY
    assert download(url, folder).origin == "unchanged"
    assert names(folder) == ["dump.gz", "dump.gz.json"]


CHILD = """
import sys; from pathlib import Path; from lexicell._download import download
download(sys.argv[1], Path(sys.argv[2]), notify=lambda line: print(line, flush=True))
"""


@pytest.mark.slow
def test_of_two_processes_one_waits_and_a_kill_leaves_nothing_that_is_used(server, url, folder):
    def child() -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", CHILD, url, folder], stdout=subprocess.PIPE, text=True)

    server.stall_after = 150_000
    with child() as first:
        assert first.stdout.readline().startswith("fetching")
        with child() as second:
            assert second.stdout.readline().startswith("waiting")
            assert server.statuses() == [200]
            while not list(folder.glob("*.part")):
                time.sleep(0.01)
            first.send_signal(signal.SIGKILL)  # the lock goes with it
            server.stall_after = None
            server.stall.set()
            assert second.wait() == 0
    assert names(folder) == ["dump.gz", "dump.gz.json"]
    assert next(folder.glob("*-dump.gz")).read_bytes() == BODY


def test_many_threads_at_once_get_the_same_good_file(server, url, folder):
    got: list[bytes] = []
    work = [
        threading.Thread(target=lambda: got.append(download(url, folder).path.read_bytes())) for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert got == [BODY] * 4
    assert sorted(server.statuses()) == [200, 304, 304, 304]


def test_a_file_system_without_locks_is_no_hindrance(server, url, folder, monkeypatch):
    def none(*args):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("lexicell._download.fcntl.flock", none)
    assert download(url, folder).path.read_bytes() == BODY


def test_a_password_is_sent_and_shown_nowhere(server, url, folder, waits, caplog):
    caplog.set_level("DEBUG")
    said: list[str] = []
    server.faults.append((503, {}))
    with_password = url.replace("//", "//me:p%40ss@")
    got = download(with_password, folder, notify=said.append)
    sent = {name.lower(): value for name, value in server.asked[0].headers.items()}
    assert sent["authorization"] == "Basic bWU6cEBzcw=="
    with pytest.raises(InputNotFoundError) as failed:
        download(f"{with_password}.not", folder)
    everything = [got.url, str(got.path), str(failed.value), *said, caplog.text]
    everything += [path.read_text() for path in folder.glob("*.json")]
    assert not any(secret in text for text in everything for secret in ("p%40ss", "p@ss", "bWU6cEBzcw"))


def test_redirects_are_followed_but_a_password_stays_with_its_host(server, url, folder):
    server.faults.append((302, {"Location": url.replace("127.0.0.1", "localhost")}))
    moved = f"{server.url}/moved.gz".replace("//", "//me:secret@")
    assert download(moved, folder).path.read_bytes() == BODY
    assert ["authorization" in {name.lower() for name in asked.headers} for asked in server.asked] == [
        True,
        False,
    ]


def test_a_certificate_that_is_not_trusted_is_refused_at_once(folder, waits, tmp_path, server):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-keyout", key, "-out",
         certificate], check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            try:
                with context.wrap_socket(plain, server_side=True):
                    pass
            except OSError:
                pass
            finally:
                plain.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(InputError, match="SSL_CERT_FILE"):
            download(f"https://127.0.0.1:{listener.getsockname()[1]}/dump.gz", folder)
        thread.join()
    assert waits == []
