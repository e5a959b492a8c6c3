"""An atlas is packed to, and read from, a server that speaks S3."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import numpy as np
import pytest

from lexicell.atlas import open_counts
from lexicell.atlas.store import _steps
from lexicell.atlas.store._verify import verify

pytest.importorskip("obstore", reason="the extra remote is not installed")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of a server on this machine, which the environment names."""
    server_of = pytest.importorskip("moto.server", reason="moto[server] is not installed").ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_of(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
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
    for path in ("/moto-api/reset", "/atlas"):
        method = "POST" if "reset" in path else "PUT"
        urllib.request.urlopen(urllib.request.Request(url + path, method=method)).close()  # noqa: S310
    yield "s3://atlas"
    server.stop()


def test_an_atlas_goes_to_a_url_is_interrupted_and_reads_the_same(
    inputs: list[Path],
    packed: Callable[..., list[str]],
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    passed: list[str] = []

    def step(name: str) -> None:
        passed.append(name)
        if len(passed) == 40:
            raise Killed

    packed(inputs, tmp_path / "here.zarr")
    here = anndata.read_zarr(tmp_path / "here.zarr")
    url = f"{bucket}/there.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(_steps, "step", step)
        with pytest.raises(Killed):
            packed(inputs, url)
    packed(inputs, url, mode="resume")
    assert verify(url).problems == ()
    with open_counts(url) as source:
        block = source.read(0, source.n_cells)
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(block, name), getattr(here.X, name))
        assert list(source.names(0, 5)) == list(here.obs_names[:5])
    packed([url], tmp_path / "again.zarr")  # and a URL is an input as any other
    np.testing.assert_array_equal(anndata.read_zarr(tmp_path / "again.zarr").X.data, here.X.data)
