"""What is wrong with a file is said in one sentence, as the right kind of error."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, assemble, counts, write_mtx, write_tenx, write_zarr

from lexicell.counts import open_counts
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError


def _one_sentence(error: BaseException, *parts: object) -> None:
    text = str(error)
    assert "\n" not in text
    assert not text.endswith(".")
    for part in parts:
        assert str(part) in text


def test_missing_path_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError) as caught:
        open_counts(tmp_path / "no.h5ad")
    assert isinstance(caught.value, FileNotFoundError)
    _one_sentence(caught.value, tmp_path / "no.h5ad")


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_truncated_h5ad_is_corrupt(share: float, kind: str, h5ad: Any) -> None:
    matrix = counts(400, 100)
    path = h5ad(matrix.toarray() if kind == "dense" else matrix.asformat(kind))
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(CorruptDataError) as caught, open_counts(path) as source:
        assemble(source)
    _one_sentence(caught.value, path)


def test_values_that_do_not_decompress_name_the_rows(h5ad: Any) -> None:
    path = h5ad(counts(3000, 200), compression="gzip")
    with h5py.File(path) as file:
        data = file["X/data"]
        assert data.id.get_num_chunks() > 2
        chunk = data.id.get_chunk_info(data.id.get_num_chunks() - 2)
    raw = bytearray(path.read_bytes())
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(raw)
    with open_counts(path) as source:
        source.read(0, 10)
        with pytest.raises(CorruptDataError, match=r"rows \d+:\d+ of X") as caught:
            assemble(source, 2000)
    _one_sentence(caught.value, path)


def test_garbled_beginning_is_corrupt_and_an_unknown_kind_is_not_read(tmp_path: Path, h5ad: Any) -> None:
    path = h5ad(counts())
    raw = path.read_bytes()
    path.write_bytes(b"\0" * 64 + raw[64:])
    with pytest.raises(CorruptDataError):
        open_counts(path)
    (tmp_path / "c.csv").write_text("gene,cell\n1,2\n")
    with pytest.raises(InputError, match=r"\.h5ad") as caught:
        open_counts(tmp_path / "c.csv")
    assert not isinstance(caught.value, InputNotFoundError)


def test_hdf5_that_is_no_count_matrix_says_what_is_read(tmp_path: Path) -> None:
    for name, parts, says in (
        ("a.h5", ["x/y"], "neither an AnnData nor a 10x"),
        ("b.h5", ["mod/rna/X"], "MuData"),
        ("c.loom", ["row_attrs/a", "col_attrs/b"], "loom"),
        ("d.h5", [], "neither"),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            for part in parts:
                file[part] = np.zeros(3)
        with pytest.raises(InputError, match=says):
            open_counts(tmp_path / name)


def test_folder_that_is_no_count_matrix_says_what_is_read(tmp_path: Path) -> None:
    import zarr

    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"matrix\.mtx"):
        open_counts(tmp_path / "empty")
    zarr.open_group(tmp_path / "z.zarr", mode="w")
    zarr.create_array(tmp_path / "array.zarr", shape=(3,), dtype="i4")
    for name in ("z.zarr", "array.zarr"):
        with pytest.raises(InputError, match="AnnData"):
            open_counts(tmp_path / name)


def test_neither_path_nor_anndata_is_refused() -> None:
    with pytest.raises(InputError, match="csr_matrix"):
        open_counts(counts())  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_empty_matrix_is_refused(shape: tuple[int, int], tmp_path: Path) -> None:
    for number, matrix in enumerate((sparse.csr_matrix(shape, dtype=np.int32), np.zeros(shape, np.int32))):
        adata = as_anndata(matrix)
        adata.write_h5ad(tmp_path / f"{number}.h5ad")
        for data in (adata, tmp_path / f"{number}.h5ad"):
            with pytest.raises(InputError, match=f"empty \\({shape[0]} cells x {shape[1]} genes"):
                open_counts(data)
    full = as_anndata(counts())
    with pytest.raises(InputError, match="empty"):
        open_counts(full[: shape[0], : shape[1]])


def test_a_matrix_that_is_not_there_is_refused_and_the_others_are_listed(tmp_path: Path) -> None:
    adata = as_anndata(counts())
    adata.layers["spliced"] = adata.X
    adata.layers["counts"] = adata.X
    adata.write_h5ad(tmp_path / "c.h5ad")
    for data in (adata, tmp_path / "c.h5ad"):
        with pytest.raises(InputError, match=r"'raw'.*counts, spliced"):
            open_counts(data, layer="raw")
        with pytest.raises(InputError, match=r"\.raw.*counts, spliced"):
            open_counts(data, use_raw=True)
        with pytest.raises(InputError, match="exclude each other"):
            open_counts(data, layer="counts", use_raw=True)
    del adata.X
    adata.write_h5ad(tmp_path / "nox.h5ad")
    for data in (adata, tmp_path / "nox.h5ad"):
        with pytest.raises(InputError, match=r"X.*counts, spliced"):
            open_counts(data)
    tenx = write_tenx(counts(), tmp_path / "c.h5", 3)
    with pytest.raises(InputError, match="--layer"):
        open_counts(tenx, layer="counts")


def test_values_that_are_no_numbers_are_refused(tmp_path: Path, h5ad: Any) -> None:
    path = h5ad(counts())
    with h5py.File(path, "r+") as file:
        size = file["X/data"].shape[0]
        del file["X/data"]
        file["X/data"] = np.array([b"a"] * size)
    with pytest.raises(InputError, match="no counts"):
        open_counts(path)


def _damage(path: Path, name: str, change: Any, group: str = "X") -> None:
    with h5py.File(path, "r+") as file:
        values = change(file[f"{group}/{name}"][:])
        del file[f"{group}/{name}"]
        file[f"{group}/{name}"] = values


def _set(place: int, value: int) -> Any:
    def change(values: Any) -> Any:
        values[place] = value
        return values

    return change


@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("indptr", _set(0, 1)),
        ("indptr", _set(-1, 5)),
        ("indptr", _set(4, 10**6)),
        ("indptr", lambda values: values[:-1]),
        ("data", lambda values: values[:-3]),
    ],
    ids=["start", "end", "falls", "short", "values"],
)
def test_offsets_that_do_not_fit_are_corrupt_when_opening(
    kind: str, name: str, change: Any, h5ad: Any
) -> None:
    path = h5ad(counts().asformat(kind))
    _damage(path, name, change)
    with pytest.raises(CorruptDataError) as caught:
        open_counts(path)
    _one_sentence(caught.value, path)


@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("value", [-1, 61, 2**31 - 1])
def test_an_index_out_of_range_is_corrupt_when_read(kind: str, value: int, h5ad: Any) -> None:
    path = h5ad(counts(61, 61).asformat(kind))
    _damage(path, "indices", _set(40, value))
    with open_counts(path) as source, pytest.raises(CorruptDataError, match=f"index {value}, outside 0:61"):
        assemble(source)


def test_an_index_out_of_range_in_memory_is_found_too() -> None:
    adata = as_anndata(counts())
    adata.X.indices[0] = 99
    for data in (adata, adata[::2]):
        with open_counts(data) as source, pytest.raises(CorruptDataError, match="index 99"):
            assemble(source)


def test_tables_that_do_not_fit_are_corrupt(tmp_path: Path) -> None:
    path = write_tenx(counts(), tmp_path / "c.h5", 3)
    _damage(path, "barcodes", lambda values: values[:-1], group="matrix")
    with pytest.raises(CorruptDataError, match="obs has 60"):
        open_counts(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_damaged_or_missing_zarr_chunk_is_corrupt(version: int, tmp_path: Path) -> None:
    path = write_zarr(as_anndata(counts(300, 200)), tmp_path / "c.zarr", version)
    for array in ("data", "indices"):
        chunk = path / "X" / array / ("0" if version == 2 else "c/0")
        raw = chunk.read_bytes()
        for damage in (raw[: len(raw) // 2], b"\xff" * len(raw), None):
            if damage is None:
                chunk.unlink()
            else:
                chunk.write_bytes(damage)
            with pytest.raises(CorruptDataError, match="rows"), open_counts(path) as source:
                assemble(source)
            chunk.write_bytes(raw)
    for meta in path.glob("X/data/*z*arr*"):
        meta.write_text("{")
    (path / "zarr.json").write_text("{") if version == 3 else (path / ".zgroup").write_text("{")
    with pytest.raises(CorruptDataError):
        open_counts(path)


def test_a_zarr_without_a_part_is_corrupt(tmp_path: Path) -> None:
    path = write_zarr(as_anndata(counts()), tmp_path / "c.zarr", 3)
    meta = json.loads((path / "zarr.json").read_text())
    meta.pop("consolidated_metadata", None)
    (path / "zarr.json").write_text(json.dumps(meta))
    shutil.rmtree(path / "X" / "indptr")
    with pytest.raises(CorruptDataError, match="X cannot be read"):
        open_counts(path)


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.98])
def test_truncated_mtx_is_corrupt(share: float, gz: bool, tmp_path: Path) -> None:
    path = write_mtx(counts(300, 50), tmp_path / "m", gz=gz) / ("matrix.mtx.gz" if gz else "matrix.mtx")
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises((CorruptDataError, InputError)) as caught, open_counts(path) as source:
        assemble(source)
    assert share == 0.01 or isinstance(caught.value, CorruptDataError)
    _one_sentence(caught.value, path)


def test_mtx_that_declares_more_than_it_holds_is_corrupt(tmp_path: Path) -> None:
    path = write_mtx(counts(), tmp_path / "m") / "matrix.mtx"
    text = path.read_text().rstrip("\n")
    path.write_text(text[: text.rindex("\n") + 1])
    with (
        open_counts(path) as source,
        pytest.raises(CorruptDataError, match=r"declares (\d+) values and holds"),
    ):
        assemble(source)


def test_mtx_faults_say_what_to_do(tmp_path: Path) -> None:
    folder = write_mtx(counts(), tmp_path / "m")
    matrix = folder / "matrix.mtx"
    text = matrix.read_text()
    for old, new, error, says in (
        ("coordinate", "array", InputError, "coordinate integer general"),
        ("%%MatrixMarket", "something", InputError, "not a Matrix Market"),
        ("\n37 61 ", "\n38 61 ", CorruptDataError, "38 x 61"),
    ):
        assert old in text
        matrix.write_text(text.replace(old, new))
        with pytest.raises(error, match=says):
            open_counts(folder)
    matrix.write_text(text + "99 1 1\n")
    with open_counts(folder) as source, pytest.raises(CorruptDataError, match="index 98, outside 0:37"):
        assemble(source)
    matrix.write_text(text)
    shutil.copy(matrix, folder / "other_matrix.mtx")
    with pytest.raises(InputError, match="several matrices"):
        open_counts(folder)
    (folder / "other_matrix.mtx").unlink()
    (folder / "barcodes.tsv").unlink()
    with pytest.raises(InputNotFoundError, match=r"barcodes\.tsv"):
        open_counts(folder)
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress(b"cell\n" * 61)[:20])
    with pytest.raises(CorruptDataError, match=r"barcodes\.tsv\.gz"):
        open_counts(folder)


def test_dask_chunks_of_unknown_size_and_failing_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask.array as da

    array = da.from_array(counts().toarray(), chunks=(20, -1))
    adata = as_anndata(array)
    unknown = array[array[:, 0] >= 0]
    with monkeypatch.context() as patched:
        patched.setattr(type(adata), "X", property(lambda _: unknown))
        with pytest.raises(InputError, match="compute_chunk_sizes"):
            open_counts(adata)

    def fail(block: Any, block_info: Any = None) -> Any:
        if block_info[0]["chunk-location"][0] == 1:
            message = "disk gone"
            raise OSError(message)
        return block

    with (
        open_counts(as_anndata(array.map_blocks(fail, dtype=array.dtype))) as source,
        pytest.raises(CorruptDataError, match="rows 20:40 of X"),
    ):
        assemble(source)


def test_errors_leave_the_file_closed(tmp_path: Path, h5ad: Any) -> None:
    path = h5ad(counts())
    with pytest.raises(InputError):
        open_counts(path, layer="no")
    with h5py.File(path, "r+"):
        pass
    assert anndata.read_h5ad(path).n_obs == 61
