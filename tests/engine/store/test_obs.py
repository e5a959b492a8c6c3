"""Cells are written as anndata writes them, in windows, with the same bytes whenever it is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from tests.engine.counts.conftest import as_anndata, counts, write_zarr
from tests.engine.counts.test_tables import cells

from lexicell.counts import open_counts, tables
from lexicell.errors import CorruptDataError, InputError
from lexicell.store import obs as obs_module
from lexicell.store.obs import check_columns, write_obs

pytestmark = pytest.mark.filterwarnings("ignore:Observation names are not unique")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obs_module, "_CHUNK_ROWS", 16)


def _write(data: Any, path: Path, columns: Any = None, **options: Any) -> Path:
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    with open_counts(data) as source:
        write_obs(root, source, source.obs_columns if columns is None else columns, **options)
    return path


def _bytes(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _complete(path: Path) -> Path:
    """Add what makes an AnnData of the cells."""
    root, adata = zarr.open_group(path, mode="r+"), cells()
    with anndata.settings.override(auto_shard_zarr_v3=False):
        anndata.io.write_elem(root, "X", adata.X)
        anndata.io.write_elem(root, "var", adata.var)
    return path


def test_anndata_reads_what_it_had_written(tmp_path: Path) -> None:
    adata = cells()
    written = anndata.read_zarr(_write(adata, tmp_path / "o.zarr")).obs
    pd.testing.assert_frame_equal(written, adata.obs)
    assert written["stage"].cat.ordered
    assert written["type"].cat.categories.tolist() == ["b", "a", "c", "never", "nowhere"]


def test_text_without_gaps_is_plain_text_and_missing_text_stays_missing(tmp_path: Path) -> None:
    adata = cells()
    adata.obs["full"] = pd.Series(list(map(str, range(61))), index=adata.obs.index, dtype=object)
    adata.obs["gaps"] = pd.Series(["a", None] * 30 + ["b"], index=adata.obs.index, dtype=object)
    root = zarr.open_group(_write(adata, tmp_path / "o.zarr"), mode="r")
    kinds = {name: root[f"obs/{name}"].attrs["encoding-type"] for name in ("_index", "full", "gaps")}
    assert kinds == {"_index": "string-array", "full": "string-array", "gaps": "nullable-string-array"}
    found = anndata.read_zarr(tmp_path / "o.zarr").obs
    assert found["gaps"].isna().tolist() == [False, True] * 30 + [False]
    assert found["full"].tolist() == list(map(str, range(61)))


def test_real_cells_keep_their_names_and_types(tmp_path: Path, data: Callable[[str], Path]) -> None:
    path = data("macosko2015_retina_subset_300x259.h5ad")
    expected = anndata.read_h5ad(path).obs
    found = anndata.read_zarr(_write(path, tmp_path / "o.zarr", ["cell_type", "cluster"])).obs
    pd.testing.assert_frame_equal(found, expected[["cell_type", "cluster"]], check_names=False)


@pytest.mark.parametrize("window", [1, 16, 40, 1000])
def test_bytes_do_not_depend_on_the_window_nor_on_where_cells_are_from(window: int, tmp_path: Path) -> None:
    first = _write(cells(), tmp_path / "first.zarr")
    again = _write(cells(), tmp_path / "again.zarr", window=window)
    assert _bytes(again) == _bytes(first)
    copied = _write(_complete(first), tmp_path / "copied.zarr", window=window)
    assert _bytes(copied) == _bytes(again)


@pytest.mark.parametrize("window", [1, 20, 61])
def test_each_chunk_is_written_once_and_never_read(window: int, tmp_path: Path) -> None:
    keys: list[str] = []

    class Store(zarr.storage.LocalStore):
        async def get(self, key: str, *args: Any, **options: Any) -> Any:
            keys.append(f"read {key}")
            return await super().get(key, *args, **options)

        async def set(self, key: str, value: Any) -> None:
            keys.append(key)
            await super().set(key, value)

    root = zarr.open_group(Store(tmp_path / "o.zarr"), mode="w", zarr_format=3)
    with open_counts(cells()) as source:
        write_obs(root, source, ["type", "text", "age"], window=window)
    chunks = [key for key in keys if "/c/" in key]
    # Names, codes, text, values and mask: 4 each at least; and the categories.
    assert len(chunks) == len(set(chunks)) >= 5 * 4 + 1
    assert not any(key.startswith("read") for key in chunks)


def test_every_chunk_is_there_and_a_flipped_bit_in_any_is_seen(tmp_path: Path) -> None:
    adata = as_anndata(counts())
    adata.obs["zero"] = np.zeros(61, np.int8)
    adata.obs["note"] = pd.array([None, "a"] * 30 + ["b"], dtype="string")
    path = _write(adata, tmp_path / "o.zarr")
    chunks = [file for file in path.rglob("c/*") if file.is_file()]
    # Names, zeros, values and mask, codes: 4 each; and the categories.
    assert len(chunks) == 5 * 4 + 1
    for chunk in chunks:
        raw = bytearray(chunk.read_bytes())
        raw[len(raw) // 2] ^= 4
        chunk.write_bytes(raw)
        with pytest.raises(Exception, match=r"checksum"):
            anndata.io.read_elem(zarr.open_group(path, mode="r")["obs"])
        raw[len(raw) // 2] ^= 4
        chunk.write_bytes(raw)
    anndata.io.read_elem(zarr.open_group(path, mode="r")["obs"])


def test_columns_that_are_there_are_kept_and_listed_last(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "o.zarr", mode="w", zarr_format=3)
    obs = root.create_group("obs")
    encoding: dict[str, Any] = {"encoding-type": "array", "encoding-version": "0.2.0"}
    obs.create_array("quality", data=np.arange(61), attributes=encoding)
    with open_counts(cells()) as source:
        for _ in range(2):  # a run that was interrupted writes again
            write_obs(root, source, ["type"], present=["quality"])
    found = anndata.io.read_elem(root["obs"])
    assert list(found.columns) == ["type", "quality"]
    assert found["quality"].tolist() == list(range(61))
    assert found.index[60] == "cell30"


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("when", pd.to_datetime(["2020-01-01"] * 61), "values of type datetime64"),
        ("share", pd.array([0.5] * 61, dtype="Float64"), "values of type Float64"),
        ("mixed", pd.Categorical([1, "a"] * 30 + [1]), "categories of mixed types"),
        ("days", pd.Categorical(pd.to_datetime(["2020-01-01"] * 61)), "categories that are values of type"),
        ("odd", np.array([1, "a"] * 30 + [1], object), "cannot be stored"),
        ("a/b", np.arange(61), "name that cannot be stored"),
        ("_index", np.arange(61), "name that cannot be stored"),
        ("..", np.arange(61), "name that cannot be stored"),
        ("a" * 256, np.arange(61), "name that cannot be stored"),
        ("ü" * 128, np.arange(61), "name that cannot be stored"),
        ("a/", np.arange(61), "name that cannot be stored"),
        ("zarr.json", np.arange(61), "name that cannot be stored"),
        ("a\0b", np.arange(61), "name that cannot be stored"),
        ("a\\b", np.arange(61), "name that cannot be stored"),
        ("a\ud800b", np.arange(61), "name that cannot be stored"),
        ("quality", np.arange(61), "is written anyway"),
    ],
)
def test_a_column_that_cannot_be_stored_is_told_before_anything_is_written(
    name: str, values: Any, says: str, tmp_path: Path
) -> None:
    adata = as_anndata(counts())
    adata.obs.columns = adata.obs.columns.astype(object)  # newer pandas has text there, which is Unicode
    adata.obs[name] = values
    root = zarr.open_group(tmp_path / "o.zarr", mode="w", zarr_format=3)
    with open_counts(adata) as source:
        with pytest.raises(
            InputError, match=re.escape(f"AnnData: obs column {name!r} ") + f".*{says}"
        ) as caught:
            check_columns(source, ["type", name], present=["quality"])
        with pytest.raises(InputError, match=says):
            write_obs(root, source, ["type", name], present=["quality"])
    assert "\n" not in str(caught.value)
    assert list(root) == []


def test_a_column_asked_for_twice_or_not_there_is_told() -> None:
    with open_counts(cells()) as source:
        with pytest.raises(InputError, match="'type'"):
            check_columns(source, ["type", "text", "type"])
        with pytest.raises(InputError, match="'Type'"):
            check_columns(source, ["Type"])
        check_columns(source, source.obs_columns)


def test_columns_of_one_name_are_told() -> None:
    adata = as_anndata(counts())
    adata.obs = pd.DataFrame(np.zeros((61, 2)), columns=["a", "a"], index=adata.obs_names)
    with (
        open_counts(adata) as source,
        pytest.raises(InputError, match="several columns of obs are called 'a'"),
    ):
        check_columns(source, ["a"])


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "...", "a:b", " ", "%2F", "A"])
def test_any_other_name_is_kept(name: str, tmp_path: Path) -> None:
    adata = as_anndata(counts())
    adata.obs[name] = np.arange(61)
    found = anndata.io.read_elem(zarr.open_group(_write(adata, tmp_path / "o.zarr"), mode="r")["obs"])
    assert found[name].tolist() == list(range(61))


@pytest.mark.parametrize("row", [0, 30, 60])
@pytest.mark.parametrize("code", [-2, 2, 100])
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_a_code_beyond_the_categories_is_told_beforehand(
    kind: str, code: int, row: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_LOOK_ROWS", 16)
    path = tmp_path / f"c.{kind}"
    if kind == "h5ad":
        as_anndata(counts()).write_h5ad(path)
        with h5py.File(path, "r+") as file:
            file["obs/type/codes"][row] = code
    else:
        root = zarr.open_group(write_zarr(as_anndata(counts()), path, 3), mode="r+")
        root["obs/type/codes"][row] = code
    with open_counts(path) as source, pytest.raises(CorruptDataError, match=rf"'type'.*{code}.*row {row}"):
        check_columns(source, ["type"])


def test_a_column_that_ends_early_is_told_beforehand(tmp_path: Path) -> None:
    path = _complete(_write(cells(), tmp_path / "c.zarr", ["count"]))
    (path / "obs" / "count" / "c" / "3").write_bytes(b"")
    with open_counts(path) as source, pytest.raises(CorruptDataError, match="'count'"):
        check_columns(source, ["count"])
