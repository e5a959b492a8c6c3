"""Counts of antibodies, guides, hashtags and peaks change no vector, by whatever door they come."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import anndata
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.engine.counts.conftest import write_zarr
from tests.engine.counts.test_modality import write_mudata

import lexicell
from lexicell.annotation import annotate, annotate_anndata
from lexicell.embedding import Note
from lexicell.embedding.inputs import Inputs
from lexicell.errors import InputError
from lexicell.evaluation.cells import panels

QUALITY = ["lexicell_n_genes", "lexicell_coverage", "lexicell_n_tied"]


@pytest.fixture
def both(cells):
    """The cells with columns of large counts among their own: typed, or told by their names."""
    n, v = cells.shape
    names = ["CD4", "CD8A", "ADT_CD19", "chr1:1000-2000"]
    extra = sp.csr_matrix(np.full((n, 4), 900, np.float32))
    order = np.random.default_rng(0).permutation(v + 4)
    var = pd.DataFrame(
        {"feature_types": ["Gene Expression"] * v + ["Antibody Capture", "Custom", None, None]},
        index=[*cells.var_names, *names],
    ).iloc[order]
    var["feature_types"] = var["feature_types"].astype("category")
    matrix = sp.hstack([cells.X, extra]).tocsr()[:, order]
    # Names may repeat: an antibody is called like the gene of its protein.
    adata = anndata.AnnData(matrix, obs=cells.obs.copy())
    adata.var = var
    return adata


@pytest.fixture
def alone(cells):
    lexicell.tl.embed(cells, top_k=40)
    return cells


def equal(found, alone, quality=None):
    np.testing.assert_array_equal(found.obsm["X_lexicell"], alone.obsm["X_lexicell"])
    np.testing.assert_array_equal(found.obs[QUALITY] if quality is None else quality, alone.obs[QUALITY])


def test_cells_in_memory_are_embedded_as_if_there_were_genes_only(both, alone):
    told: list[object] = []
    lexicell.tl.embed(both, top_k=40, listener=told.append)
    equal(both, alone)
    (note,) = [
        event.text for event in told if isinstance(event, Note) and "columns are left out" in event.text
    ]
    for part in ("4 of 769", "Antibody Capture (1)", "Custom (1)", "peaks by their names (1)"):
        assert part in note
    assert both.uns["lexicell"]["genes"] == alone.uns["lexicell"]["genes"]


@pytest.mark.parametrize("columns", [-1, 300])
@pytest.mark.parametrize("form", [sp.csr_matrix, np.asarray])
def test_dask_chunks_keep_the_same_columns(both, alone, form, columns):
    both.X = da.from_array(both.X.toarray(), chunks=(50, columns)).map_blocks(
        form, dtype=np.float32, meta=form(np.zeros((0, 0), np.float32))
    )
    lexicell.tl.embed(both, top_k=40)
    quality = both.obsm["lexicell_quality"].compute()
    both.obsm["X_lexicell"] = both.obsm["X_lexicell"].compute()
    equal(both, alone, quality.astype(np.float64))


@pytest.mark.parametrize("name", ["c.h5ad", "c.zarr"])
def test_files_are_embedded_and_packed_as_if_there_were_genes_only(both, alone, name, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    path = tmp_path / name
    if path.suffix == ".h5ad":
        both.write_h5ad(path)
    else:
        write_zarr(both, path, 3)
    lexicell.embed(path, tmp_path / "out.zarr", top_k=40)
    equal(anndata.read_zarr(tmp_path / "out.zarr"), alone)
    told: list[object] = []
    done = lexicell.pack(path, tmp_path / "packed.zarr", listener=told.append)
    assert done.columns == alone.n_vars
    assert any("4 of 769" in event.text for event in told if isinstance(event, Note))
    lexicell.embed(tmp_path / "packed.zarr", tmp_path / "again.zarr", top_k=40)
    equal(anndata.read_zarr(tmp_path / "again.zarr"), alone)


def test_a_modality_of_a_mudata_is_embedded_and_belongs_to_the_run(both, alone, cells, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    other = both[:, both.var["feature_types"] == "Antibody Capture"].copy()
    bare = anndata.AnnData(cells.X, obs=cells.obs[[]].copy(), var=cells.var[[]].copy())
    other.obs = other.obs[[]].copy()
    mudata = write_mudata(tmp_path / "c.h5mu", {"prot": other, "rna": bare})
    with pytest.raises(InputError, match="--modality rna"):
        lexicell.embed(mudata, tmp_path / "out.zarr")
    lexicell.embed(mudata, tmp_path / "out.zarr", top_k=40, modality="rna")
    equal(anndata.read_zarr(tmp_path / "out.zarr"), alone)
    # What is named .h5ad is no AnnData to add vectors to.
    (tmp_path / "c.h5ad").write_bytes(mudata.read_bytes())
    lexicell.embed(tmp_path / "c.h5ad", tmp_path / "out.h5ad", top_k=40, modality="rna")
    equal(anndata.read_h5ad(tmp_path / "out.h5ad"), alone)
    assert lexicell.pack(mudata, tmp_path / "packed.zarr", modality="RNA").columns == cells.n_vars


def test_the_identity_of_a_run_names_a_modality_only_where_one_is_asked_for(cells, tmp_path):
    from lexicell.embedding import Options, make_plan
    from lexicell.embedding.continuing import settle
    from lexicell.embedding.inputs import Output
    from lexicell.embedding.run import layout_of

    cells.write_h5ad(tmp_path / "c.h5ad")
    found = []
    for modality in (None, "rna"):
        inputs = Inputs((str(tmp_path / "c.h5ad"),), modality=modality)
        with inputs.open() as source:
            plan, output = make_plan(source, Options()), Output(tmp_path / "o.zarr")
            found.append(settle(plan, output, inputs, layout_of(plan, output)).identity)
    assert "modality" not in found[0]["input"]
    assert found[1]["input"].pop("modality") == "rna"
    assert found[0] == found[1]


def test_every_verb_reads_the_modality_that_is_asked_for(both, cells, tmp_path):
    labels = pd.Categorical(np.array(["a", "b"])[np.arange(cells.n_obs) % 2])
    bare = anndata.AnnData(
        cells.X, obs=pd.DataFrame({"kind": labels}, index=cells.obs_names), var=cells.var[[]]
    )
    other = bare[:, :3].copy()
    mudata = write_mudata(tmp_path / "c.h5mu", {"prot": other, "rna": bare})
    panel = panels.panel_of(mudata, lexicell.embedding.Options(), label="kind", modality="rna")
    assert panel.counts.shape[0] == cells.n_obs
    with pytest.raises(InputError, match="--modality"):
        panels.panel_of(mudata, lexicell.embedding.Options(), label="kind")
    learned = lexicell.train(
        mudata, label="kind", objective="ridge", modality="rna", n_top_genes=50, held_out=0
    )
    assert learned.card["cells"] == cells.n_obs
    named = annotate(mudata, reference=learned, modality="rna")
    assert len(named.cells) == cells.n_obs
    for verb in (
        lambda: lexicell.train(mudata, label="kind", objective="ridge"),
        lambda: annotate(mudata, reference=learned),
    ):
        with pytest.raises(InputError, match=r"MuData.*prot, rna"):
            verb()


@pytest.mark.parametrize("door", ["embed", "annotate"])
def test_a_view_of_a_backed_anndata_is_refused_before_the_work(cells, door, tmp_path, monkeypatch):
    cells.write_h5ad(tmp_path / "c.h5ad")
    backed = anndata.read_h5ad(tmp_path / "c.h5ad", backed="r")
    monkeypatch.setattr("lexicell.embedding.api.make_plan", lambda *_: pytest.fail("too late"))
    write = {
        "embed": lambda: lexicell.tl.embed(backed[:5]),
        "annotate": lambda: annotate_anndata(backed[:5], reference="nowhere"),
    }
    with pytest.raises(InputError, match=r"c\.h5ad.*AnnData.*to_memory"):
        write[door]()
    backed.file.close()


def test_a_mudata_in_memory_is_refused_by_both_doors(cells, tmp_path):
    mudata = SimpleNamespace(mod={"prot": cells, "rna": cells})
    with pytest.raises(InputError, match=r"\.mod\['rna'\]"):
        lexicell.tl.embed(mudata)
    with pytest.raises(InputError, match=r"\.mod\['rna'\]"):
        lexicell.embed(mudata, tmp_path / "out.zarr")


def test_what_is_left_out_is_logged(both, caplog):
    with caplog.at_level(logging.INFO, "lexicell"):
        lexicell.tl.embed(both, top_k=40)
    assert "Antibody Capture (1)" in caplog.text
