"""A fingerprint changes when an input is written to, and not when it is moved."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.engine.counts.conftest import as_anndata, counts, write_mtx, write_tenx, write_zarr

from lexicell.counts.fingerprints import fingerprint
from lexicell.errors import InputError, InputNotFoundError


@pytest.fixture(params=["h5ad", "10x .h5", "zarr 2", "zarr 3", "mtx", "mtx.gz"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One input of each kind."""
    kind, matrix, home = request.param, counts(), tmp_path / "home"
    home.mkdir()
    if kind == "h5ad":
        as_anndata(matrix).write_h5ad(home / "a.h5ad")
        return home / "a.h5ad"
    if kind == "10x .h5":
        return write_tenx(matrix, home / "a.h5", 3)
    if kind.startswith("zarr"):
        return write_zarr(as_anndata(matrix), home / "a.zarr", int(kind[-1]))
    return write_mtx(matrix, home / "a", gz=kind == "mtx.gz")


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def test_counts_files_and_bytes(source: Path) -> None:
    found, files = fingerprint(source), _files(source)
    assert (found.files, found.bytes) == (len(files), sum(file.stat().st_size for file in files))
    assert found == fingerprint(str(source)) == fingerprint([source])


def test_moving_or_copying_with_its_times_changes_nothing(source: Path, tmp_path: Path) -> None:
    before = fingerprint(source)
    copy = tmp_path / "copy"
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, copy)
    assert fingerprint(copy.rename(tmp_path / f"other{source.suffix}")) == before
    source.parent.rename(tmp_path / "elsewhere")
    assert fingerprint(tmp_path / "elsewhere" / source.name) == before


def test_the_order_in_which_a_folder_lists_its_files_is_nobodys(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, listed = fingerprint(source), os.scandir
    with monkeypatch.context() as patch:
        patch.setattr(
            "lexicell.counts.fingerprints.os.scandir",
            lambda folder: nullcontext(sorted(listed(folder), key=attrgetter("name"), reverse=True)),
        )
        assert fingerprint(source) == before


def test_any_write_of_one_byte_changes_it(source: Path) -> None:
    seen = {fingerprint(source)}
    files = _files(source)
    for file in files:
        raw = file.read_bytes()
        time.sleep(0.01)  # the clock of a file system ticks every few milliseconds
        file.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
        seen.add(fingerprint(source))
    assert len(seen) == len(files) + 1
    assert len({found.bytes for found in seen}) == 1


def test_a_file_more_or_less_or_of_another_name_changes_it(tmp_path: Path) -> None:
    store = write_zarr(as_anndata(counts()), tmp_path / "a.zarr", 3)
    chunk = max(_files(store / "X"), key=lambda file: file.name != "zarr.json")
    before, times = fingerprint(store), (chunk.stat().st_atime_ns, chunk.stat().st_mtime_ns)
    chunk.rename(chunk.with_name("77"))
    renamed = fingerprint(store)
    assert (renamed.files, renamed.bytes) == (before.files, before.bytes)
    assert renamed != before
    chunk.with_name("77").rename(chunk)
    assert fingerprint(store) == before
    chunk.with_name("77").touch()
    assert fingerprint(store).files == before.files + 1
    chunk.with_name("77").unlink()
    chunk.unlink()
    assert fingerprint(store).files == before.files - 1
    chunk.touch()
    os.utime(chunk, ns=times)
    emptied = fingerprint(store)
    assert emptied.files == before.files
    assert emptied != before


def test_names_that_run_into_each_other_are_told_apart(tmp_path: Path) -> None:
    for name, inside in (("a", "b/c"), ("b", "bc"), ("c", "b.c")):
        file = tmp_path / name / inside
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")
        os.utime(file, ns=(0, 0))
    assert len({fingerprint(tmp_path / name) for name in "abc"}) == 3


def test_a_matrix_counts_with_its_tables_and_nothing_beside_them(tmp_path: Path) -> None:
    folder = write_mtx(counts(), tmp_path / "a", prefix="GSM1_", genes="genes")
    before = fingerprint(folder)
    assert before.files == 3
    assert fingerprint(folder / "GSM1_matrix.mtx") == before
    (folder / "notes.txt").write_text("x")
    write_zarr(as_anndata(counts()), folder / "out.zarr", 3)
    assert fingerprint(folder) == before
    (folder / "GSM1_barcodes.tsv").write_text("x")
    assert fingerprint(folder) != before


def test_several_inputs_count_in_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.h5ad", "b.h5ad")]
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * (number + 1))
    both, turned, one = fingerprint(paths), fingerprint(paths[::-1]), fingerprint(paths[:1])
    assert (both.files, both.bytes) == (turned.files, turned.bytes) == (2, 3)
    assert len({both.state, turned.state, one.state, fingerprint([paths[0], paths[0]]).state}) == 4


