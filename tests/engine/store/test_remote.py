"""The same store at a URL, against a server that speaks S3: in place, and with what that can promise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from tests.engine.s3 import empty_bucket, s3_server

from lexicell.containers import remote
from lexicell.errors import CorruptDataError, InputError, OutputExistsError, PartialError, WriteError
from lexicell.store import Freed, check_output, gc, lock, open_embedding, verify

obstore = pytest.importorskip("obstore", reason="the extra remote is not installed")
URL = "s3://atlas/deep/out.zarr"


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with s3_server() as running:
        yield running


@pytest.fixture(autouse=True)
def bucket(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty bucket ``atlas``, which the environment names."""
    monkeypatch.setitem(remote._RETRY, "max_retries", 1)
    empty_bucket(server, monkeypatch)


def objects() -> dict[str, bytes]:
    """All objects of the store."""
    store: Any = remote.open_store(URL, read_only=True)
    keys = [found["path"] for batch in obstore.list(store.store) for found in batch]
    return {key: bytes(obstore.get(store.store, key).bytes()) for key in keys}


def test_a_store_at_a_url_has_the_objects_of_a_local_one(made, whole, content):
    assert check_output(URL, overwrite=False) == URL
    made.write(URL)
    assert objects() == content(whole)
    assert verify(URL).problems == ()
    read = open_embedding(URL)
    np.testing.assert_array_equal(read.obsm["X_lexicell"], made.all.vectors)
    assert read.obs_names.tolist() == made.cells.obs_names.tolist()
    with pytest.raises(OutputExistsError, match="exists"):
        made.write(URL)
    with made.open(URL, "resume") as store:
        assert store.complete
    assert gc(URL, everything=True) == Freed(0, 0)
    assert objects() == content(whole)


def test_nothing_opens_an_unfinished_store_and_a_resumed_one_has_the_same_bytes(made, whole, content):
    made.begin(URL, (0, 3))
    with pytest.raises(Exception, match=r"No group found|not found"):
        anndata.read_zarr(remote.open_store(URL, read_only=True))
    for act in (verify, open_embedding):
        with pytest.raises(PartialError, match="2 of 4"):
            act(URL)
    assert open_embedding(URL, allow_partial=True).obs["lexicell_present"].sum() == 32 + 24
    with pytest.raises(OutputExistsError, match="2 of 4"):
        made.write(URL)
    made.write(URL, "resume")
    assert objects() == content(whole)


def test_overwriting_at_a_url_takes_the_old_store_away_at_once(made, whole, content):
    made.write(URL)
    with made.open(URL, "overwrite", lexicon="b2") as store:
        assert store.pending == [0, 1, 2, 3]
        assert "zarr.json" not in objects()
    assert objects() == {}
    made.write(URL, "overwrite")
    assert objects() == content(whole)


def test_nothing_is_left_of_a_run_that_committed_nothing(made):
    with made.open(URL):
        pass
    assert objects() == {}


def test_a_living_writer_is_respected_and_a_dead_one_is_not_waited_for(made, monkeypatch):
    with made.open(URL) as store:
        made.commit(store, (0,))
        with pytest.raises(InputError, match="by process"):
            made.write(URL, "resume")
        monkeypatch.setattr(lock, "DEAD", -1.0)
        with made.open(URL, "resume") as other:
            assert other.facts.keys() == {0}


def test_a_writer_shows_that_it_lives(made, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    beats, enough = [], threading.Event()
    beat = lock.HeartbeatLock._beat

    def counted(self):
        beat(self)
        beats.append(1)
        if len(beats) > 3:
            enough.set()

    monkeypatch.setattr(lock.HeartbeatLock, "_beat", counted)
    with made.open(URL):
        assert enough.wait(20)


def test_a_refusal_at_any_put_is_one_sentence_and_the_run_goes_on(made, whole, content, monkeypatch):
    put, n = obstore.put, 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal n
        n += 1
        if n > limit:
            raise obstore.exceptions.GenericError(
                "Generic S3 error: the service said no\n\nDebug source: ..."
            )
        return put(*args, **options)

    monkeypatch.setattr(obstore, "put", counted)
    limit = 10**6
    made.write(URL)
    total = n
    assert total > 40
    for k in range(5, total, total // 3):
        urllib_reset()
        n, limit = 0, k
        with pytest.raises(WriteError, match=r"out\.zarr.*Generic S3"):
            made.write(URL)
        limit = 10**6
        made.write(URL, "resume")
        assert objects() == content(whole), k


def urllib_reset() -> None:
    store: Any = remote.open_store(URL, read_only=False)
    for key in [found["path"] for batch in obstore.list(store.store) for found in batch]:
        obstore.delete(store.store, key)


def test_damage_at_a_url_is_seen(made):
    made.write(URL)
    store: Any = remote.open_store(URL, read_only=False)
    sound = objects()
    for key in (".lexicell/COMPLETE", ".lexicell/run.json", "zarr.json", "obsm/X_lexicell/c/3/0"):
        data = sound[key]
        for damage in ("deleted", "flipped"):
            if damage == "deleted":
                obstore.delete(store.store, key)
            else:
                obstore.put(store.store, key, bytes([data[0] ^ 1]) + data[1:])
            if key == ".lexicell/COMPLETE" and damage == "deleted":
                with pytest.raises(PartialError):  # this is all that a URL has to tell a finished store
                    verify(URL)
            else:
                with pytest.raises(CorruptDataError, match="not as written"):
                    verify(URL)
            obstore.put(store.store, key, data)
    verify(URL)


def test_gc_at_a_url(made, whole, content):
    made.begin(URL, (0, 1))
    store: Any = remote.open_store(URL, read_only=False)
    obstore.put(store.store, "obsm/X_lexicell/c/3/0", b"12345")
    assert gc(URL) == Freed(1, 5)
    made.write(URL, "resume")
    assert objects() == content(whole)
    urllib_reset()
    made.begin(URL, (0, 1))
    assert gc(URL, everything=True).objects > 8
    assert objects() == {}


def test_a_bucket_that_is_not_there_is_one_sentence(made, tmp_path: Path):
    with pytest.raises((InputError, WriteError)) as refused:
        made.write("s3://other/out.zarr")
    assert "s3://other/out.zarr" in str(refused.value)
    assert "\n" not in str(refused.value)
