"""Downloads over a line that breaks, to a disk that fills, from servers that change their mind."""

from __future__ import annotations

import errno
import json
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

from lexicell import _download
from lexicell._download import Download, download
from lexicell._http import Backoff
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
    assert said == [f"fetching {url} (0.3 MB)"]
    assert server.asked[0].headers["Accept-Encoding"] == "identity"
    assert waits == []


def test_a_dropped_connection_is_taken_up_where_it_broke(server, url, folder, waits):
    server.faults.extend([100_000, 50_000])
    said: list[str] = []
    assert download(url, folder, notify=said.append).path.read_bytes() == BODY
    assert server.statuses() == [200, 206, 206]
    starts = [int(asked.headers["Range"][6:-1]) for asked in server.asked[1:]]
    assert 60_000 < starts[0] <= 100_000
    assert starts[0] < starts[1] <= 150_000
    assert server.asked[1].headers["If-Range"].startswith('"')
    assert len(waits) == 2
    assert "trying again" in said[1]
    assert said[2].startswith(f"going on with {url} at 0.1 MB of 0.3 MB")


def test_attempts_are_counted_anew_after_progress(server, url, folder, waits):
    server.faults.extend([40_000] * 7)
    assert download(url, folder, backoff=Backoff(attempts=2)).path.read_bytes() == BODY
    assert max(waits) <= 1.0


def test_without_progress_there_is_an_end_and_what_came_is_kept(server, url, folder, waits):
    server.faults.extend([100_000, *[0] * 5])
    with pytest.raises(InputNotFoundError, match=r"could not be fetched .*6 times in a row.*is kept"):
        download(url, folder)
    assert names(folder) == ["dump.gz.part", "dump.gz.part.json"]
    assert len(waits) == 5
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses()[-1] == 206


def test_a_server_that_always_breaks_at_one_place_does_not_hold_us_for_ever(server, url, folder, waits):
    server.ranges = False
    server.faults.extend([100_000] * 50)
    with pytest.raises(InputNotFoundError):
        download(url, folder)
    assert len(server.asked) == 6


def test_a_server_without_ranges_sends_everything_again(server, url, folder):
    server.ranges = False
    server.faults.append(100_000)
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses() == [200, 200]


def test_a_file_that_changed_between_attempts_is_fetched_from_its_beginning(server, url, folder, waits):
    server.faults.extend([100_000, *[0] * 5])
    with pytest.raises(InputNotFoundError):
        download(url, folder)
    server.files["/dump.gz"] = NEWER
    assert download(url, folder).path.read_bytes() == NEWER
    assert server.statuses()[-1] == 200


def test_a_server_that_ignores_if_range_does_not_give_a_mixture(server, url, folder, waits):
    server.faults.extend([100_000, *[0] * 5])
    with pytest.raises(InputNotFoundError):
        download(url, folder)
    server.conditions = False
    server.files["/dump.gz"] = NEWER[:300_000]  # of the same size, so that only the ETag tells
    assert download(url, folder).path.read_bytes() == NEWER[:300_000]
    assert server.statuses()[-2:] == [206, 200]


def test_a_file_that_got_shorter_than_what_is_there_is_fetched_anew(server, url, folder, waits):
    server.faults.extend([200_000, *[0] * 5])
    with pytest.raises(InputNotFoundError):
        download(url, folder)
    server.conditions = False
    server.files["/dump.gz"] = b"short"
    assert download(url, folder).path.read_bytes() == b"short"
    assert server.statuses()[-2:] == [416, 200]


@pytest.mark.parametrize("validators", [(), ("Last-Modified",), ("ETag",)])
def test_a_mixture_is_never_made_whatever_the_server_says_about_versions(server, url, folder, validators):
    server.validators = validators
    server.faults.append(100_000)
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses() == [200, 206 if validators else 200]
    assert ("Range" in server.asked[1].headers) == bool(validators)


def test_a_server_that_sends_less_than_was_asked_for_is_asked_again(server, url, folder):
    there = 3 * _download._CHUNK
    part = {"Content-Range": f"bytes {there}-199999/300000"}
    server.faults.extend([there, (206, part, BODY[there:200_000])])
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses() == [200, 206, 206]


