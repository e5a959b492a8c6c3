"""A run that is to go on, and is complete: done where the store is as it was, and damaged where not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lexicell.errors import CorruptDataError, InputError

from .conftest import Made

ROOT, VECTORS, SHARD = "zarr.json", "obsm/X_lexicell/zarr.json", "obsm/X_lexicell/c/1/0"
RECEIPT = ".lexicell/units/000002.json"


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    """A store of its own for each test."""
    shutil.copytree(whole, tmp_path / "out.zarr")
    return tmp_path / "out.zarr"


def lose(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


METADATA = [ROOT, VECTORS, "obs/zarr.json", "obs/_index/zarr.json", "uns/lexicell/zarr.json", "var/zarr.json"]


@pytest.mark.parametrize("key", [*METADATA, ".lexicell/run.json", ".lexicell/COMPLETE", RECEIPT])
@pytest.mark.parametrize("damage", [lose, shorten, empty, flip])
def test_damaged_metadata_are_told(made: Made, store: Path, key: str, damage: Callable[[Path], None]) -> None:
    damage(store / key)
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with pytest.raises(CorruptDataError), made.open(store, "resume"):
        pass
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "key", [SHARD, "obs/lexicell_n_genes/c/3", "obs/_index/c/0", "uns/lexicell/recipe/c"]
)
@pytest.mark.parametrize("damage", [lose, shorten, empty, lengthen])
def test_data_of_another_size_are_told(
    made: Made, store: Path, key: str, damage: Callable[[Path], None]
) -> None:
    damage(store / key)
    with pytest.raises(CorruptDataError, match=key), made.open(store, "resume"):
        pass


def test_a_store_that_is_as_it_was_is_done(made: Made, store: Path) -> None:
    (store / "notes.txt").write_text("of somebody else")
    with made.open(store, "resume") as opened:
        assert opened.complete
        assert opened.pending == []


def test_another_run_is_named_before_damage(made: Made, store: Path) -> None:
    lose(store / VECTORS)
    with pytest.raises(InputError, match="lexicon"), made.open(store, "resume", lexicon="b2"):
        pass
