"""Every format gives back the matrix that was written, whatever the spans."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, assemble, counts, same, write_mtx, write_tenx, write_zarr

from lexicell.counts import CountSource, open_counts, row_partition
from lexicell.counts import dense as dense_module
from lexicell.errors import CorruptDataError

LAYOUTS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": lambda matrix: matrix.toarray()}


def _h5ad(layout: str, **options: Any) -> Any:
    def make(matrix: Any, folder: Path) -> Path:
        as_anndata(LAYOUTS[layout](matrix)).write_h5ad(folder / "c.h5ad", **options)
        return folder / "c.h5ad"

    return make


def _zarr(version: int, layout: str) -> Any:
    def make(matrix: Any, folder: Path) -> Path:
        return write_zarr(as_anndata(LAYOUTS[layout](matrix)), folder / "c.zarr", version)

    return make


def _backed(layout: str) -> Any:
    return lambda matrix, folder: anndata.read_h5ad(_h5ad(layout)(matrix, folder), backed="r")


def _view(layout: str, *, backed: bool) -> Any:
    """A view that shows the matrix: its parent has more cells and genes, in another order."""

    def make(matrix: Any, folder: Path) -> anndata.AnnData:
        n, v = matrix.shape
        rng = np.random.default_rng(1)
        rows, columns = rng.permutation(n + 9), rng.permutation(v + 4)
        parent = sparse.random(n + 9, v + 4, 0.3, format="lil", random_state=rng, dtype=np.float64)
        parent[np.ix_(rows[:n], columns[:v])] = matrix.toarray()
        adata = as_anndata(LAYOUTS[layout](parent.tocsr().astype(matrix.dtype)))
        if backed:
            adata.write_h5ad(folder / "parent.h5ad")
            adata = anndata.read_h5ad(folder / "parent.h5ad", backed="r")
        return adata[rows[:n], columns[:v]]

    return make


def _dask(layout: str, chunks: tuple[int, int]) -> Any:
    def make(matrix: Any, _folder: Path) -> anndata.AnnData:
        array = da.from_array(matrix.toarray(), chunks=chunks)
        return as_anndata(
            array if layout == "dense" else array.map_blocks(LAYOUTS[layout], dtype=matrix.dtype)
        )

    return make


FORMATS = {
    **{f"h5ad-{layout}": _h5ad(layout) for layout in LAYOUTS},
    "h5ad-csr-gzip": _h5ad("csr", compression="gzip"),
    **{f"zarr2-{layout}": _zarr(2, layout) for layout in LAYOUTS},
    **{f"zarr3-{layout}": _zarr(3, layout) for layout in LAYOUTS},
    "10x-h5-v2": lambda matrix, folder: write_tenx(matrix, folder / "c.h5", 2),
    "10x-h5-v3": lambda matrix, folder: write_tenx(matrix, folder / "c.h5", 3),
    "10x-mtx": lambda matrix, folder: write_mtx(matrix, folder / "m", genes="genes"),
    "10x-mtx-gz": lambda matrix, folder: write_mtx(matrix, folder / "m", gz=True),
    "10x-mtx-file": lambda matrix, folder: write_mtx(matrix, folder / "m") / "matrix.mtx",
    "mtx-prefix": lambda matrix, folder: write_mtx(matrix, folder / "m", gz=True, prefix="GSM1_"),
    "mtx-cells-first": lambda matrix, folder: write_mtx(matrix, folder / "m", cells_first=True),
    **{
        f"anndata-{layout}": lambda matrix, _, make=make: as_anndata(make(matrix))
        for layout, make in LAYOUTS.items()
    },
    **{f"backed-{layout}": _backed(layout) for layout in LAYOUTS},
    **{f"view-{layout}": _view(layout, backed=False) for layout in LAYOUTS},
    **{f"backed-view-{layout}": _view(layout, backed=True) for layout in LAYOUTS},
    "dask-csr": _dask("csr", (40, -1)),
    "dask-dense": _dask("dense", (40, -1)),
    "dask-csr-column-chunks": _dask("csr", (64, 50)),
    "dask-dense-column-chunks": _dask("dense", (64, 50)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_spans_of_any_size_give_back_the_matrix(
    name: str, matrix: sparse.csr_matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small enough that slabs, buckets and chunks are many.
    monkeypatch.setattr(dense_module, "SLAB_BYTES", 20_000)
    monkeypatch.setattr(row_partition, "PARTITION_BYTES", 200_000)
    data = FORMATS[name](matrix, tmp_path)
    with open_counts(data) as source:
        assert isinstance(source, CountSource)
        for max_nnz in (1, 300, 5000, 10**9):
            if max_nnz == 1 and name.startswith("backed-view"):
                continue
            same(assemble(source, max_nnz), matrix)
        half = source.n_cells // 2
        block = source.read(half, half + 3)
        same(
            sparse.csr_matrix((block.data, block.indices, block.indptr), (3, block.n_columns)),
            matrix[half : half + 3],
        )
        assert source.read(4, 4).n_rows == 0
        assert len(source.obs) == matrix.shape[0]
        assert len(source.var) == matrix.shape[1]
        if "view" not in name:
            assert source.obs.index[2] == "cell2"
            assert source.var.index[5] == "gene5"


@pytest.mark.parametrize("name", ["pbmc3k_raw_labelled", "baron_h1_pancreas"])
def test_real_files_are_read_as_anndata_reads_them(name: str, data: Callable[[str], Path]) -> None:
    path = data(f"{name}.h5ad")
    expected = anndata.read_h5ad(path)
    with open_counts(path) as source:
        same(assemble(source, 1 << 20), expected.X)
        pd.testing.assert_frame_equal(source.obs, expected.obs)
        pd.testing.assert_frame_equal(source.var, expected.var, check_column_type=False)


def test_spans_keep_to_the_number_of_values_where_offsets_are_known(matrix: sparse.csr_matrix) -> None:
    with open_counts(as_anndata(matrix)) as source:
        spans = list(source.spans(1000))
        assert len(spans) > 5
        assert all(
            matrix.indptr[stop] - matrix.indptr[start] <= 1000 or stop == start + 1 for start, stop in spans
        )


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (np.bool_, np.uint8),
        (np.uint8, np.uint8),
        (np.uint16, np.uint16),
        (np.int8, np.int32),
        (np.int16, np.int32),
        (np.int64, np.int64),
        (np.uint64, np.int64),
        (np.float32, np.float32),
        (np.float64, np.float64),
    ],
)
def test_values_keep_their_type_where_a_kernel_takes_it(stored: type, read: type, h5ad: Any) -> None:
    expected = sparse.csr_matrix(counts().toarray().clip(0, 100).astype(stored))
    with open_counts(h5ad(expected)) as source:
        assert source.read(0, 5).data.dtype == read
        same(assemble(source), expected)


def test_half_precision_becomes_single(h5ad: Any) -> None:
    dense = counts().toarray().astype(np.float16)
    with open_counts(h5ad(dense)) as source:
        assert source.read(0, 5).data.dtype == np.float32
        same(assemble(source), sparse.csr_matrix(dense.astype(np.float32)))


def test_unsorted_and_repeated_columns_pass_through_untouched(tmp_path: Path, h5ad: Any) -> None:
    path = h5ad(counts(3, 8))
    with h5py.File(path, "r+") as file:
        for name, values in {"data": [1, 2, 3, 4], "indices": [7, 0, 0, 5], "indptr": [0, 3, 3, 4]}.items():
            del file["X"][name]
            file["X"][name] = np.array(values, np.int32)
    with open_counts(path) as source:
        block = source.read(0, 3)
    assert block.indices.tolist() == [7, 0, 0, 5]
    assert block.data.tolist() == [1, 2, 3, 4]


def test_packed_columns_stay_16_bit(tmp_path: Path) -> None:
    path = write_zarr(as_anndata(counts()), tmp_path / "c.zarr", 3)
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    group.create_array("X/indices", data=group["X/indices"][:].astype(np.uint16), overwrite=True)
    meta = json.loads((path / "zarr.json").read_text())
    # They still describe the old array.
    meta.pop("consolidated_metadata", None)
    (path / "zarr.json").write_text(json.dumps(meta))
    with open_counts(path) as source:
        assert source.read(0, 4).indices.dtype == np.uint16
        same(assemble(source), counts())


def test_layer_and_raw_are_read_with_their_own_genes(tmp_path: Path) -> None:
    full, adata = counts(), as_anndata(counts())
    adata.raw = adata.copy()
    adata = adata[:, :10].copy()
    adata.layers["counts"] = adata.X * 3
    adata.uns["log1p"] = {"base": None}
    adata.write_h5ad(tmp_path / "c.h5ad")
    write_zarr(adata, tmp_path / "c.zarr", 3)
    backed = anndata.read_h5ad(tmp_path / "c.h5ad", backed="r")
    view = adata[5:30]
    for data in (adata, tmp_path / "c.h5ad", tmp_path / "c.zarr", backed):
        with open_counts(data) as source:
            assert source.log_base == np.e
            assert (source.layers, source.has_raw) == (("counts",), True)
        with open_counts(data, layer="counts") as source:
            same(assemble(source), full[:, :10] * 3)
            assert source.log_base is None
        with open_counts(data, use_raw=True) as source:
            same(assemble(source), full)
            assert source.var.index[-1] == "gene36"
            assert source.log_base is None
    with open_counts(view, use_raw=True) as source:
        same(assemble(source), full[5:30])
    with open_counts(view, layer="counts") as source:
        same(assemble(source), full[5:30, :10] * 3)
    backed.file.close()


def test_every_column_of_features_of_a_10x_h5_is_one_of_var(tmp_path: Path) -> None:
    path = write_tenx(counts(), tmp_path / "c.h5", 3)
    v = counts().shape[1]
    with h5py.File(path, "r+") as file:
        features = file["matrix/features"]
        features["gene_name"] = np.array([f"SYMBOL{j}" for j in range(v)], "S")
        features["probe_region"] = [f"spliced {j % 2}" for j in range(v)]
        features["included"] = np.arange(v) % 3 > 0
        features["length"] = np.arange(v, dtype=np.int32)
        features["target_sets/panel"] = np.arange(4)
        features["shape"] = np.zeros((v, 2))
        features["of_another_length"] = np.arange(3)
    with open_counts(path) as source:
        assert list(source.var.columns[:3]) == ["gene_ids", "feature_types", "genome"]
        assert set(source.var.columns[3:]) == {"gene_name", "probe_region", "included", "length"}
        assert source.var["gene_name"].tolist()[:2] == ["SYMBOL0", "SYMBOL1"]
        assert source.var["probe_region"].tolist()[:2] == ["spliced 0", "spliced 1"]
        assert source.var["included"].dtype == bool
        assert source.var["length"].tolist() == list(range(v))
    with h5py.File(path, "r+") as file:
        del file["matrix/features/feature_type"]
        file["matrix/features/feature_type"] = np.array(["Gene Expression"] * 3, "S")
    with pytest.raises(CorruptDataError):
        open_counts(path)


def test_files_of_anndata_before_0_7_are_read(tmp_path: Path) -> None:
    matrix = counts(6, 4)
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        group = file.create_group("X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = b"csr", matrix.shape
        group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices, matrix.indptr
        obs = [(f"cell{i}".encode(), i % 2, i / 2) for i in range(6)]
        file["obs"] = np.array(obs, [("index", "S8"), ("type", "i1"), ("depth", "f4")])
        file["var"] = np.array([(f"gene{j}".encode(),) for j in range(4)], [("index", "S8")])
        file["uns/type_categories"] = np.array([b"alpha", b"beta"])
    with open_counts(tmp_path / "old.h5ad") as source:
        same(assemble(source), matrix)
        assert source.obs["type"].tolist() == ["alpha", "beta"] * 3
        assert source.obs["depth"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
        assert source.var.index.tolist() == ["gene0", "gene1", "gene2", "gene3"]


def test_a_dask_chunk_is_computed_once_in_span_order() -> None:
    computed: list[int] = []

    def chunk(block: Any, block_info: Any = None) -> Any:
        computed.append(block_info[0]["chunk-location"][0])
        return sparse.csr_matrix(block)

    matrix = counts(90, 40)
    array = da.from_array(matrix.toarray(), chunks=(20, -1)).map_blocks(chunk, dtype=matrix.dtype)
    computed.clear()
    with open_counts(as_anndata(array)) as source:
        edges = {0, 20, 40, 60, 80, 90}
        spans = list(source.spans(150))
        assert edges <= {edge for span in spans for edge in span}
        same(assemble(source, 150), matrix)
    assert sorted(set(computed)) == [0, 1, 2, 3, 4]
    # The first one twice: listing the spans measures it, and reading begins after the last was kept.
    assert len(computed) <= 6


def test_an_all_zero_chunk_that_zarr_leaves_out_is_no_damage(tmp_path: Path) -> None:
    matrix = sparse.csr_matrix(np.ones((5, 1), np.int32))
    path = write_zarr(as_anndata(matrix), tmp_path / "c.zarr", 2)
    assert not (path / "X" / "indices" / "0").exists()
    with open_counts(path) as source:
        same(assemble(source), matrix)


def test_closing_a_source_leaves_a_backed_anndata_open(h5ad: Any) -> None:
    adata = anndata.read_h5ad(h5ad(counts()), backed="r")
    open_counts(adata).close()
    assert adata.file.is_open
    adata.file.close()


def test_a_closed_source_says_so(h5ad: Any) -> None:
    source = open_counts(h5ad(counts()))
    source.close()
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.read(0, 1)
