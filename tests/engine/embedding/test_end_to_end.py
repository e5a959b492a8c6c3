"""From a file or an AnnData to vectors: what is written, and that every way writes the same."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.counts import Values, decode_values, open_counts
from lexicell.embedding import RECIPES, Note, Options, embed_source, make_plan
from lexicell.embedding.recipe import resolve_recipe
from lexicell.errors import CountsError, CoverageError, InputError, OutputExistsError
from lexicell.lexicon import align_genes
from lexicell_kernels import Weight, reference, select_topk

QUALITY = {"lexicell_n_genes": np.int32, "lexicell_coverage": np.float32, "lexicell_n_tied": np.int32}


def check(written: anndata.AnnData, counts: anndata.AnnData, dtype=np.float32) -> None:
    vectors = written.obsm["X_lexicell"]
    assert (vectors.shape, vectors.dtype) == ((counts.n_obs, 384), dtype)
    assert written.obs_names.tolist() == counts.obs_names.tolist()
    for name, kind in QUALITY.items():
        assert written.obs[name].dtype == kind
    flagged = written.obs["lexicell_n_genes"].to_numpy() == 0
    length = np.linalg.norm(vectors.astype(np.float32), axis=1)
    np.testing.assert_allclose(length, ~flagged, atol=1e-5 if dtype == np.float32 else 2e-3)
    assert written.uns["lexicell"]["lexicon"]["name"] == "human-go-minilm"
    assert len(written.uns["lexicell"]["lexicon"]["identity"]) >= 32


@pytest.fixture
def embedded(cells):
    lexicell.tl.embed(cells, top_k=40)
    return cells.obsm["X_lexicell"]


@pytest.mark.parametrize("name", ["pbmc3k", "baron", "retina"])
@pytest.mark.parametrize("ending", ["zarr", "h5ad"])
def test_real_data_become_stores_that_anndata_opens(request, data, tmp_path, name, ending):
    counts = request.getfixturevalue(name)
    file = {
        "pbmc3k": "pbmc3k_raw_labelled",
        "baron": "baron_h1_pancreas",
        "retina": "macosko2015_retina_subset_300x259",
    }[name]
    out = tmp_path / f"out.{ending}"
    done = lexicell.embed(data(f"{file}.h5ad"), out, obs_columns=["cell_type"])
    assert (done.cells, done.dim, done.output) == (counts.n_obs, 384, out)
    assert done.coverage > 0.9
    written = anndata.read_zarr(out) if ending == "zarr" else anndata.read_h5ad(out)
    check(written, counts)
    assert written.obs["cell_type"].tolist() == counts.obs["cell_type"].tolist()
    assert written.uns["lexicell"]["genes"]["organism"] == ("mouse" if name == "retina" else "human")
    if ending == "h5ad":
        assert (written.X != counts.X).nnz == 0
        pd.testing.assert_frame_equal(written.var, counts.var)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_vectors_are_the_references(bundled, cells, embedded):
    with open_counts(cells) as source:
        plan = make_plan(source, Options(top_k=40))
        expected = reference.embed_rows(source.read(0, source.n_cells), plan.folded.table, k=40)
    np.testing.assert_allclose(embedded, expected.vectors, rtol=0, atol=1e-5)
    for name, column in zip(QUALITY, (expected.n_genes, expected.coverage, expected.n_tied), strict=True):
        np.testing.assert_allclose(cells.obs[name], column, rtol=1e-6)


def by_gene(adata: anndata.AnnData, lexicon) -> sp.csr_array:
    """Counts ``[N, G]`` of the lexicon's genes: PBMC3k has 20 columns that are a gene another one is too."""
    rows = align_genes(lexicon, adata.var).rows
    columns = np.flatnonzero(rows >= 0)
    member = sp.csr_array((np.ones(len(columns)), (columns, rows[columns])), (len(rows), lexicon.n_genes))
    return sp.csr_array(adata.X.astype(np.float64) @ member)


def test_genept_w_is_the_normalised_product_of_log_normalised_counts_and_vectors(bundled, pbmc3k):
    some = pbmc3k[:200].copy()
    lexicell.tl.embed(some, recipe="genept-w")
    scaled = sp.diags_array(1e4 / np.asarray(some.X.sum(axis=1)).ravel()) @ by_gene(some, bundled)
    product = scaled.log1p() @ bundled.vectors(bundled.rows)
    expected = product / np.linalg.norm(product, axis=1, keepdims=True)
    np.testing.assert_allclose(some.obsm["X_lexicell"], expected, rtol=0, atol=1e-5)
    assert not some.obs["lexicell_n_tied"].any()


