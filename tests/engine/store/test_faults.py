"""Whatever the system refuses, at whichever call: one typed sentence, and the run goes on afterwards."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zarr

from lexicell.errors import WriteError
from lexicell.store.journal import open_journal

#: Every call that changes the disk (a pipe is none).
CALLS = ("open", "write", "fsync", "rename", "mkdir", "truncate")
UNITS = 2


class Faulty:
    """Counts the calls, and does something else at some of them."""

    def __init__(self, act: Callable[[int, str], Any] = lambda number, name: None) -> None:
        self.act, self.n = act, 0
        self.real = {name: getattr(os, name) for name in CALLS}

    def call(self, name: str) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return self.real[name](*args, **options)
            if name == "write" and stat.S_ISFIFO(os.fstat(args[0]).st_mode):  # a thread's sign of life
                return self.real[name](*args, **options)
            self.n += 1
            done = self.act(self.n - 1, name)
            if name == "write" and isinstance(done, int):
                return self.real[name](args[0], args[1][:done]) if done else 0
            return self.real[name](*args, **options)

        return wrapped

    @contextmanager
    def installed(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.call(name))
            yield


def run(out: Path, mode: str = "new") -> None:
    """A small store of units, metadata and a group."""
    with open_journal(out, {"of": "test"}, total=UNITS, mode=mode) as journal:
        if journal.complete:
            return
        for unit in range(UNITS):
            if unit not in journal.done:
                for part in "ab":
                    journal.store.put(f"{part}/c/{unit}", (b"chunk", part.encode(), bytes([unit])))
                journal.commit(unit, journal.store.take(), {"unit": unit})
        root = zarr.open_group(journal.store, mode="a", zarr_format=3)
        for part in "ab":
            root.create_array(part, shape=(UNITS,), chunks=(1,), dtype="u1")
        journal.finish()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, content) -> tuple[dict[str, bytes], list[str]]:
    """What the store holds, and the calls that make it."""
    out = tmp_path_factory.mktemp("undisturbed") / "out.zarr"
    calls: list[str] = []
    with Faulty(lambda number, name: calls.append(name)).installed():
        run(out)
    return content(out), calls


def test_there_is_something_to_fail(undisturbed):
    assert 60 < len(undisturbed[1]) < 300
    assert set(undisturbed[1]) == {"open", "write", "fsync", "rename", "mkdir"}


@pytest.mark.parametrize(
    ("code", "stays", "step"),
    [(errno.EIO, False, 1), (errno.ENOSPC, True, 1), (errno.EACCES, False, 7)],
    ids=["broken once", "full from then on", "forbidden once"],
)
def test_a_refusal_at_any_call_is_one_sentence_and_the_run_goes_on(
    undisturbed, tmp_path, content, code, stays, step
):
    expected, calls = undisturbed
    for k in range(0, len(calls), step):
        out = tmp_path / str(k) / "out.zarr"
        out.parent.mkdir()

        def refuse(number, name, k=k):
            if number == k or (stays and number > k):
                raise OSError(code, os.strerror(code), "somewhere")

        refused: str | None = None
        try:
            with Faulty(refuse).installed():
                run(out)
        except WriteError as error:
            refused = str(error)
            assert os.strerror(code) in refused
            assert str(out) in refused
            assert "\n" not in refused
        if refused is None:  # a folder that was there already was not made
            assert calls[k] == "mkdir"
        assert not out.exists() or content(out) == expected
        run(out, "resume")
        assert content(out) == expected
        assert [path.name for path in out.parent.iterdir()] == ["out.zarr"]
        shutil.rmtree(out.parent)


def test_nothing_is_recorded_before_it_is_on_the_disk(tmp_path, monkeypatch):
    """Content before name, name before record, record before the next thing."""
    dirty: set[str] = (
        set()
    )  # what a crash of the machine could lose: files, and folders for the names in them
    recorded: list[str] = []
    paths: dict[int, str] = {}
    real = {name: getattr(os, name) for name in CALLS}
    root = str(tmp_path)

    def opened(path, flags, *args, **options):
        descriptor = real["open"](path, flags, *args, **options)
        paths[descriptor] = str(path)
        return descriptor

    def write(descriptor, data):
        path = paths.get(descriptor, "lock")  # a pipe, as of another test's watcher, is no disk
        if path.endswith("lock"):
            return real["write"](descriptor, data)
        if ("!units!" in path or "COMPLETE" in path) and path not in dirty:
            assert not {of for of in dirty if of.startswith(root)}
            recorded.append(path)
        dirty.add(path)
        return real["write"](descriptor, data)

    def rename(source, target):
        assert str(source) not in dirty
        if str(target).endswith("out.zarr"):
            assert not {of for of in dirty if of.startswith(root)}
        dirty.add(str(Path(target).parent))
        real["rename"](source, target)

    def mkdir(path, *args, **options):
        real["mkdir"](path, *args, **options)
        if not str(path).endswith((".lexicell", "tmp")):  # the lock and what is being written need not last
            dirty.add(str(Path(path).parent))

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", lambda descriptor: dirty.discard(paths[descriptor]))
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "mkdir", mkdir)
    (tmp_path / "deep").mkdir()
    dirty.clear()
    run(tmp_path / "deep" / "out.zarr")
    assert not {of for of in dirty if of.startswith(root)}
    assert len(recorded) == UNITS + 1  # their receipts, and COMPLETE


def test_a_system_that_takes_little_at_once_gets_it_all(undisturbed, tmp_path, content):
    with Faulty(lambda number, name: 1 + number % 3).installed():
        run(tmp_path / "out.zarr")
    assert content(tmp_path / "out.zarr") == undisturbed[0]


def test_a_system_that_takes_nothing_is_not_asked_for_ever(tmp_path):
    with Faulty(lambda number, name: 0).installed(), pytest.raises(WriteError, match="nothing was taken"):
        run(tmp_path / "out.zarr")


def test_a_whole_embedding_survives_a_full_disk_too(made, whole, tmp_path, content):
    counted = Faulty()
    with counted.installed():
        made.write(tmp_path / "counted" / "out.zarr")
    for k in range(29, counted.n, 150):
        out = tmp_path / str(k) / "out.zarr"

        def refuse(number, name, k=k):
            if number >= k:
                raise OSError(errno.ENOSPC, "No space left on device")

        with Faulty(refuse).installed(), pytest.raises(WriteError, match="No space left"):
            made.write(out)
        made.write(out, "resume")
        assert content(out) == content(whole)


def test_an_unreadable_receipt_is_not_taken_for_a_missing_one(made, tmp_path, monkeypatch):
    from lexicell.errors import CorruptDataError

    out = tmp_path / "out.zarr"
    made.begin(out)
    read = Path.read_bytes

    def broken(self):
        if self.name == "000001.json":
            raise OSError(errno.EIO, "Input/output error")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(CorruptDataError, match=r"units/000001\.json cannot be read \(Input/output error\)"):
        made.write(out, "resume")
    monkeypatch.undo()
    with made.open(out, "resume") as store:
        assert store.pending == [2, 3]
