"""Everything in a packed atlas ends with its crc32c, and one without is still read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from tests.engine.counts.conftest import assemble, same, write_zarr

from lexicell.counts import open_counts
from lexicell.errors import CorruptDataError


@pytest.fixture
def atlas(parts: list[anndata.AnnData], packed: Callable[..., list[str]], tmp_path: Path) -> Path:
    """Packed from a small input that has a column of every kind in obs and in var."""
    cells = parts[0][:20, :50].copy()
    for frame in (cells.obs, cells.var):
        n = len(frame)
        frame["text"] = [f"t{i}" for i in range(n)]
        frame["kind"] = pd.Categorical(["a", "b"])[np.arange(n) % 2]
        frame["number"] = np.arange(n) / 3
        frame["flag"] = np.arange(n) % 3 == 0
        frame["lacking"] = pd.array([1, None] * (n // 2), dtype="Int64")
    packed([write_zarr(cells, tmp_path / "cells.zarr", 3)], tmp_path / "atlas.zarr")
    return tmp_path / "atlas.zarr"


def arrays(group: zarr.Group) -> Iterator[zarr.Array[Any]]:
    for name in group.keys():  # noqa: SIM118 -- a group of zarr is no mapping
        member = group[name]
        if isinstance(member, zarr.Array):
            yield member
        else:
            yield from arrays(member)


def content(path: Path) -> tuple[Any, ...]:
    with open_counts(path) as source:
        obs = source.read_obs(source.obs_columns, 0, source.n_cells)
        return assemble(source), obs, source.var


def test_every_array_ends_with_its_crc32c(atlas: Path) -> None:
    found = list(arrays(zarr.open_group(atlas, mode="r")))
    assert len(found) > 30
    for array in found:
        codecs: Any = array.metadata.to_dict()["codecs"]
        inner = codecs[0].get("configuration", {}).get("codecs", codecs)
        assert inner[-1]["name"] == "crc32c", array.path


def test_a_flipped_bit_in_any_chunk_is_corrupt(atlas: Path) -> None:
    rng = np.random.default_rng(0)
    chunks = [path for part in ("X", "obs", "var") for path in sorted((atlas / part).rglob("c/*"))]
    assert len(chunks) > 20
    for chunk in chunks:
        raw = chunk.read_bytes()
        for place in rng.choice(len(raw), 2):
            flipped = bytearray(raw)
            flipped[place] ^= 1 << int(rng.integers(8))
            chunk.write_bytes(flipped)
            with pytest.raises(CorruptDataError):
                content(atlas)
        chunk.write_bytes(raw)
    content(atlas)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_atlas_without_these_checksums_is_still_read(atlas: Path) -> None:
    matrix, obs, var = content(atlas)
    shutil.rmtree(atlas / "var")
    root = zarr.open_group(atlas, mode="r+", use_consolidated=False)
    with anndata.settings.override(auto_shard_zarr_v3=False):
        anndata.io.write_elem(root, "var", var)
    zarr.consolidate_metadata(atlas)
    again = content(atlas)
    same(again[0], matrix)
    pd.testing.assert_frame_equal(again[1], obs)
    pd.testing.assert_frame_equal(again[2], var)
