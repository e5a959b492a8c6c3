"""An AnnData-Zarr behind a URL: read from a server that speaks S3, and what is said when that fails."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, assemble, counts, same, write_zarr
from tests.engine.s3 import empty_bucket, s3_server, stop

from lexicell.containers import remote
from lexicell.containers.remote import is_url, local_or_remote_store, network_fault, open_store
from lexicell.counts import open_counts
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError, MissingExtraError

pytest.importorskip("obstore", reason="the extra remote is not installed")


@pytest.fixture(autouse=True)
def few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(remote._RETRY, "max_retries", 2)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A running S3 with the bucket ``atlas``, which the environment names."""
    with s3_server() as server:
        empty_bucket(server, monkeypatch)
        yield server


@pytest.fixture
def matrix() -> sparse.csr_matrix:
    return counts(61, 37)


def upload(folder: Path, url: str) -> str:
    import obstore

    target = open_store(url, read_only=False).store  # type: ignore[attr-defined]
    for path in folder.rglob("*"):
        if path.is_file():
            obstore.put(target, path.relative_to(folder).as_posix(), path.read_bytes())
    return url


@pytest.fixture
def url(s3: Any, matrix: sparse.csr_matrix, tmp_path: Path) -> str:
    return upload(write_zarr(as_anndata(matrix), tmp_path / "c.zarr", 3), "s3://atlas/deep/counts.zarr")


def says(error: BaseException | None, *parts: str) -> None:
    text = str(error)
    assert "\n" not in text
    assert all(part in text for part in parts), text


@pytest.mark.parametrize("version", [2, 3])
def test_counts_in_a_bucket_are_read(
    version: int, s3: Any, matrix: sparse.csr_matrix, tmp_path: Path
) -> None:
    url = upload(write_zarr(as_anndata(matrix), tmp_path / "c.zarr", version), f"s3://atlas/v{version}.zarr")
    with open_counts(url) as source:
        assert source.label == url
        same(assemble(source), matrix)
        assert source.obs.index[:2].tolist() == ["cell0", "cell1"]
        assert source.var.index[-1] == "gene36"


def test_what_is_missing_is_not_found(url: str) -> None:
    for missing in ("s3://atlas/deep/other.zarr", "s3://other/deep/counts.zarr"):
        with pytest.raises(InputNotFoundError) as caught:
            open_counts(missing)
        says(caught.value, missing, "check bucket and key")


def test_a_lost_chunk_in_a_bucket_is_corrupt(url: str) -> None:
    import obstore

    store = open_store(url, read_only=False).store  # type: ignore[attr-defined]
    obstore.delete(store, "X/data/c/0")
    with open_counts(url) as source, pytest.raises(CorruptDataError, match="lacks"):
        assemble(source)


def test_refused_credentials_are_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)
    with pytest.raises(InputError) as caught:
        open_counts(url)
    says(caught.value, url, "access is refused", "credentials")


def test_faults_of_the_network_are_told_from_others() -> None:
    from obstore.exceptions import GenericError, PermissionDeniedError

    assert network_fault("u", OSError("broken")) is None
    for fault in (
        PermissionDeniedError("GET u - Client error with status 403 Forbidden"),
        GenericError("GET instance metadata - Server returned non-2xx status code: 403 Forbidden\nmore"),
    ):
        says(network_fault("u", fault), "u: access is refused (", "403 Forbidden); check the credentials")
    says(network_fault("u", GenericError("")), "u: the server does not answer as it should (GenericError)")


def test_a_server_that_is_gone_is_told_soon(url: str, s3: Any) -> None:
    with open_counts(url) as source:
        stop(s3)
        begun = time.monotonic()
        with pytest.raises(InputError) as caught:
            source.read(0, 5)
        says(caught.value, url, "does not answer")
        with pytest.raises(InputError, match="does not answer"):
            open_counts(url)
        assert time.monotonic() - begun < 20


def test_retries_have_an_end() -> None:
    assert remote._RETRY["retry_timeout"].total_seconds() <= 60
    assert {"connect_timeout", "read_timeout", "timeout"} <= remote._CLIENT.keys()


@pytest.mark.parametrize("name", ["c.h5ad", "c.h5", "matrix.mtx.gz"])
def test_files_behind_a_url_are_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(InputError, match="Zarr") as caught:
        open_counts(f"s3://atlas/{name}")
    says(caught.value, name)


def test_urls_of_other_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="ftp://"):
        open_counts("ftp://host/c.zarr")
    with pytest.raises(InputError, match="cannot be used"):
        open_counts("s3:///c.zarr")


def test_without_obstore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingExtraError, match=r"lexicell\[remote\]"):
        open_counts("s3://atlas/c.zarr")


def test_urls_are_told_from_paths(tmp_path: Path) -> None:
    assert is_url("s3://atlas/c.zarr")
    assert not is_url("/data/c.zarr")
    assert not is_url(tmp_path)
    store = local_or_remote_store(str(tmp_path / "a"), read_only=False)
    zarr.create_array(store, data=np.arange(3))
    assert np.array_equal(zarr.open_array(tmp_path / "a")[:], [0, 1, 2])


def test_a_web_server_that_lists_nothing_is_read(matrix: sparse.csr_matrix, tmp_path: Path) -> None:
    write_zarr(as_anndata(matrix), tmp_path / "c.zarr", 3)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with open_counts(f"http://127.0.0.1:{server.server_port}/c.zarr/") as source:
                same(assemble(source), matrix)
        finally:
            server.shutdown()
            thread.join()
