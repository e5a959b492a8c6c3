"""What rapids-singlecell has put on a GPU is embedded there, as on the CPU."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import lexicell
from lexicell.counts import rows as rows_module
from lexicell.counts import values as values_module
from lexicell.embedding import blocks
from lexicell.embedding.candidates import CandidateGenes
from lexicell.errors import CorruptDataError, CountsError, GpuMemoryError, InputError

cupy = pytest.importorskip("cupy", reason="test_on_gpu.py runs this with the stand-in for CuPy")
sparse = pytest.importorskip("cupyx.scipy.sparse")

pytestmark = pytest.mark.gpu
QUALITY = ("lexicell_n_genes", "lexicell_coverage", "lexicell_n_tied")
FORMATS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "dense": lambda matrix: cupy.asarray(matrix.toarray()),
}


def on_gpu(adata, form="csr"):
    """As `rapids_singlecell.get.anndata_to_GPU` does it."""
    return anndata.AnnData(FORMATS[form](adata.X), obs=adata.obs[[]].copy(), var=adata.var.copy())


def same(found, expected):
    """The same genes and shares, and vectors that differ in the last digits: a GPU adds in another order."""
    vectors = found.obsm["X_lexicell"]
    vectors = vectors.get() if isinstance(vectors, cupy.ndarray) else vectors
    np.testing.assert_allclose(vectors, expected.obsm["X_lexicell"], rtol=0, atol=1e-6)
    for name in QUALITY:
        assert found.obs[name].dtype == expected.obs[name].dtype
        np.testing.assert_allclose(found.obs[name], expected.obs[name], rtol=1e-6)


@pytest.mark.parametrize("form", FORMATS)
def test_a_matrix_is_embedded_where_it_lies(counts, form):
    adata = on_gpu(counts, form)
    before = adata.X
    lexicell.tl.embed(adata, top_k=40)
    vectors = adata.obsm["X_lexicell"]
    assert isinstance(vectors, cupy.ndarray)
    assert (vectors.dtype, vectors.shape) == (np.float32, (120, 384))
    same(adata, counts)
    assert adata.X is before
    assert {**adata.uns["lexicell"], "device": "cpu"} == counts.uns["lexicell"]
    assert adata.uns["lexicell"]["device"] == "cuda"


@pytest.mark.parametrize(
    ("device", "on_device", "lies"),
    [("auto", None, "gpu"), ("auto", True, "gpu"), ("auto", False, "host"), ("cuda", None, "gpu"),
     ("cpu", None, "host"), ("cpu", False, "host")],
)  # fmt: skip
def test_vectors_stay_or_come_back_as_asked(counts, device, on_device, lies):
    adata = on_gpu(counts)
    lexicell.tl.embed(adata, top_k=40, device=device, on_device=on_device)
    assert isinstance(adata.obsm["X_lexicell"], cupy.ndarray if lies == "gpu" else np.ndarray)
    assert adata.uns["lexicell"]["device"] == ("cpu" if device == "cpu" else "cuda")
    same(adata, counts)


@pytest.mark.parametrize("on_device", [None, True, False])
def test_counts_of_the_host_are_taken_to_the_gpu_when_asked(counts, on_device):
    adata = counts.copy()
    lexicell.tl.embed(adata, top_k=40, device="cuda", on_device=on_device)
    assert isinstance(adata.obsm["X_lexicell"], cupy.ndarray if on_device else np.ndarray)
    same(adata, counts)
    del adata.uns["lexicell"]
    lexicell.tl.embed(adata, top_k=40)
    assert adata.uns["lexicell"]["device"] == "cpu"


def test_vectors_made_on_the_cpu_do_not_go_to_the_gpu(counts):
    for adata, device in ((counts, "auto"), (on_gpu(counts), "cpu")):
        with pytest.raises(InputError, match=r"CPU.*device='cuda'"):
            lexicell.tl.embed(adata, device=device, on_device=True)


@pytest.mark.parametrize("form", ["csr", "dense"])
@pytest.mark.parametrize(
    "index",
    [np.s_[20:90:3], np.s_[::-1, ::-1], np.s_[[7, 3, 55], 50:], np.s_[:, np.arange(764, 100, -1)]],
    ids=["rows", "reversed", "some of both", "columns"],
)
def test_views_are_picked_on_the_gpu(counts, form, index):
    expected = counts[index].copy()
    view = on_gpu(counts, form)[index]
    lexicell.tl.embed(expected, top_k=40)
    with pytest.warns(anndata.ImplicitModificationWarning):  # anndata's, where a view is written to
        lexicell.tl.embed(view, top_k=40)
    same(view, expected)


def test_layers_are_read_on_the_gpu_and_raw_where_anndata_keeps_it(counts):
    adata = on_gpu(counts)
    adata.layers["counts"] = adata.X
    adata.raw = adata
    adata.X = adata.X * 0.7
    lexicell.tl.embed(adata, top_k=40, layer="counts")
    assert isinstance(adata.obsm["X_lexicell"], cupy.ndarray)
    same(adata, counts)
    lexicell.tl.embed(adata, top_k=40, use_raw=True)  # anndata brings .raw back to the host
    same(adata, counts)


@pytest.mark.parametrize(("values", "rows"), [(1, 1 << 16), (5_000, 1 << 16), (10**9, 7)])
def test_vectors_do_not_depend_on_the_size_of_blocks(counts, monkeypatch, values, rows):
    whole, parts = on_gpu(counts), on_gpu(counts)
    lexicell.tl.embed(whole, top_k=40)
    told = []
    monkeypatch.setattr(blocks, "MAX_NNZ_ON_GPU", values)
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", rows)
    lexicell.tl.embed(parts, top_k=40, listener=told.append)
    assert sum(hasattr(event, "done") for event in told) > 2
    assert bool((whole.obsm["X_lexicell"] == parts.obsm["X_lexicell"]).all())


def shuffled(matrix, rng):
    """The columns of each row in any order, and every third value split in two."""
    rows = []
    for a, b in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        split = np.flatnonzero(matrix.data[a:b] > 1)[::3]
        data = np.concatenate([matrix.data[a:b], np.ones(len(split), np.float32)])
        data[split] -= 1
        columns = np.concatenate([matrix.indices[a:b], matrix.indices[a:b][split]])
        order = rng.permutation(len(data))
        rows.append((data[order], columns[order]))
    indptr = np.cumsum([0, *(len(data) for data, _ in rows)]).astype(np.int32)
    parts = (np.concatenate(part) for part in zip(*rows, strict=True))
    return sparse.csr_matrix((*map(cupy.asarray, parts), cupy.asarray(indptr)), shape=matrix.shape)


def test_rows_out_of_order_are_sorted_and_summed_but_not_the_users(counts):
    matrix = shuffled(counts.X, np.random.default_rng(0))
    adata = anndata.AnnData(matrix, obs=counts.obs[[]].copy(), var=counts.var.copy())
    given = matrix.copy()
    lexicell.tl.embed(adata, top_k=40)
    same(adata, counts)
    for name in ("data", "indices", "indptr"):
        assert bool((getattr(adata.X, name) == getattr(given, name)).all())


def test_a_negative_value_does_not_hide_in_a_sum_of_two_entries(counts):
    matrix = shuffled(counts.X, np.random.default_rng(0))
    start, stop = (int(end) for end in matrix.indptr[40:42])
    columns = matrix.indices[start:stop].get()
    names, times = np.unique(columns, return_counts=True)
    at = int(np.flatnonzero(columns == names[times == 2][0])[0])
    matrix.data[start + at] = -1
    adata = anndata.AnnData(matrix, obs=counts.obs[[]].copy(), var=counts.var.copy())
    with pytest.raises(CountsError, match=rf"\(row 40\).*-1.0.*{counts.var_names[columns[at]]!r}"):
        lexicell.tl.embed(adata)


def test_columns_that_are_one_gene_are_summed_on_the_gpu(counts):
    dense = counts.X.toarray()
    half = dense[:, 100:] // 2
    dense[:, 100:] -= half
    var = pd.DataFrame(
        {"gene": [*counts.var_names, *counts.var_names[100:]]}, index=[f"c{i}" for i in range(765 + 665)]
    )
    adata = anndata.AnnData(
        cupy.asarray(np.hstack([dense, half])[:, ::-1].copy()), obs=counts.obs[[]].copy(), var=var[::-1]
    )
    lexicell.tl.embed(adata, top_k=40, gene_column="gene")
    same(adata, counts)


@pytest.mark.parametrize("value", [-4, np.nan, np.inf])
def test_the_first_bad_cell_and_its_gene_are_named_and_nothing_is_written(counts, monkeypatch, value):
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", 30)
    dense = counts.X.toarray()
    dense[100, 3], dense[101, 0] = value, -1
    counts.X = type(counts.X)(dense)
    adata = on_gpu(counts)
    with pytest.raises(CountsError) as caught:
        lexicell.tl.embed(adata, values="counts" if value == -4 else None)
    for part in (repr(counts.obs_names[100]), "row 100", str(float(value)), repr(counts.var_names[3])):
        assert part in str(caught.value)
    assert not adata.obsm
    assert not adata.uns
    assert adata.obs.empty


def test_logarithms_are_undone_on_the_gpu(counts):
    totals = np.asarray(counts.X.sum(axis=1))
    counts.X = type(counts.X)((counts.X.multiply(1e4 / totals)).log1p().astype(np.float32))
    adata = on_gpu(counts)
    with pytest.raises(CountsError, match="log1p"):
        lexicell.tl.embed(adata)
    lexicell.tl.embed(adata, top_k=40, values="lognorm")
    lexicell.tl.embed(counts, top_k=40, values="lognorm")
    same(adata, counts)


def test_damaged_matrices_are_told_before_the_kernel_reads_them(counts):
    adata = on_gpu(counts)
    adata.X.indices[2000] = 765
    with pytest.raises(CorruptDataError, match=r"index 765.*0:765"):
        lexicell.tl.embed(adata)
    adata = on_gpu(counts)
    adata.X.indptr[5] = 10**6
    with pytest.raises(CorruptDataError, match="indptr that decreases"):
        lexicell.tl.embed(adata)


def test_a_store_gets_the_same_vectors_from_the_gpu(counts, tmp_path):
    done = lexicell.embed(on_gpu(counts), tmp_path / "out.zarr", top_k=40)
    assert (done.cells, done.empty_cells) == (120, 0)
    written = anndata.read_zarr(tmp_path / "out.zarr")
    same(written, counts)
    assert written.uns["lexicell"]["device"] == "cuda"


def test_little_memory_is_one_sentence_with_ways_out(counts, monkeypatch):
    adata = on_gpu(counts)

    def full(shape, dtype=float, **_):
        raise cupy.cuda.memory.OutOfMemoryError(10**9, 10**9)

    monkeypatch.setattr(cupy, "empty", full)
    for on_device in (True, False):
        with pytest.raises(GpuMemoryError, match=r"GPU's.*--device cpu"):
            lexicell.tl.embed(adata, on_device=on_device)


def test_what_comes_back_is_a_sample_and_the_quality(counts, monkeypatch):
    if not hasattr(cupy, "testing_counters"):
        pytest.skip("only arrays of the stand-in can be watched")
    monkeypatch.setattr(values_module, "SAMPLE_CELLS", 30)
    adata = on_gpu(anndata.concat([counts] * 4, index_unique="-"))
    came = []
    fetch = cupy.ndarray.get
    monkeypatch.setattr(
        cupy.ndarray, "get", lambda array, *a, **k: came.append(array.nbytes) or fetch(array, *a, **k)
    )
    lexicell.tl.embed(adata)
    matrix = adata.X.data.nbytes + adata.X.indices.nbytes
    # A sixteenth of the cells; offsets; three columns, of which one is read twice, for its flags.
    assert matrix / 20 < sum(came) < matrix / 12 + 480 * (4 + 4 * 4) + 2000


def test_the_table_is_the_cpus_bit_by_bit(counts, bundled):
    from lexicell.embedding import fold
    from lexicell.lexicon import align_genes
    from lexicell.projection import Projection

    aligned = align_genes(bundled, counts.var)
    vectors = bundled.vectors(np.array([4, 1, 4]), device="cuda")
    assert isinstance(vectors, cupy.ndarray)
    np.testing.assert_array_equal(vectors.get(), bundled.vectors(np.array([4, 1, 4])))
    third = Projection(np.eye(bundled.dim, dtype=np.float32) / 3)
    for projection, kind in ((None, np.float16), (third, np.float32)):
        there = fold(bundled, CandidateGenes.of(aligned.rows), projection, device="cuda").table.vectors
        here = fold(bundled, CandidateGenes.of(aligned.rows), projection).table.vectors
        assert there.dtype == here.dtype == kind
        np.testing.assert_array_equal(there.get() if isinstance(there, cupy.ndarray) else there, here)


def test_the_command_line_embeds_a_file_on_the_gpu(counts, tmp_path, capsys):
    from lexicell.cli import main

    plain = anndata.AnnData(counts.X, obs=counts.obs[[]].copy(), var=counts.var.copy())
    plain.write_h5ad(tmp_path / "cells.h5ad")
    for arguments in (["--device", "cuda", "-k", "40"], ["--device", "cuda", "--dry-run"]):
        with pytest.raises(SystemExit) as ended:
            main(["embed", str(tmp_path / "cells.h5ad"), str(tmp_path / "out.zarr"), *arguments])
        assert ended.value.code == 0
    same(anndata.read_zarr(tmp_path / "out.zarr"), counts)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in shown if line.startswith("device")] == ["cuda"]

    with pytest.raises(SystemExit):
        main(["doctor"])
    told = capsys.readouterr().out
    assert "runs on compute capability" in told
    assert "GiB free" in told


@pytest.mark.parametrize("form", FORMATS)
def test_columns_of_other_modalities_are_left_out_on_the_gpu(counts, form):
    extra = scipy.sparse.csr_matrix(np.full((counts.n_obs, 2), 900, np.float32))
    both = anndata.AnnData(scipy.sparse.hstack([extra, counts.X]).tocsr(), obs=counts.obs[[]].copy())
    both.var_names = ["chr1:100-900", "CD4_protein", *counts.var_names]
    both.var["feature_types"] = ["Peaks", "Antibody Capture", *["Gene Expression"] * counts.n_vars]
    adata = on_gpu(both, form)
    lexicell.tl.embed(adata, top_k=40)
    assert isinstance(adata.obsm["X_lexicell"], cupy.ndarray)
    same(adata, counts)
