"""Dask arrays of CuPy chunks are embedded on the GPU when they are computed."""

from __future__ import annotations

import anndata
import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse

import lexicell
from lexicell.errors import CountsError

cupy = pytest.importorskip("cupy", reason="test_on_gpu.py runs this with the stand-in for CuPy")
sparse = pytest.importorskip("cupyx.scipy.sparse")

pytestmark = pytest.mark.gpu
#: How a chunk gets to the GPU, and what rapids-singlecell gives as the type of such chunks.
CHUNKS = {
    "csr": (
        lambda chunk: sparse.csr_matrix(scipy.sparse.csr_matrix(chunk)),
        lambda: sparse.csr_matrix(cupy.zeros((1, 1), np.float32)),
    ),
    "dense": (cupy.asarray, lambda: cupy.zeros((0,), np.float32)),
}


def lazy(adata, form="csr", columns=-1, asked=None):
    """What `rapids_singlecell.get.anndata_to_GPU` makes of a Dask array."""
    make, meta = CHUNKS[form]

    def load(chunk, block_info=None):
        if asked is not None:
            asked.append(block_info[0]["chunk-location"][0])
        return make(chunk)

    array = da.from_array(adata.X.toarray(), chunks=(50, columns)).map_blocks(
        load, dtype=np.float32, meta=meta()
    )
    return anndata.AnnData(array, obs=adata.obs[[]].copy(), var=adata.var.copy())


@pytest.mark.parametrize("columns", [-1, 300])
@pytest.mark.parametrize("form", CHUNKS)
def test_chunks_of_the_gpu_give_vectors_there_when_they_are_computed(counts, form, columns):
    asked: list[int] = []
    adata = lazy(counts, form, columns, asked)
    asked.clear()
    lexicell.tl.embed(adata, top_k=40)
    assert set(asked) == {0}
    vectors, quality = adata.obsm["X_lexicell"], adata.obsm["lexicell_quality"]
    assert vectors.chunks == ((50, 50, 20), (384,))
    assert quality.chunks == ((50, 50, 20), (3,))
    assert isinstance(vectors._meta, cupy.ndarray)
    assert adata.obs.empty
    asked.clear()
    vectors, quality = dask.compute(vectors, quality)
    assert sorted(set(asked)) == [0, 1, 2]
    assert columns != -1 or len(asked) == 3
    assert isinstance(vectors, cupy.ndarray)
    np.testing.assert_allclose(vectors.get(), counts.obsm["X_lexicell"], rtol=0, atol=1e-6)
    names = ["lexicell_n_genes", "lexicell_coverage", "lexicell_n_tied"]
    np.testing.assert_allclose(quality.get(), counts.obs[names], rtol=1e-6)


@pytest.mark.parametrize(("device", "on_device"), [("auto", False), ("cpu", None)])
def test_vectors_come_back_chunk_by_chunk_as_asked(counts, device, on_device):
    adata = lazy(counts)
    lexicell.tl.embed(adata, top_k=40, device=device, on_device=on_device)
    assert isinstance(adata.obsm["X_lexicell"]._meta, np.ndarray)
    vectors = adata.obsm["X_lexicell"].compute()
    assert isinstance(vectors, np.ndarray)
    np.testing.assert_allclose(vectors, counts.obsm["X_lexicell"], rtol=0, atol=1e-6)


def test_chunks_of_the_host_are_taken_to_the_gpu_when_asked(counts):
    adata = counts.copy()
    adata.X = da.from_array(counts.X, chunks=(50, -1))
    lexicell.tl.embed(adata, top_k=40, device="cuda", on_device=True)
    vectors = adata.obsm["X_lexicell"].compute()
    assert isinstance(vectors, cupy.ndarray)
    np.testing.assert_allclose(vectors.get(), counts.obsm["X_lexicell"], rtol=0, atol=1e-6)


def test_a_bad_count_is_named_by_the_task_that_finds_it(counts):
    dense = counts.X.toarray()
    dense[110, 3] = -2
    counts.X = type(counts.X)(dense)
    adata = lazy(counts)
    lexicell.tl.embed(adata)
    adata.obsm["X_lexicell"][:100].compute()
    with pytest.raises(CountsError) as caught:
        adata.obsm["X_lexicell"].compute()
    for part in (repr(counts.obs_names[110]), "row 110", "-2", repr(counts.var_names[3])):
        assert part in str(caught.value)


def test_a_store_is_written_chunk_by_chunk(counts, tmp_path):
    lexicell.embed(lazy(counts), tmp_path / "out.zarr", top_k=40)
    written = anndata.read_zarr(tmp_path / "out.zarr").obsm["X_lexicell"]
    np.testing.assert_allclose(written, counts.obsm["X_lexicell"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", CHUNKS)
def test_columns_of_other_modalities_are_left_out_of_chunks(counts, form):
    extra = scipy.sparse.csr_matrix(np.full((counts.n_obs, 1), 900, np.float32))
    both = anndata.AnnData(scipy.sparse.hstack([extra, counts.X]).tocsr(), obs=counts.obs[[]].copy())
    both.var_names = ["ADT_CD4", *counts.var_names]
    adata = lazy(both, form)
    lexicell.tl.embed(adata, top_k=40)
    vectors = adata.obsm["X_lexicell"].compute()
    np.testing.assert_allclose(vectors.get(), counts.obsm["X_lexicell"], rtol=0, atol=1e-6)
