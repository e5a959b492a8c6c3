"""An atlas is packed to, and read from, a server that speaks S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import numpy as np
import pytest
from tests.engine.s3 import empty_bucket, s3_server

from lexicell.counts import open_counts
from lexicell.store import steps
from lexicell.store.verification import verify

pytest.importorskip("obstore", reason="the extra remote is not installed")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of a server on this machine, which the environment names."""
    with s3_server() as server:
        empty_bucket(server, monkeypatch)
        yield "s3://atlas"


@pytest.mark.slow
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
        patched.setattr(steps, "step", step)
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