def test_no_content_is_read(tmp_path: Path) -> None:
    # A file of a terabyte, all of it a hole.
    with (tmp_path / "a.h5ad").open("wb") as file:
        file.truncate(1 << 40)
    assert fingerprint(tmp_path / "a.h5ad").bytes == 1 << 40


def test_what_is_missing_or_hidden_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputNotFoundError, match=r"no\.h5ad"):
        fingerprint([tmp_path / "no.h5ad"])
    with pytest.raises(InputNotFoundError, match=r"no\.mtx"):
        fingerprint(tmp_path / "no.mtx")
    store = write_zarr(as_anndata(counts()), tmp_path / "a.zarr", 3)

    def refuse(folder: Any) -> Any:
        raise PermissionError(13, "Permission denied", os.fspath(folder))

    with monkeypatch.context() as patch:
        patch.setattr("lexicell.counts.fingerprints.os.scandir", refuse)
        with pytest.raises(InputError, match=r"a\.zarr"):
            fingerprint(store)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An object store in memory, which every URL leads to."""
    memory = pytest.importorskip("obstore.store").MemoryStore()
    from zarr.storage import ObjectStore

    monkeypatch.setattr(
        "lexicell.counts.fingerprints.open_store",
        lambda url, *, read_only: ObjectStore(memory, read_only=read_only),
    )
    return memory


def test_objects_are_listed_with_sizes_and_tags(bucket: Any) -> None:
    import obstore

    for name in ("zarr.json", "X/c/0", "X/c/10", "X/c/9"):
        obstore.put(bucket, name, b"abc")
    before = fingerprint("s3://bucket/a.zarr")
    assert (before.files, before.bytes) == (4, 12)
    assert fingerprint("s3://bucket/a.zarr") == before
    obstore.put(bucket, "X/c/9", b"abd")
    after = fingerprint("s3://bucket/a.zarr")
    assert (after.files, after.bytes) == (4, 12)
    assert after != before


def test_a_tag_says_more_than_the_time_of_an_upload(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def state(*objects: tuple[str, str | None, int]) -> str:
        listed = [
            {"path": path, "size": 3, "e_tag": tag, "last_modified": datetime.fromtimestamp(time, UTC)}
            for path, tag, time in objects
        ]
        monkeypatch.setattr("obstore.list", lambda store: [listed[:1], listed[1:]])
        return fingerprint("gs://bucket/a.zarr").state

    before = state(("a", "1", 0), ("b", "2", 0))
    assert state(("b", "2", 7), ("a", "1", 7)) == before
    assert state(("a", "1", 0), ("b", "3", 0)) != before
    assert state(("a", None, 0)) != state(("a", None, 1))


def test_an_empty_prefix_and_a_missing_bucket_are_not_found(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputNotFoundError, match=r"s3://bucket/a\.zarr"):
        fingerprint("s3://bucket/a.zarr")

    def refuse(store: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr("obstore.list", refuse)
    with pytest.raises(InputNotFoundError, match="nothing is there"):
        fingerprint("s3://bucket/a.zarr")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A web server of a folder; yields its URL."""
    pytest.importorskip("obstore")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_web_server_is_asked_for_the_metadata_at_the_root(web: str, tmp_path: Path) -> None:
    store = write_zarr(as_anndata(counts()), tmp_path / "a.zarr", 3)
    before = fingerprint(f"{web}/a.zarr")
    assert (before.files, before.bytes) == (1, (store / "zarr.json").stat().st_size)
    os.utime(store / "zarr.json", (0, 0))
    assert fingerprint(f"{web}/a.zarr") != before
    with pytest.raises(InputNotFoundError, match=r"no\.zarr"):
        fingerprint(f"{web}/no.zarr")


def test_links_in_a_circle_are_told(tmp_path):
    (tmp_path / "v.zarr").mkdir()
    (tmp_path / "v.zarr" / "zarr.json").write_text("{}")
    (tmp_path / "v.zarr" / "again").symlink_to(".")
    with pytest.raises(InputError, match=r"v\.zarr"):
        fingerprint(tmp_path / "v.zarr")