def test_the_paper_recipe_is_the_weighted_mean_of_the_highest_genes(bundled, pbmc3k):
    some = pbmc3k[50:90].copy()
    lexicell.tl.embed(some, recipe="paper", top_k=64)
    totals = np.asarray(some.X.sum(axis=1)).ravel()
    for i, x in enumerate(by_gene(some, bundled).toarray()):
        genes = np.array(sorted(np.flatnonzero(x), key=lambda g: (-x[g], g))[:64])
        w = np.log1p(1e4 * x[genes] / totals[i])
        z = w @ bundled.vectors(genes)
        np.testing.assert_allclose(some.obsm["X_lexicell"][i], z / np.linalg.norm(z), rtol=0, atol=1e-5)


def test_the_default_is_the_paper_recipe_and_settings_replace_its_own():
    assert resolve_recipe("paper") is RECIPES["paper"]
    changed = resolve_recipe("paper", top_k=7, weight="rank")
    assert (changed.top_k, changed.weight, changed.normalise) == (7, Weight.RANK, True)
    for wrong, says in (({"recipe": "soup"}, "no recipe 'soup'"), ({"top_k": 0}, "at least 1, not 0"),
                        ({"weight": "heavy"}, "no weight 'heavy'; there are log1p, count")):  # fmt: skip
        with pytest.raises(InputError, match=says):
            resolve_recipe(**{"recipe": "paper", **wrong})


def stored(adata: anndata.AnnData, folder: Path, how: str):
    if how in ("csc", "dense"):
        adata.X = sp.csc_matrix(adata.X) if how == "csc" else adata.X.toarray()
    elif how == "int64 columns":
        adata.X = sp.csr_matrix((adata.X.data.astype(np.int64), adata.X.indices, adata.X.indptr), adata.shape)
    elif how in ("layer", "raw"):
        if how == "layer":
            adata.layers["counts"] = adata.X.copy()
        else:
            adata.raw = adata.copy()
        adata.X = sp.csr_matrix(adata.X.astype(np.float32).log1p() * 0.7)
    elif how == "dask":
        da = pytest.importorskip("dask.array")
        adata.X = da.from_array(adata.X.toarray(), chunks=(37, adata.n_vars))
        return adata
    if how.startswith("zarr"):
        path = folder / "counts.zarr"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # zarr and anndata announce what will change
            with anndata.settings.override(zarr_write_format=int(how[-1])):
                adata.write_zarr(path)
        return path
    adata.write_h5ad(folder / "counts.h5ad")
    return folder / "counts.h5ad"


@pytest.mark.parametrize(
    "how", ["csr", "csc", "dense", "int64 columns", "layer", "raw", "dask", "zarr 2", "zarr 3"]
)
def test_vectors_do_not_depend_on_how_counts_are_stored(tmp_path, cells, embedded, how):
    fresh = anndata.AnnData(cells.X.copy(), obs=cells.obs[[]].copy(), var=cells.var.copy())
    source = stored(fresh, tmp_path, how)
    options = {"layer": "counts"} if how == "layer" else {"use_raw": True} if how == "raw" else {}
    lexicell.embed(source, tmp_path / "out.zarr", top_k=40, **options)
    written = anndata.read_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(written.obsm["X_lexicell"], embedded)
    for name in QUALITY:
        np.testing.assert_array_equal(written.obs[name], cells.obs[name])


@pytest.mark.parametrize("max_nnz", [1, 700, 5_000, 10**9])
def test_vectors_do_not_depend_on_the_size_of_blocks(cells, embedded, max_nnz):
    parts = []
    with open_counts(cells) as source:
        plan = make_plan(source, Options(top_k=40))
        quality = embed_source(source, plan.embedder, parts.append, max_nnz=max_nnz)
    np.testing.assert_array_equal(np.concatenate(parts), embedded)
    np.testing.assert_array_equal(quality.coverage, cells.obs["lexicell_coverage"])
    assert (len(parts) == 1) == (max_nnz == 10**9)


@pytest.mark.parametrize("ending", ["zarr", "h5ad"])
def test_half_precision_output_is_near(tmp_path, cells, embedded, ending):
    out = tmp_path / f"half.{ending}"
    lexicell.embed(cells, out, top_k=40, dtype="f16")
    written = anndata.read_zarr(out) if ending == "zarr" else anndata.read_h5ad(out)
    check(written, cells, np.float16)
    np.testing.assert_allclose(written.obsm["X_lexicell"], embedded, rtol=0, atol=2e-3)


