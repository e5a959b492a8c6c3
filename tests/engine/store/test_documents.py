"""Single values and groups, beside what anndata itself writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr

from lexicell.store import documents as documents_module

VALUES = {
    "name": "Ünï\ncode", "none": "", "n": 3, "least": -(2**63), "share": 0.1, "tiny": 5e-324, "yes": True,
    "no": False, "inside": {"deep": {"x": "y"}, "empty": {}},
}  # fmt: skip


def written(folder: Path, documents: Iterable[documents_module.Document]) -> Any:
    (folder / "zarr.json").write_bytes(documents_module.group("", {})[1])
    for key, content in documents:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return zarr.open_group(folder, mode="r")


def test_values_read_as_those_that_anndata_writes(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = zarr.open_group(tmp_path / "theirs", mode="w", zarr_format=3)
    with anndata.settings.override(auto_shard_zarr_v3=False):
        anndata.io.write_elem(theirs, "uns", VALUES)
    (tmp_path / "ours").mkdir()
    ours = written(tmp_path / "ours", documents_module.mapping_documents("uns", VALUES))

    def same(one: Any, other: Any) -> None:
        assert dict(one.attrs) == dict(other.attrs)
        if isinstance(one, zarr.Group):
            assert sorted(one.keys()) == sorted(other.keys())
            for key in one:
                same(one[key], other[key])
        else:
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert one[()] == other[()]

    same(ours["uns"], theirs["uns"])
    read = anndata.io.read_elem(ours["uns"])
    assert read == VALUES
    assert {name: type(value) for name, value in read.items()} == {
        name: type(value) for name, value in anndata.io.read_elem(theirs["uns"]).items()
    }


def test_a_table_without_rows_is_a_data_frame(tmp_path: Path) -> None:
    frame = anndata.io.read_elem(written(tmp_path, documents_module.empty_table("var"))["var"])
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (0, 0)


@pytest.mark.parametrize("name", ["name", "n", "share", "yes"])
def test_a_flipped_bit_of_a_value_is_noticed(tmp_path: Path, name: str) -> None:
    root = written(tmp_path, documents_module.mapping_documents("uns", VALUES))
    path = tmp_path / "uns" / name / "c"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        root[f"uns/{name}"][()]


@pytest.mark.parametrize("value", [None, [1], np.float32(1), b"x"])
def test_a_value_that_is_neither_text_nor_a_number_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="uns/odd"):
        list(documents_module.mapping_documents("uns", {"odd": value}))


def test_documents_are_plain_json() -> None:
    documents = dict(documents_module.mapping_documents("uns", {"share": 0.5}))
    assert json.loads(documents["uns/share/zarr.json"])["fill_value"] == 0.0
    assert sorted(documents) == ["uns/share/c", "uns/share/zarr.json", "uns/zarr.json"]
