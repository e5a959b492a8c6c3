"""One matrix, and a writer for every format that `open_counts` reads."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import io, sparse

from lexicell.counts import CountSource


def counts(n: int = 61, v: int = 37, *, seed: int = 7, dtype: Any = np.int32) -> sparse.csr_matrix:
    """Seeded counts with a cell and a gene that have none, and one very deep cell."""
    rng = np.random.default_rng(seed)
    dense = rng.poisson(0.4, (n, v))
    dense[n // 2] = rng.integers(1, 2000, v)
    dense[3 % n] = 0
    dense[:, 5 % v] = 0
    return sparse.csr_matrix(dense.astype(dtype))


def as_anndata(matrix: Any) -> anndata.AnnData:
    n, v = matrix.shape
    obs = pd.DataFrame(
        {"type": pd.Categorical(["a", "b"])[np.arange(n) % 2]}, index=[f"cell{i}" for i in range(n)]
    )
    return anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=[f"gene{j}" for j in range(v)]))


def assemble(source: CountSource, max_nnz: int = 200) -> sparse.csr_matrix:
    """Read a source through its spans; checks the contract of every block on the way."""
    blocks, end = [], 0
    for start, stop in source.spans(max_nnz):
        assert start == end < stop <= source.n_cells
        block = source.read(start, stop)
        assert block.indptr.dtype == np.int64
        assert block.indptr[0] == 0
        assert block.indptr[-1] == block.data.shape[0] == block.indices.shape[0]
        assert block.indices.dtype in (np.uint16, np.int32, np.int64)
        assert block.n_columns == source.n_columns
        assert block.n_rows == stop - start
        indices = block.indices.astype(np.int64)
        blocks.append(
            sparse.csr_matrix((block.data, indices, block.indptr), shape=(stop - start, block.n_columns))
        )
        end = stop
    assert end == source.n_cells
    return sparse.vstack(blocks, format="csr")


def same(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    difference = sparse.csr_matrix(found).astype(np.float64) - sparse.csr_matrix(expected).astype(np.float64)
    assert difference.count_nonzero() == 0


def write_zarr(adata: anndata.AnnData, path: Path, version: int, **options: Any) -> Path:
    with warnings.catch_warnings():
        # anndata announces the change of its default, zarr that consolidated metadata are not in its v3.
        warnings.simplefilter("ignore", UserWarning)
        before = anndata.settings.zarr_write_format
        anndata.settings.zarr_write_format = version
        try:
            adata.write_zarr(path, **options)
        finally:
            anndata.settings.zarr_write_format = before
    return path


def write_tenx(matrix: sparse.csr_matrix, path: Path, version: int, types: list[str] | None = None) -> Path:
    n, v = matrix.shape
    names = np.array([f"gene{j}" for j in range(v)], "S")
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        group["barcodes"] = np.array([f"cell{i}" for i in range(n)], "S")
        group["data"], group["indices"] = matrix.data.astype(np.int32), matrix.indices.astype(np.int64)
        group["indptr"], group["shape"] = matrix.indptr.astype(np.int64), np.array([v, n], np.int32)
        if version == 3:
            features = group.create_group("features")
            features["id"] = np.array([f"ENSG{j}" for j in range(v)], "S")
            features["name"] = names
            features["feature_type"] = np.array(types or ["Gene Expression"] * v, "S")
            features["genome"] = np.array(["GRCh38"] * v, "S")
            features["_all_tag_keys"] = np.array(["genome"], "S")
        else:
            group["gene_names"], group["genes"] = names, np.array([f"ENSG{j}" for j in range(v)], "S")
    return path


def write_mtx(
    matrix: sparse.csr_matrix,
    folder: Path,
    *,
    gz: bool = False,
    prefix: str = "",
    genes: str = "features",
    types: list[str] | None = None,
    cells_first: bool = False,
) -> Path:
    folder.mkdir()
    n, v = matrix.shape
    plain = folder / f"{prefix}matrix.mtx"
    io.mmwrite(
        plain, sparse.coo_matrix(matrix if cells_first else matrix.T), field="integer", symmetry="general"
    )
    kinds = types or ["Gene Expression"] * v
    tables = {
        "barcodes": "".join(f"cell{i}\n" for i in range(n)),
        genes: "".join(f"ENSG{j}\tgene{j}\t{kinds[j]}\n" for j in range(v)),
    }
    for name, text in tables.items():
        (folder / f"{prefix}{name}.tsv").write_text(text)
    if gz:
        for path in list(folder.iterdir()):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return folder


@pytest.fixture(scope="session")
def matrix() -> sparse.csr_matrix:
    return counts(200, 150)


@pytest.fixture
def h5ad(tmp_path: Path) -> Callable[..., Path]:
    """Write a matrix as h5ad and return the path."""

    def write(matrix: Any, name: str = "counts.h5ad", **options: Any) -> Path:
        as_anndata(matrix).write_h5ad(tmp_path / name, **options)
        return tmp_path / name

    return write