def test_logarithms_give_the_genes_of_the_counts(bundled, pbmc3k):
    some = pbmc3k[:150].copy()
    lexicell.tl.embed(some)
    logged = some.copy()
    totals = np.asarray(some.X.sum(axis=1)).ravel()
    logged.X = sp.csr_matrix((sp.diags_array(1e4 / totals) @ some.X).astype(np.float32).log1p())
    lexicell.tl.embed(logged, values="lognorm")
    np.testing.assert_array_equal(logged.obs["lexicell_n_tied"], some.obs["lexicell_n_tied"])
    np.testing.assert_allclose(logged.obsm["X_lexicell"], some.obsm["X_lexicell"], rtol=0, atol=1e-5)
    picks = []
    for adata, values in ((some, Values.COUNTS), (logged, Values.LOGNORM)):
        with open_counts(adata) as source:
            table = make_plan(source, Options(values=values)).folded.table
            picks.append(select_topk(decode_values(source.read(0, 150), values), table, k=128).genes)
    np.testing.assert_array_equal(*picks)
    with pytest.raises(CountsError, match="log1p"):
        lexicell.tl.embed(logged)


def test_normalised_counts_are_taken_and_announced(cells, embedded):
    totals = np.asarray(cells.X.sum(axis=1)).ravel()
    cells.X = sp.csr_matrix(sp.diags_array(np.median(totals) / totals) @ cells.X)
    told = []
    lexicell.tl.embed(cells, top_k=40, values="normalised", listener=told.append)
    assert any(isinstance(e, Note) and "normalised" in e.text for e in told)
    # Equal counts of a cell become equal fractions: ties stay ties.
    np.testing.assert_allclose(cells.obsm["X_lexicell"], embedded, rtol=0, atol=1e-5)


def test_a_cell_without_counts_is_a_flagged_zero_row(tmp_path, cells):
    dense = cells.X.toarray()
    dense[[0, 17]] = 0
    cells.X = sp.csr_matrix(dense)
    told = []
    done = lexicell.embed(cells, tmp_path / "out.zarr", listener=told.append)
    written = anndata.read_zarr(tmp_path / "out.zarr")
    check(written, cells)
    assert np.flatnonzero(written.obs["lexicell_n_genes"] == 0).tolist() == [0, 17]
    assert not written.obsm["X_lexicell"][[0, 17]].any()
    assert done.empty_cells == 2
    assert any("2 cells have no described gene" in e.text for e in told if isinstance(e, Note))


def test_names_and_columns_are_the_callers(tmp_path, cells):
    before = set(cells.obs)
    assert lexicell.tl.embed(cells, key_added="mine") is None
    assert set(cells.obs) - before == {"mine_n_genes", "mine_coverage", "mine_n_tied"}
    assert set(cells.obsm) == {"mine"}
    assert cells.uns["mine"]["recipe"] == "lexicell"

    lexicell.embed(cells, tmp_path / "out.zarr", obs_columns=["bulk_labels", "mine_coverage"])
    written = anndata.read_zarr(tmp_path / "out.zarr")
    assert set(written.obs) == {"bulk_labels", "mine_coverage", *QUALITY}
    assert written.obs["bulk_labels"].tolist() == cells.obs["bulk_labels"].tolist()
    with pytest.raises(InputError, match=r"'nonsense'.*bulk_labels"):
        lexicell.embed(cells, tmp_path / "other.zarr", obs_columns=["nonsense"])
    assert not (tmp_path / "other.zarr").exists()


@pytest.mark.parametrize("fault", ["negative", "coverage", "genes", "k", "layer"])
def test_an_error_leaves_the_anndata_as_it_was(cells, fault):
    options = {}
    if fault == "negative":
        cells.X[100, 3] = -4
    elif fault == "genes":
        cells.var_names = [f"x{i}" for i in range(cells.n_vars)]
    else:
        options = {"coverage": {"min_coverage": 1.0}, "k": {"top_k": 5000}, "layer": {"layer": "no"}}[fault]
    before = cells.copy()
    with pytest.raises(InputError):
        lexicell.tl.embed(cells, **options)
    assert list(cells.obs) == list(before.obs)
    assert not cells.obsm
    assert not cells.uns
    np.testing.assert_array_equal(cells.X.toarray(), before.X.toarray())


def test_the_first_bad_cell_and_its_gene_are_named(cells):
    dense = cells.X.toarray()
    dense[100, 3], dense[101, 0] = -4, np.nan
    cells.X = sp.csr_matrix(dense)
    with pytest.raises(CountsError) as caught:
        lexicell.tl.embed(cells)
    for part in (repr(cells.obs_names[100]), "row 100", "-4.0", repr(cells.var_names[3])):
        assert part in str(caught.value)


