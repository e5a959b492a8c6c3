"""Damage to any file of a finished store is seen by ``verify``, and never read as a number."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr

from lexicell.errors import CorruptDataError, InputError
from lexicell.store import open_embedding, verify
from lexicell.store.verification import examine


def flip(where: float) -> Callable[[Path], None]:
    """Flip one bit at a place between the first and the last byte."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        at = round(where * (len(data) - 1))
        data[at] ^= 1 << (at % 8)
        path.write_bytes(data)

    return damage


DAMAGE = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "cut by a byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    **{f"bit at {where}": flip(where) for where in (0.0, 0.01, 0.2, 0.5, 0.8, 0.99, 1.0)},
}


def same(read: anndata.AnnData, sound: anndata.AnnData) -> bool:
    return (
        np.array_equal(read.obsm["X_lexicell"], sound.obsm["X_lexicell"])
        and read.obs.equals(sound.obs)
        and read.obs.index.equals(sound.obs.index)
        and read.uns["lexicell"] == sound.uns["lexicell"]
    )


@pytest.mark.parametrize("how", DAMAGE)
def test_no_damage_to_any_file_goes_unseen(whole, tmp_path, how):
    sound = open_embedding(whole)
    store = shutil.copytree(whole, tmp_path / "out.zarr")
    for path in sorted(p for p in store.rglob("*") if p.is_file()):
        key = path.relative_to(store).as_posix()
        before = path.read_bytes()
        if how == "emptied" and not before:
            continue
        DAMAGE[how](path)
        with pytest.raises(CorruptDataError, match="not as written") as seen:
            verify(store)
        assert seen.value.exit_code == 4
        assert key in str(seen.value)
        with suppress(CorruptDataError):
            assert same(open_embedding(store), sound), key
        path.write_bytes(before)
    verify(store)


def test_reading_notices_damage_to_any_file_too(whole, tmp_path):
    store = shutil.copytree(whole, tmp_path / "out.zarr")
    for path in sorted(p for p in store.rglob("*") if p.is_file()):
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(CorruptDataError):
            open_embedding(store)
        path.write_bytes(before)


def test_a_shard_in_the_place_of_another_is_seen(whole, tmp_path):
    store = shutil.copytree(whole, tmp_path / "out.zarr")
    shards = store / "obsm" / "X_lexicell" / "c"
    (shards / "0").rename(shards / "x")
    (shards / "1").rename(shards / "0")
    (shards / "x").rename(shards / "1")
    with pytest.raises(CorruptDataError, match=r"c/0/0 \(changed\), obsm/X_lexicell/c/1/0 \(changed\)"):
        verify(store)


def test_what_is_in_an_array_and_is_not_the_stores_is_damage_and_elsewhere_it_is_told(whole, tmp_path):
    store = shutil.copytree(whole, tmp_path / "out.zarr")
    (store / "notes.txt").write_text("mine")
    (store / "obsm" / "X_umap").mkdir()
    (store / "obsm" / "X_umap" / "zarr.json").write_text("{}")
    assert verify(store).extra == ("notes.txt", "obsm/X_umap/zarr.json")
    (store / "obsm" / "X_lexicell" / "c" / "4").mkdir()
    (store / "obsm" / "X_lexicell" / "c" / "4" / "0").write_bytes(b"x")
    with pytest.raises(CorruptDataError, match=r"obsm/X_lexicell/c/4/0 \(unknown\)"):
        verify(store)


def test_what_is_wrong_is_told(whole, tmp_path):
    store = shutil.copytree(whole, tmp_path / "out.zarr")
    shard = store / "obsm" / "X_lexicell" / "c" / "2" / "0"
    data = shard.read_bytes()
    for damaged, what in (
        (data[:-1], r"\(1,107 bytes in place of 1,108\)"),
        (data[:-1] + b"\0", r"\(changed\)"),
        (None, r"\(missing\)"),
    ):
        shard.unlink()
        if damaged is not None:
            shard.write_bytes(damaged)
        with pytest.raises(CorruptDataError, match=f"obsm/X_lexicell/c/2/0 {what}"):
            verify(store)
        shard.write_bytes(data)


def test_many_problems_are_counted_and_a_few_are_named(whole, tmp_path):
    store = shutil.copytree(whole, tmp_path / "out.zarr")
    shutil.rmtree(store / "obsm")
    n = sum(1 for path in (whole / "obsm").rglob("*") if path.is_file())
    assert n > 5
    with pytest.raises(
        CorruptDataError, match=rf"not as written, {n} of \d+ objects: (\S+ \(missing\), ){{5}}\.\.\.;"
    ):
        verify(store)
    assert len(examine(store).problems) == n


def test_a_store_of_somebody_else_cannot_be_verified(tmp_path):
    zarr.open_group(tmp_path / "other.zarr", mode="w", zarr_format=3)
    for act in (verify, open_embedding):
        with pytest.raises(InputError, match="lexicell finished"):
            act(tmp_path / "other.zarr")
        with pytest.raises(InputError, match=r"absent\.zarr"):
            act(tmp_path / "absent.zarr")
