"""Cells of every stored encoding come in windows as anndata reads them whole."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from tests.engine.counts.conftest import as_anndata, counts, write_mtx, write_tenx

from lexicell.counts import CountSource, open_counts
from lexicell.errors import CorruptDataError, InputError

N = 61


def cells(n: int = N) -> anndata.AnnData:
    """Every kind of column that anndata stores, values missing where they can be."""
    turn = np.arange(n)
    adata = as_anndata(counts(n, 7))
    adata.obs = pd.DataFrame(
        {
            "text": [f"é{i}" for i in turn],
            "type": pd.Categorical.from_codes(turn % 4 - 1, pd.Index(["b", "a", "c", "never", "nowhere"])),
            "stage": pd.Categorical.from_codes(turn % 3, pd.Index([30, 10, 20, 5, 7]), ordered=True),
            "depth": turn / 2,
            "count": turn.astype(np.uint16),
            "kept": turn % 3 == 0,
            "age": pd.array([None if i % 5 == 0 else i for i in turn], dtype="Int16"),
            "treated": pd.array([None if i % 7 == 0 else i % 2 == 0 for i in turn], dtype="boolean"),
            "note": pd.array([None if i % 4 == 1 else f"n{i}" for i in turn], dtype="string"),
        },
        index=[f"cell{i // 2}" for i in turn],
    )
    return adata


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[str], Path]:
    """Write `cells` as h5ad, compressed h5ad, or Zarr v2 or v3; all but the first in chunks of 5 rows."""

    def write(kind: str) -> Path:
        adata, path = cells(), tmp_path / ("c.zarr" if kind.startswith("zarr") else "c.h5ad")
        options: dict[str, Any] = {} if kind == "h5ad" else {"chunks": (5,)}
        root: Any
        if kind.startswith("zarr"):
            root = zarr.open_group(path, mode="w", zarr_format=int(kind[-1]))  # type: ignore[arg-type]
        else:
            root = h5py.File(path, "w")
            options |= {"compression": "gzip"} if kind == "gzip" else {}
        root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        settings = {"allow_write_nullable_strings": True, "auto_shard_zarr_v3": False}
        with warnings.catch_warnings(), anndata.settings.override(**settings):
            warnings.simplefilter("ignore", FutureWarning)  # of Zarr v2
            anndata.io.write_elem(root, "X", adata.X)
            anndata.io.write_elem(root, "var", adata.var)
            anndata.io.write_elem(root, "obs", adata.obs, dataset_kwargs=options)
        if not kind.startswith("zarr"):
            root.close()
        return path

    return write


def windows(source: CountSource, columns: Any, size: int) -> pd.DataFrame:
    starts = range(0, source.n_cells, size)
    return pd.concat([source.read_obs(columns, a, min(a + size, source.n_cells)) for a in starts])


KINDS = ["h5ad", "gzip", "zarr2", "zarr3"]


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 7, 61])
def test_windows_of_any_size_give_what_anndata_reads(
    kind: str, size: int, stored: Callable[[str], Path]
) -> None:
    path = stored(kind)
    expected = (anndata.read_zarr if kind.startswith("zarr") else anndata.read_h5ad)(path).obs
    with open_counts(path) as source:
        assert source.obs_columns == tuple(expected.columns)
        found = windows(source, source.obs_columns, size)
        pd.testing.assert_frame_equal(source.obs, expected)
        assert source.obs is source.obs
    pd.testing.assert_frame_equal(found, expected, check_index_type=False)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_in_any_order_and_columns_as_asked(kind: str, stored: Callable[[str], Path]) -> None:
    with open_counts(stored(kind)) as source:
        # None at all first: types must not depend on what was read before.
        nothing = source.read_obs(source.obs_columns, 0, 0)
        later = source.read_obs(["note", "count"], 40, 55)
        earlier = source.read_obs(["count", "type"], 3, 12)
        assert list(later.columns) == ["note", "count"]
        assert later["count"].tolist() == list(range(40, 55))
        assert earlier["count"].tolist() == list(range(3, 12))
        assert earlier["type"].cat.categories.tolist() == ["b", "a", "c", "never", "nowhere"]
        assert source.names(20, 21).tolist() == ["cell10"]
        assert source.names(5, 5).tolist() == []
        assert source.names(5, 9).dtype == source.names(5, 5).dtype == object
        assert nothing.dtypes.tolist() == source.read_obs(source.obs_columns, 3, 9).dtypes.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_reading_in_order_decodes_each_chunk_once(
    kind: str, stored: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lexicell.counts import tables

    read: list[tuple[int, int]] = []
    load = tables._Pieces._load

    def spy(self: Any, start: int, stop: int) -> Any:
        found = load(self, start, stop)
        if len(found):
            read.append((start, start + len(found)))
        return found

    with open_counts(stored(kind)) as source:
        monkeypatch.setattr(tables._Pieces, "_load", spy)
        table: Any = source
        column = table._table._column("count")
        found = np.concatenate([column(a, min(a + 7, N)) for a in range(0, N, 7)])
    assert found.tolist() == list(range(N))
    assert read[0][0] == 0
    assert [stop for _, stop in read[:-1]] == [start for start, _ in read[1:]]


def test_text_without_gaps_is_object_in_memory_too_and_with_gaps_is_nullable() -> None:
    adata = as_anndata(counts(6, 4))
    adata.obs["full"] = pd.Series(list("abcdef"), index=adata.obs_names, dtype=object)
    adata.obs["gaps"] = pd.Series(["a", None, np.nan, "d", "e", "f"], index=adata.obs_names, dtype=object)
    with open_counts(adata) as source:
        for window in (source.read_obs(["full", "gaps"], 0, 0), source.read_obs(["full", "gaps"], 1, 3)):
            assert window["full"].dtype == object
            assert window["gaps"].dtype == pd.StringDtype()
        assert source.read_obs(["gaps"], 1, 4)["gaps"].isna().tolist() == [True, True, False]
        assert source.obs is source.obs


@pytest.mark.parametrize("values", [[1, "a"], [("a",), "b"], [b"a", b"b"], [[1], [2]]])
def test_objects_that_cannot_be_stored_name_their_column(values: list[Any]) -> None:
    adata = as_anndata(counts(6, 4))
    adata.obs["odd"] = pd.Series(values * 3, index=adata.obs_names, dtype=object)
    with open_counts(adata) as source, pytest.raises(InputError, match=r"AnnData.*'odd'"):
        source.read_obs(["odd"], 0, 0)


def test_a_column_that_is_not_there_is_told_with_those_that_are(stored: Callable[[str], Path]) -> None:
    for data in (cells(), stored("h5ad")):
        with open_counts(data) as source:
            with pytest.raises(InputError, match=r"'Type'.*text, type, stage"):
                source.read_obs(["text", "Type"], 0, 0)
            with pytest.raises(IndexError, match="0:62"):
                source.names(0, 62)


def test_10x_and_mtx_have_names_and_no_columns(tmp_path: Path) -> None:
    for number, data in enumerate(
        (
            write_tenx(counts(), tmp_path / "3.h5", 3),
            write_tenx(counts(), tmp_path / "2.h5", 2),
            write_mtx(counts(), tmp_path / "m"),
        )
    ):
        with open_counts(data) as source:
            assert source.obs_columns == (), number
            assert source.names(59, 61).tolist() == ["cell59", "cell60"]
            assert source.names(1, 2).dtype == object
            assert source.read_obs([], 3, 5).index.tolist() == ["cell3", "cell4"]
            assert source.obs.shape == (61, 0)


def test_names_that_are_numbers_become_text(tmp_path: Path) -> None:
    as_anndata(counts()).write_h5ad(tmp_path / "c.h5ad")
    with h5py.File(tmp_path / "c.h5ad", "r+") as file:
        del file["obs/_index"]
        file["obs/_index"] = np.arange(61)
        file["obs/_index"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with open_counts(tmp_path / "c.h5ad") as source:
        assert source.names(59, 61).tolist() == ["59", "60"]


def test_tables_of_anndata_0_7_are_read_whole(tmp_path: Path) -> None:
    as_anndata(counts()).write_h5ad(tmp_path / "c.h5ad")
    with h5py.File(tmp_path / "c.h5ad", "r+") as file:
        obs = file["obs"]
        codes, labels = obs["type/codes"][:], obs["type/categories"][:]
        del obs["type"]
        obs["type"], obs["__categories/type"] = codes, labels
        obs["type"].attrs["categories"] = obs["__categories/type"].ref
        obs.attrs["encoding-version"] = "0.1.0"
    with open_counts(tmp_path / "c.h5ad") as source:
        assert source.read_obs(["type"], 2, 5)["type"].astype(str).tolist() == ["a", "b", "a"]
        assert source.names(60, 61).tolist() == ["cell60"]


def test_a_table_whose_length_differs_is_corrupt(tmp_path: Path) -> None:
    as_anndata(counts()).write_h5ad(tmp_path / "c.h5ad")
    with h5py.File(tmp_path / "c.h5ad", "r+") as file:
        short = file["obs/type/codes"][:-1]
        del file["obs/type/codes"]
        file["obs/type/codes"] = short
    fault = "obs column 'type' has 60 entries for 61 cells"
    with open_counts(tmp_path / "c.h5ad") as source, pytest.raises(CorruptDataError, match=fault):
        source.read_obs(["type"], 0, 0)
    with h5py.File(tmp_path / "c.h5ad", "r+") as file:
        names = np.array([f"cell{i}" for i in range(60)], object)
        del file["obs/_index"]
        file["obs/_index"] = names
    with pytest.raises(CorruptDataError, match=r"61 .* 60"):
        open_counts(tmp_path / "c.h5ad")


def test_codes_outside_the_categories_are_corrupt(stored: Callable[[str], Path]) -> None:
    path = stored("h5ad")
    with h5py.File(path, "r+") as file:
        file["obs/type/codes"][30] = 5
    with (
        open_counts(path) as source,
        pytest.raises(CorruptDataError, match=r"c\.h5ad.*'type'.*row 30"),
    ):
        source.read_obs(["type"], 0, 1)


def test_text_that_is_no_utf_8_is_corrupt(tmp_path: Path) -> None:
    path = write_tenx(counts(), tmp_path / "c.h5", 3)
    with h5py.File(path, "r+") as file:
        names = file["matrix/barcodes"][:]
        names[7] = b"\xff\xfe"
        file["matrix/barcodes"][...] = names
    with open_counts(path) as source, pytest.raises(CorruptDataError, match="rows 5:9"):
        source.names(5, 9)


@pytest.mark.parametrize("version", [2, 3])
def test_a_damaged_or_missing_chunk_names_file_and_column(version: int, stored: Any) -> None:
    path = stored(f"zarr{version}")
    names = path / "obs" / "_index"
    chunks = {"type": path / "obs" / "type" / "codes", "the cell names": names}
    if not any(child.name in ("c", "3") for child in names.iterdir()):
        chunks["the cell names"] = names / "values"
    for what, array in chunks.items():
        chunk = array / ("3" if version == 2 else "c/3")
        raw = chunk.read_bytes()
        for damage in (raw[: len(raw) // 2], b"\xff" * len(raw)):
            chunk.write_bytes(damage)
            with open_counts(path) as source, pytest.raises(CorruptDataError) as caught:
                source.names(16, 17), source.read_obs(["type"], 16, 17)
            assert str(path) in str(caught.value)
            assert what in str(caught.value)
            assert "\n" not in str(caught.value)
            chunk.write_bytes(raw)
    chunk.unlink()
    with open_counts(path) as source, pytest.raises(CorruptDataError, match="store lacks"):
        source.names(16, 17)


def test_a_damaged_chunk_of_an_h5ad_names_file_and_column(stored: Callable[[str], Path]) -> None:
    path = stored("gzip")
    with h5py.File(path) as file:
        info = file["obs/count"].id.get_chunk_info(4)
    raw = bytearray(path.read_bytes())
    raw[info.byte_offset : info.byte_offset + info.size] = b"\0" * info.size
    path.write_bytes(raw)
    with open_counts(path) as source:
        assert source.read_obs(["count"], 0, 10)["count"].tolist() == list(range(10))
        with pytest.raises(CorruptDataError, match=r"c\.h5ad: rows 21:22.*'count'"):
            source.read_obs(["count"], 21, 22)


def test_a_column_that_is_listed_but_not_there_is_corrupt(stored: Callable[[str], Path]) -> None:
    path = stored("zarr3")
    (path / "zarr.json").write_text('{"attributes": {}, "zarr_format": 3, "node_type": "group"}')
    shutil.rmtree(path / "obs" / "depth")
    assert "depth" not in zarr.open_group(path / "obs", mode="r")
    with open_counts(path) as source, pytest.raises(CorruptDataError, match="'depth'"):
        source.read_obs(["depth"], 0, 1)


def test_several_threads_read_the_same_columns(stored: Callable[[str], Path]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with open_counts(stored("zarr3")) as source, ThreadPoolExecutor(8) as pool:
        starts = np.random.default_rng(0).integers(0, N - 9, 200).tolist()
        found = list(pool.map(lambda a: source.read_obs(["count"], a, a + 9)["count"].tolist(), starts))
    assert found == [list(range(a, a + 9)) for a in starts]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", "."])
def test_a_name_that_no_column_can_have_is_no_column(
    stored: Callable[[str], Path], kind: str, name: str
) -> None:
    path = stored(kind)
    root: Any = zarr.open_group(path, mode="r+") if path.suffix == ".zarr" else h5py.File(path, "r+")
    order = [*map(str, root["obs"].attrs["column-order"]), name]
    root["obs"].attrs["column-order"] = (
        order if path.suffix == ".zarr" else np.array(order, h5py.string_dtype())
    )
    if path.suffix != ".zarr":
        root.close()
    with open_counts(path) as source:
        assert name not in source.obs_columns
        assert list(source.read_obs(source.obs_columns, 3, 5)["text"]) == ["é3", "é4"]
        with pytest.raises(InputError, match="no column"):
            source.read_obs([name], 0, 1)