def test_a_complete_part_needs_no_server(server, url, folder):
    got = download(url, folder)
    record = got.path.with_name(f"{got.path.name}.json")
    got.path.rename(f"{got.path}.part")
    fields = json.loads(record.read_text())
    del fields["blake3"]
    record.rename(f"{got.path}.part.json").write_text(json.dumps(fields))
    server.asked.clear()
    assert download(url, folder).path.read_bytes() == BODY
    assert server.asked == []


def test_what_has_not_changed_is_not_sent_again(server, url, folder):
    first = download(url, folder)
    again = download(url, folder)
    assert server.statuses() == [200, 304]
    assert (again.origin, again.path, again.blake3) == ("unchanged", first.path, first.blake3)
    assert again.path.read_bytes() == BODY


def test_the_date_alone_is_enough_to_ask_whether_it_changed(server, url, folder):
    server.validators = ("Last-Modified",)
    download(url, folder)
    assert download(url, folder).origin == "unchanged"
    assert server.asked[-1].headers["If-Modified-Since"] == server.modified


def test_what_has_changed_replaces_the_copy(server, url, folder):
    download(url, folder)
    server.files["/dump.gz"] = NEWER
    got = download(url, folder)
    assert (got.origin, got.path.read_bytes()) == ("downloaded", NEWER)


def test_refresh_asks_for_everything(server, url, folder):
    download(url, folder)
    assert download(url, folder, refresh=True).origin == "downloaded"
    assert server.statuses() == [200, 200]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_given_the_time_it_asks_for(server, url, folder, waits, status):
    server.faults.append((status, {"Retry-After": "7"}))
    assert download(url, folder).path.read_bytes() == BODY
    assert waits == [7.0]


def test_a_missing_file_is_one_sentence_with_its_address(server, folder, waits):
    with pytest.raises(InputNotFoundError, match=rf"{server.url}/none.gz.*404"):
        download(f"{server.url}/none.gz", folder)
    assert waits == []


def test_a_refusal_is_not_tried_again(server, url, folder, waits):
    server.faults.append((403, {}))
    with pytest.raises(InputError, match="answered 403 Forbidden"):
        download(url, folder)
    assert (len(server.asked), waits) == (1, [])


def test_offline_an_earlier_copy_serves_at_once_and_says_so(server, url, folder, waits):
    download(url, folder)
    server.faults.append((503, {}))
    said: list[str] = []
    got = download(url, folder, notify=said.append)
    assert (got.origin, got.path.read_bytes(), waits) == ("offline", BODY, [])
    assert said == [f"{url}: the server answered 503 Service Unavailable; using the copy of 2026-01-06"]


def test_an_update_that_breaks_off_for_good_leaves_the_earlier_copy_in_use(server, url, folder, waits):
    download(url, folder)
    server.files["/dump.gz"] = NEWER
    server.faults.extend([100_000, *[0] * 5])
    got = download(url, folder)
    assert (got.origin, got.path.read_bytes()) == ("offline", BODY)
    assert download(url, folder).path.read_bytes() == NEWER


def test_offline_without_a_copy_says_what_is_wrong(folder, waits):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(InputNotFoundError, match="Connection refused, 6"):
        download(f"http://127.0.0.1:{port}/dump.gz", folder)
    assert len(waits) == 5


@pytest.mark.parametrize("damage", [BODY[:-1], BODY[:-1] + b"?", b""])
def test_a_damaged_copy_is_noticed_and_fetched_again(server, url, folder, damage):
    got = download(url, folder)
    got.path.write_bytes(damage)
    said: list[str] = []
    assert download(url, folder, notify=said.append).path.read_bytes() == BODY
    assert server.statuses() == [200, 200]
    assert "is not as it was written" in said[0]