def test_an_h5ad_gets_vectors_beside_all_that_was_in_it(tmp_path, cells):
    cells.layers["twice"] = cells.X * 2
    cells.obsm["X_lexicell"] = np.full((cells.n_obs, 3), 7.0)
    cells.obsm["X_other"] = np.ones((cells.n_obs, 2))
    cells.uns.update({"kept": "yes", "lexicell": {"old": 1}})
    cells.raw = cells.copy()
    source, out = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
    cells.write_h5ad(source)
    before = source.read_bytes()
    lexicell.embed(source, out)
    assert source.read_bytes() == before
    written = anndata.read_h5ad(out)
    check(written, cells)
    assert (written.X != cells.X).nnz == 0
    assert (written.layers["twice"] != cells.layers["twice"]).nnz == 0
    assert (written.raw.X != cells.X).nnz == 0
    np.testing.assert_array_equal(written.obsm["X_other"], 1)
    assert written.uns["kept"] == "yes"
    assert "old" not in written.uns["lexicell"]
    assert written.obs["bulk_labels"].dtype == "category"


def test_an_h5ad_can_be_its_own_output_when_that_is_asked_for(tmp_path, cells, monkeypatch):
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError):
        lexicell.embed(path, path)

    with monkeypatch.context() as patch:  # an accident on the way leaves it as it was
        patch.setattr(
            "lexicell.store.h5ad_output.write_element",
            lambda *_: (_ for _ in ()).throw(OSError("full")),
        )
        with pytest.raises(OSError, match="full"):
            lexicell.embed(path, path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["cells.h5ad"]

    lexicell.embed(path, path, overwrite=True)
    written = anndata.read_h5ad(path)
    check(written, cells)
    assert (written.X != cells.X).nnz == 0


@pytest.mark.parametrize("output", ["counts.zarr", "link.zarr", "counts.zarr/inside.zarr"])
def test_a_zarr_never_replaces_its_input_which_it_does_not_copy(tmp_path, cells, output):
    source = stored(cells, tmp_path, "zarr 3")
    (tmp_path / "link.zarr").symlink_to(source)
    with pytest.raises(InputError, match="is the input"):
        lexicell.embed(source, tmp_path / output, overwrite=True)
    assert (anndata.read_zarr(source).X != cells.X).nnz == 0


def test_the_file_behind_a_backed_anndata_is_not_replaced_by_one_without_counts(tmp_path, cells):
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path)
    backed = anndata.read_h5ad(path, backed="r")
    with pytest.raises(InputError, match="is the input"):
        lexicell.embed(backed, path, overwrite=True)
    backed.file.close()
    assert (anndata.read_h5ad(path).X != cells.X).nnz == 0


def test_a_given_projection_and_lexicon_are_used(bundled, cells):
    from lexicell.projection import Projection

    flat = Projection(np.eye(5, bundled.dim, dtype=np.float32))
    lexicell.tl.embed(cells, lexicon=bundled, projection=flat)
    assert cells.obsm["X_lexicell"].shape == (cells.n_obs, 5)


def test_duplicate_genes_and_names_are_told(cells):
    cells.var["gene"] = cells.var_names.to_numpy().copy()
    found = [g for g in ("CD79A", "CD79B") if g in cells.var_names]
    assert found == ["CD79A", "CD79B"]
    cells.var["gene"] = cells.var["gene"].replace("CD79B", "CD79A")
    told = []
    lexicell.tl.embed(cells, gene_column="gene", listener=told.append)
    notes = [e.text for e in told if isinstance(e, Note)]
    assert any("1 columns are genes that another column is too" in text for text in notes)


def test_too_little_coverage_stops_and_can_be_accepted(cells):
    some = cells.var_names.to_numpy().copy()
    some[np.asarray(cells.X.sum(axis=0)).ravel().argsort()[-250:]] = [f"x{i}" for i in range(250)]
    cells.var_names = some
    with pytest.raises(CoverageError, match=r"\d+%.*50%"):
        lexicell.tl.embed(cells)
    lexicell.tl.embed(cells, min_coverage=0.0)
    assert (cells.obs["lexicell_coverage"] < 0.6).all()


def test_an_h5ad_of_cells_in_memory_says_that_it_is_an_anndata(cells, tmp_path):
    lexicell.embed(cells, tmp_path / "out.h5ad")
    with h5py.File(tmp_path / "out.h5ad") as file:
        assert dict(file.attrs) == {"encoding-type": "anndata", "encoding-version": "0.1.0"}
