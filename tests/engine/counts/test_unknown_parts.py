"""What is stored in a way that is not known here is no damage; where it isn't needed it doesn't matter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from tests.engine.counts.conftest import as_anndata, assemble, counts, same, write_zarr

from lexicell.counts import open_counts
from lexicell.errors import CorruptDataError, InputError

Edit = Callable[[dict[str, Any]], None]
#: Metadata of Zarr v3 as a later version may write them.
UNKNOWN: dict[str, Edit] = {
    "dtype": lambda meta: meta.update(data_type="complex_float4_e2m1fn"),
    "structured": lambda meta: meta.update(
        data_type={
            "name": "struct of the future",
            "configuration": {"fields": [["0", "int32"], ["1", "float32"]]},
        }
    ),
    "codec": lambda meta: meta.update(codecs=[{"name": "of the future", "configuration": {}}]),
    "grid": lambda meta: meta["chunk_grid"].update(name="of the future"),
    "keys": lambda meta: meta["chunk_key_encoding"].update(name="of the future"),
    "field": lambda meta: meta.update(of_the_future={"name": "x", "must_understand": True}),
    "node": lambda meta: meta.update(node_type="of the future"),
}


def _adata() -> Any:
    adata = as_anndata(counts())
    adata.obs["batch"] = np.arange(61)
    adata.var["note"] = np.arange(37)
    adata.layers["other"] = counts().toarray() * 2
    adata.layers["twice"] = counts() * 2
    adata.uns["rank"] = np.arange(3)
    adata.uns["log1p"] = {"base": np.arange(2)}
    adata.obsm["X_pca"] = np.zeros((61, 2))
    return adata


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return {version: write_zarr(_adata(), folder / f"{version}.zarr", version) for version in (2, 3)}


@pytest.fixture
def spoilt(whole: dict[int, Path], tmp_path: Path) -> Callable[..., Path]:
    def make(part: str, edit: Edit, *, consolidated: bool, version: int = 3) -> Path:
        path = tmp_path / "c.zarr"
        shutil.copytree(whole[version], path)
        own, all_of_it = ("zarr.json", "zarr.json") if version == 3 else (".zarray", ".zmetadata")
        meta = json.loads((path / part / own).read_text())
        edit(meta)
        (path / part / own).write_text(json.dumps(meta))
        root = json.loads((path / all_of_it).read_text())
        if version == 3 and consolidated:
            edit(root["consolidated_metadata"]["metadata"][part])
        elif version == 3:
            del root["consolidated_metadata"]
        elif consolidated:
            edit(root["metadata"][f"{part}/.zarray"])
        (path / all_of_it).write_text(json.dumps(root))
        if version == 2 and not consolidated:
            (path / ".zmetadata").unlink()
        return path

    return make


def _each_once(parts: list[str]) -> list[tuple[str, str]]:
    """Pairs of a kind and a part: all parts with one kind, and all kinds with one part."""
    return [("structured", part) for part in parts] + [
        (kind, parts[0]) for kind in UNKNOWN if kind != "structured"
    ]


UNNEEDED = ["uns/rank", "uns/log1p/base", "layers/other", "obs/batch", "var/note", "obsm/X_pca"]
NEEDED = ["X/data", "X/indices", "X/indptr", "var/_index", "obs/_index"]


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize(("kind", "part"), _each_once(UNNEEDED))
def test_what_is_not_needed_does_not_matter(kind: str, part: str, consolidated: bool, spoilt: Any) -> None:
    path = spoilt(part, UNKNOWN[kind], consolidated=consolidated)
    with open_counts(path) as source:
        same(assemble(source), counts())
        assert source.log_base is not None
        assert source.layers == ("other", "twice")
        assert source.var.index[5] == "gene5"
        assert source.read_obs(["type"], 0, 2)["type"].tolist() == ["a", "b"]
        assert ("note" in source.var) == (part != "var/note")
    with open_counts(path, layer="twice") as source:
        same(assemble(source), counts() * 2)


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize(("kind", "part"), _each_once(NEEDED))
def test_what_is_needed_and_not_known_is_no_damage(
    kind: str, part: str, consolidated: bool, spoilt: Any
) -> None:
    with pytest.raises(InputError, match="not known here") as caught:
        open_counts(spoilt(part, UNKNOWN[kind], consolidated=consolidated))
    assert "c.zarr" in str(caught.value)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("kind", ["dtype", "codec"])
def test_a_column_or_layer_that_is_not_known_is_told_when_it_is_asked_for(kind: str, spoilt: Any) -> None:
    path = spoilt("obs/batch", UNKNOWN[kind], consolidated=True)
    with open_counts(path) as source, pytest.raises(InputError, match=r"batch.*not known here"):
        source.read_obs(["batch"], 0, 3)
    shutil.rmtree(path)
    with pytest.raises(InputError, match=r"other.*not known here"):
        open_counts(spoilt("layers/other", UNKNOWN[kind], consolidated=True), layer="other")


@pytest.mark.parametrize("consolidated", [True, False])
def test_codecs_that_are_not_known_are_told_of_zarr_v2_too(consolidated: bool, spoilt: Any) -> None:
    def edit(meta: dict[str, Any]) -> None:
        meta["compressor"] = {"id": "of_the_future"}

    path = spoilt("uns/rank", edit, consolidated=consolidated, version=2)
    with open_counts(path) as source:
        same(assemble(source), counts())
    shutil.rmtree(path)
    with (
        pytest.raises(InputError, match="of_the_future"),
        open_counts(spoilt("X/data", edit, consolidated=consolidated, version=2)) as source,
    ):
        assemble(source)


def test_damage_stays_damage(spoilt: Any) -> None:
    path = spoilt("X/data", lambda meta: meta.pop("shape"), consolidated=False)
    with pytest.raises(CorruptDataError):
        open_counts(path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("uns", ["absent", "array"])
def test_uns_may_be_absent_or_an_array(uns: str, version: int, tmp_path: Path) -> None:
    adata = _adata()
    adata.write_h5ad(tmp_path / "c.h5ad")
    with h5py.File(tmp_path / "c.h5ad", "r+") as file:
        del file["uns"]
        if uns == "array":
            file["uns"] = np.arange(3)
    store = write_zarr(adata, tmp_path / "c.zarr", version)
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    del group["uns"]
    if uns == "array":
        group.create_array("uns", data=np.arange(3))
    zarr_json = store / "zarr.json"
    if version == 3:
        meta = json.loads(zarr_json.read_text())
        meta.pop("consolidated_metadata", None)
        zarr_json.write_text(json.dumps(meta))
    else:
        (store / ".zmetadata").unlink()
    for path in (tmp_path / "c.h5ad", store):
        with open_counts(path) as source:
            same(assemble(source), counts())
            assert source.log_base is None


@pytest.mark.parametrize("part", ["obs/batch", "var/note"])
def test_encodings_of_a_later_anndata_are_told_when_they_are_needed(part: str, tmp_path: Path) -> None:
    adata = _adata()
    adata.obs["batch"] = pd.array(np.arange(61), dtype="Int64")
    adata.var["note"] = pd.array(np.arange(37), dtype="Int64")
    adata.write_h5ad(tmp_path / "c.h5ad")
    with h5py.File(tmp_path / "c.h5ad", "r+") as file:
        file[part].attrs["encoding-type"] = "of-the-future"
    with open_counts(tmp_path / "c.h5ad") as source:
        same(assemble(source), counts())
        if part == "obs/batch":
            with pytest.raises(InputError, match=r"batch.*not known here"):
                source.read_obs(["batch"], 0, 3)
        else:
            assert "note" not in source.var


def test_a_filter_that_hdf5_lacks_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "c.h5ad"
    as_anndata(counts()).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        data = file["X/data"][:]
        del file["X/data"]
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk(data.shape)
        created.set_filter(32_767, h5py.h5z.FLAG_OPTIONAL)  # the last number that is nobody's
        space = h5py.h5s.create_simple(data.shape)
        stored = h5py.h5d.create(file["X"].id, b"data", h5py.h5t.NATIVE_INT32, space, dcpl=created)
        stored.write_direct_chunk((0,), data.astype(np.int32).tobytes())
    with open_counts(path) as source, pytest.raises(InputError, match="not known here") as caught:
        assemble(source)
    assert "c.h5ad" in str(caught.value)