def test_a_damaged_record_is_noticed(server, url, folder):
    got = download(url, folder)
    got.path.with_name(f"{got.path.name}.json").write_text("{")
    assert download(url, folder).path.read_bytes() == BODY


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"url": 1}'])
def test_a_part_without_a_good_record_is_not_gone_on_with(server, url, folder, waits, record):
    server.faults.extend([100_000, *[0] * 5])
    with pytest.raises(InputNotFoundError):
        download(url, folder)
    next(folder.glob("*.part.json")).write_text(record)
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses()[-1] == 200


def test_a_full_disk_is_one_sentence_and_what_came_can_be_gone_on_with(server, url, folder, monkeypatch):
    write = _download._write

    def full(file, chunk):
        if file.tell() > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, chunk)

    monkeypatch.setattr(_download, "_write", full)
    with pytest.raises(WriteError, match="No space left on device"):
        download(url, folder)
    monkeypatch.undo()
    assert names(folder) == ["dump.gz.part", "dump.gz.part.json"]
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses() == [200, 206]


def test_a_file_that_takes_less_than_it_is_given_gets_the_rest(tmp_path):
    class Slow:
        taken = b""

        def write(self, view):
            self.taken += bytes(view[:3])
            return len(view[:3])

    file = Slow()
    _download._write(file, b"0123456789")
    assert file.taken == b"0123456789"


def test_a_cache_that_cannot_be_made_is_a_write_error(server, url, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="LEXICELL_CACHE"):
        download(url, tmp_path / "file" / "cache")


def test_an_interrupt_leaves_what_can_be_gone_on_with(server, url, folder):
    def interrupt(done: int, total: int) -> None:
        if done > 150_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(url, folder, progress=interrupt)
    assert names(folder) == ["dump.gz.part", "dump.gz.part.json"]
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses() == [200, 206]


CHILD = """
import sys; from pathlib import Path; from lexicell._download import download
download(sys.argv[1], Path(sys.argv[2]), notify=lambda line: print(line, flush=True))
"""


def child(url: str, folder: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CHILD, url, folder], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_after_a_kill_the_next_process_goes_on(server, url, folder, monkeypatch):
    monkeypatch.undo()  # waits are real here
    server.stall_after = 150_000
    with child(url, folder) as process:
        part = None
        for _ in range(2000):
            part = next(folder.glob("*.part"), None) if folder.exists() else None
            if part and part.stat().st_size > 100_000:
                break
            time.sleep(0.01)
        assert part is not None
        process.send_signal(signal.SIGKILL)
    server.stall.set()
    server.stall_after = None
    assert names(folder) == ["dump.gz.part", "dump.gz.part.json"]
    assert download(url, folder).path.read_bytes() == BODY
    assert server.statuses() == [200, 206]


@pytest.mark.slow
def test_two_processes_fetch_once(server, url, folder, monkeypatch):
    monkeypatch.undo()
    server.stall_after = 150_000
    with child(url, folder) as first:
        assert first.stdout.readline().startswith("fetching")
        with child(url, folder) as second:
            assert second.stdout.readline().startswith("waiting for another process")
            first.kill()  # the lock goes with it
            server.stall_after = None
            server.stall.set()
            assert second.stdout.readline().startswith(("fetching", "going on"))
            assert second.wait() == 0
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


def test_a_password_is_sent_and_shown_nowhere(server, url, folder, waits):
    said: list[str] = []
    with_password = url.replace("//", "//me:p%40ss@")
    got = download(with_password, folder, notify=said.append)
    sent = {name.lower(): value for name, value in server.asked[0].headers.items()}
    assert sent["authorization"] == "Basic bWU6cEBzcw=="
    everything = [got.url, str(got.path), *said, *(p.read_text() for p in folder.glob("*.json"))]
    assert not any("p%40ss" in text or "p@ss" in text for text in everything)


def test_redirects_are_followed(server, url, folder):
    server.faults.append((302, {"Location": "/dump.gz"}))
    assert download(f"{server.url}/moved.gz", folder).path.read_bytes() == BODY


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
        with pytest.raises(InputError, match="certificate is not trusted"):
            download(f"https://127.0.0.1:{listener.getsockname()[1]}/dump.gz", folder)
        thread.join()
    assert waits == []
