"""A run overwrites nothing through a link, neither where its lock lies nor where its output goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr

from lexicell._files import staged_path
from lexicell.errors import LexicellError, OutputExistsError, WriteError
from lexicell.store import check_output
from lexicell.store.journal import open_journal

PRECIOUS = "precious"


def begin(out: Path, mode: str = "new") -> None:
    with open_journal(out, {"of": "test"}, total=1, mode=mode) as journal:
        zarr.open_group(journal.store, mode="a", zarr_format=3)
        zarr.create_array(journal.store, name="a", shape=(1,), dtype="u1", zarr_format=3)
        journal.store.put("a/c/0", (b"chunk",))
        journal.commit(0, journal.store.take(), {})
        journal.finish()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text(PRECIOUS)
    return tmp_path / "elsewhere" / "file"


def link(lock: Path, victim: Path) -> None:
    lock.symlink_to(victim)


def relative_link(lock: Path, victim: Path) -> None:
    lock.symlink_to(os.path.relpath(victim, lock.parent))


def link_to_a_link(lock: Path, victim: Path) -> None:
    (victim.parent / "link").symlink_to(victim)
    lock.symlink_to(victim.parent / "link")


def link_to_a_folder(lock: Path, victim: Path) -> None:
    lock.symlink_to(victim.parent)


def link_to_nowhere(lock: Path, victim: Path) -> None:
    lock.symlink_to(victim.parent / "nowhere")


def link_to_itself(lock: Path, victim: Path) -> None:
    lock.symlink_to(lock)


def second_name(lock: Path, victim: Path) -> None:
    os.link(victim, lock)


def pipe(lock: Path, victim: Path) -> None:
    os.mkfifo(lock)


def folder(lock: Path, victim: Path) -> None:
    lock.mkdir()


def file_of_another(lock: Path, victim: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    lock.write_text(PRECIOUS)
    os.chown(lock, 12_345, -1)


@pytest.mark.parametrize(
    "plant",
    [link, relative_link, link_to_a_link, link_to_a_folder, link_to_nowhere, link_to_itself, second_name,
     pipe, folder, file_of_another],
)  # fmt: skip
def test_what_is_no_lock_is_left_alone(
    tmp_path: Path, victim: Path, plant: Callable[[Path, Path], None]
) -> None:
    lock = tmp_path / "out.zarr.partial/.lexicell/lock"
    lock.parent.mkdir(parents=True)
    plant(lock, victim)
    before = lock.lstat()
    with pytest.raises(WriteError, match="lock"):
        begin(tmp_path / "out.zarr")
    assert victim.read_text() == PRECIOUS
    assert lock.lstat() == before
    assert {path.name for path in victim.parent.iterdir()} <= {"file", "link"}


def test_a_lock_that_a_killed_process_left_is_taken(tmp_path: Path) -> None:
    lock = tmp_path / "out.zarr.partial/.lexicell/lock"
    lock.parent.mkdir(parents=True)
    lock.write_text('{"host": "h", "pid": 1}' * 9)
    begin(tmp_path / "out.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr"]


@pytest.mark.parametrize("where", ["out.zarr.partial", "out.zarr.partial/.lexicell"])
@pytest.mark.parametrize("mode", ["new", "resume", "overwrite"])
def test_a_run_is_not_written_through_a_link(tmp_path: Path, victim: Path, where: str, mode: str) -> None:
    (victim.parent / ".lexicell").mkdir()
    place = tmp_path / where
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(victim.parent)
    with pytest.raises(OutputExistsError, match="link"):
        begin(tmp_path / "out.zarr", mode)
    assert victim.read_text() == PRECIOUS
    assert place.is_symlink()
    assert {path.name for path in victim.parent.iterdir()} == {"file", ".lexicell"}


@pytest.mark.parametrize("name", ["out.zarr", "out.h5ad"])
@pytest.mark.parametrize("mode", ["new", "resume", "overwrite"])
def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path: Path, name: str, mode: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExistsError, match=name):
        check_output(tmp_path / name, overwrite=mode == "overwrite", resume=mode == "resume")
    if name.endswith(".zarr"):
        with pytest.raises(OutputExistsError):
            begin(tmp_path / name, mode)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_link_to_a_store_is_replaced_and_the_store_stays(tmp_path: Path) -> None:
    begin(tmp_path / "real.zarr")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real.zarr")
    with pytest.raises(OutputExistsError):
        begin(tmp_path / "link.zarr")
    begin(tmp_path / "link.zarr", "overwrite")
    assert not (tmp_path / "link.zarr").is_symlink()
    assert (tmp_path / "real.zarr/a/c/0").read_bytes() == b"chunk"


def test_a_link_to_what_lexicell_did_not_write_is_not_replaced(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "out.zarr").symlink_to(victim.parent)
    with pytest.raises(OutputExistsError, match="not written by lexicell"):
        begin(tmp_path / "out.zarr", "overwrite")
    assert victim.read_text() == PRECIOUS


@pytest.mark.parametrize("target", ["file", "nowhere"])
def test_a_file_takes_the_place_of_a_link_only_where_that_is_asked_for(
    tmp_path: Path, victim: Path, target: str
) -> None:
    out = tmp_path / "out.csv"
    out.symlink_to(victim.parent / target)
    with pytest.raises(LexicellError), staged_path(out, replace=False) as staging:
        staging.write_text("new")
    assert out.is_symlink()
    with staged_path(out, replace=True) as staging:
        staging.write_text("new")
    assert not out.is_symlink()
    assert out.read_text() == "new"
    assert [path.name for path in victim.parent.iterdir()] == ["file"]
    assert victim.read_text() == PRECIOUS
