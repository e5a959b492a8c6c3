"""Exports of counts as one AnnData against loops over dense matrices, and what holds for all exports."""

from __future__ import annotations

import json

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from tests.engine.exports.cases import NAMES, files, hostile, merged

import lexicell
from lexicell.embedding.events import Committed, Note, ignore
from lexicell.errors import CountsError, InputError, OutputExistsError
from lexicell.exports import export
from lexicell.store import verify

#: What the columns become: two symbols that differ by case, and two names of one Ensembl id.
OWNERS = {"C1ORF43": "C1orf43", "CD79A-1": "CD79A"}


def owner(name):
    return OWNERS.get(name, name)


def read(path):
    return ad.read_h5ad(path) if path.suffix == ".h5ad" else ad.read_zarr(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_one_anndata_has_what_all_consumers_look_for(tmp_path, small_shards, dtype, suffix):
    adata, dense = hostile(dtype)
    out = tmp_path / f"out{suffix}"
    done = export("counts", adata, out, listener=ignore)
    found = read(out)
    expected, names = merged(dense, NAMES, owner)
    assert found.var_names.tolist() == names == found.var["feature_name"].tolist()
    assert found.var_names.str.upper().is_unique
    assert found.var["ensembl_id"].is_unique
    assert not found.var["ensembl_id"].str.contains(r"\.").any()
    assert found.X.dtype == np.float32
    assert np.array_equal(found.X.toarray(), expected)
    assert np.array_equal(found.layers["counts"].toarray(), expected)
    assert (found.X.data > 0).all()
    assert found.X.has_sorted_indices
    assert found.obs_names.tolist() == adata.obs_names.tolist()
    assert found.obs["n_counts"].tolist() == dense.sum(axis=1).tolist()
    assert set(found.obs["organism_ontology_term_id"]) == {"NCBITaxon:9606"}
    assert found.obs["cell_type"].isna().sum() == 1
    assert found.raw is None
    assert done.facts["collapsed"] == 2
    card = json.loads(found.uns["lexicell_export"])
    assert card["cells"] == 150
    assert card["consumers"] == done.facts["consumers"]


def test_a_layer_of_an_h5ad_is_a_link(tmp_path):
    export("counts", hostile()[0], tmp_path / "out.h5ad", listener=ignore)
    with h5py.File(tmp_path / "out.h5ad") as file:
        assert file["X"] == file["layers/counts"]


def test_vectors_beside_the_counts_are_those_that_embed_writes(tmp_path, small_shards):
    adata, _ = hostile()
    adata.write_h5ad(tmp_path / "in.h5ad")
    lexicell.embed(tmp_path / "in.h5ad", tmp_path / "vectors.zarr", listener=ignore)
    expected = np.asarray(lexicell.open_embedding(tmp_path / "vectors.zarr").obsm["X_lexicell"])
    for suffix in (".h5ad", ".zarr"):
        out = tmp_path / f"out{suffix}"
        export("counts", tmp_path / "in.h5ad", out, vectors=True, listener=ignore)
        found = read(out)
        assert found.obsm["X_lexicell"].tobytes() == expected.tobytes()
        assert found.obs["lexicell_n_genes"].tolist()[3] == 0


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_counts_are_the_same_under_any_order(tmp_path, suffix):
    adata, _ = hostile()
    rng = np.random.default_rng(0)
    moved = adata[rng.permutation(150)][:, rng.permutation(len(NAMES))].copy()
    for name, cells in (("a", adata), ("b", moved)):
        export("counts", cells, tmp_path / f"{name}{suffix}", listener=ignore)
    one, other = read(tmp_path / f"a{suffix}"), read(tmp_path / f"b{suffix}")
    one = one[other.obs_names].copy()
    # Of names that differ by case the first column's is kept; ids tell the genes apart.
    one.var_names, other.var_names = one.var["ensembl_id"], other.var["ensembl_id"]
    same = [name for name in one.var_names if name in set(other.var_names)]
    assert len(same) >= len(one.var_names) - 1
    assert np.array_equal(one[:, same].X.toarray(), other[:, same].X.toarray())
    assert one.obs["n_counts"].tolist() == other.obs["n_counts"].tolist()


def interrupted(event):
    if isinstance(event, Committed):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "out", "options"),
    [
        ("counts", "out.zarr", {"vectors": True}),
        ("scbank", "out.scb", {}),
        ("scbank", "bank", {"layout": "scmmgpt"}),
        ("chat", "chat", {"label": "cell_type"}),
    ],
)
def test_what_is_put_together_goes_on_to_the_same_bytes(tmp_path, small_shards, name, out, options):
    adata, _ = hostile()
    adata.write_h5ad(tmp_path / "in.h5ad")
    if name == "scbank":
        vocab = tmp_path / "vocab.json"
        vocab.write_text(json.dumps({gene: at for at, gene in enumerate(NAMES[::-1])}))
        options = options | {"vocab": vocab}
    whole, broken = tmp_path / "whole" / out, tmp_path / "broken" / out
    for folder in (whole, broken):
        folder.parent.mkdir()
    export(name, tmp_path / "in.h5ad", whole, workers=2, listener=ignore, **options)
    with pytest.raises(KeyboardInterrupt):
        export(name, tmp_path / "in.h5ad", broken, workers=1, listener=interrupted, **options)
    assert not broken.exists()
    done = export(name, tmp_path / "in.h5ad", broken, resume=True, listener=ignore, **options)
    assert done.resumed_cells > 0
    assert files(whole) == files(broken)
    assert verify(broken).shards == 3
    assert not list(broken.rglob("*.arrow"))  # the parts
    again = export(name, tmp_path / "in.h5ad", broken, resume=True, listener=ignore, **options)
    assert again.resumed_cells == 150


def test_a_part_that_is_damaged_is_no_output(tmp_path, small_shards):
    adata, _ = hostile()
    adata.write_h5ad(tmp_path / "in.h5ad")
    with pytest.raises(KeyboardInterrupt):
        export("counts", tmp_path / "in.h5ad", tmp_path / "o.zarr", workers=1, listener=interrupted)
    part = next((tmp_path / "o.zarr.partial").rglob("*.arrow"))
    part.unlink()
    export("counts", tmp_path / "in.h5ad", tmp_path / "o.zarr", resume=True, listener=ignore)
    assert read(tmp_path / "o.zarr").n_obs == 150


def test_an_h5ad_is_the_same_twice_and_not_replaced_unasked(tmp_path, small_shards):
    adata, _ = hostile()
    for name in "ab":
        export("counts", adata, tmp_path / f"{name}.h5ad", listener=ignore)
    before = (tmp_path / "a.h5ad").read_bytes()
    assert before == (tmp_path / "b.h5ad").read_bytes()
    with pytest.raises(OutputExistsError):
        export("counts", adata, tmp_path / "a.h5ad", listener=ignore)
    export("counts", adata[:20].copy(), tmp_path / "a.h5ad", overwrite=True, listener=ignore)
    assert read(tmp_path / "a.h5ad").n_obs == 20
    adata.X.data[5] = -1
    with pytest.raises(CountsError):
        export("counts", adata, tmp_path / "c.h5ad", listener=ignore)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5ad", "b.h5ad"]


def test_cfgen_gets_no_cell_that_breaks_it(tmp_path):
    adata, _ = hostile()
    options = {"profile": "cfgen", "covariates": ["cell_type"], "listener": ignore}
    with pytest.raises(InputError, match=r"1.*cell_type"):
        export("counts", adata, tmp_path / "out.h5ad", **options)
    adata = adata[adata.obs["cell_type"].notna()].copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str)
    adata.obs.iloc[0, 0] = "alone"
    with pytest.raises(InputError, match=r"1.*--drop-empty"):
        export("counts", adata, tmp_path / "out.h5ad", **options)
    assert not list(tmp_path.iterdir())
    notes: list[str] = []

    def hear(event):
        if isinstance(event, Note):
            notes.append(event.text)

    export("counts", adata, tmp_path / "out.h5ad", drop_empty=True, **options | {"listener": hear})
    found = read(tmp_path / "out.h5ad")
    assert found.n_obs == 148
    assert np.array_equal(found.layers["X_counts"].toarray(), found.X.toarray())
    assert found.obs["n_counts"].min() > 0
    assert any("1 classes of cell_type have one cell, as alone" in note for note in notes)
    with pytest.raises(InputError, match="profile cfgen"):
        export("counts", adata, tmp_path / "o.h5ad", covariates=["cell_type"], listener=ignore)
    with pytest.raises(InputError, match="'sex'"):
        export("counts", adata, tmp_path / "o.h5ad", profile="cfgen", covariates=["sex"], listener=ignore)


def test_consumers_are_told_by_number(tmp_path):
    names = lexicell.Lexicon.open("human-go-minilm").genes.column("symbol").to_pylist()[:4500]
    x = np.zeros((5, 4500), np.float32)
    for row, width in enumerate((4500, 2100, 1300, 20, 0)):
        x[row, :width] = 1
    adata = ad.AnnData(x, var=pd.DataFrame(index=names), obs=pd.DataFrame(index=list("abcde")))
    told = export("counts", adata, tmp_path / "o.h5ad", values="counts", listener=ignore).facts["consumers"]
    rare = read(tmp_path / "o.h5ad").n_vars  # all of them
    assert told["scGPT"].startswith("3 cells have more than 1,199")
    assert "up to 2 cells have more genes than the 2,047" in told["TranscriptFormer"]
    assert f"{rare:,} genes in fewer than 10 cells and 2 cells" in told["UCE"]
    assert told["Geneformer v2"].startswith("drops 1 cells")
    assert "asks for 5,000" in told["SCimilarity"]
    assert "(1)" in told["CFGen"]


def test_counts_that_32_bits_round_are_told(tmp_path):
    adata, _ = hostile(np.float64)
    adata.X[0, 0] = 2**24 + 1
    done = export("counts", adata, tmp_path / "o.h5ad", listener=ignore)
    assert done.facts["counts_rounded_to_32_bits"] == 1
    assert read(tmp_path / "o.h5ad").obs["n_counts"].iloc[0] > 2**24 + 1


# What holds for all


@pytest.mark.parametrize(
    ("name", "options"),
    [("cell-sentence", {}), ("ranked", {}), ("vectors", {}), ("chat", {"label": "donor"}), ("counts", {})],
)
def test_a_dry_run_writes_nothing_and_empty_cells_can_go(tmp_path, name, options):
    adata, _ = hostile()
    out = tmp_path / ("o.zarr" if name == "counts" else "o")
    told = export(name, adata, out, dry_run=True, listener=ignore, **options).facts
    assert (name == "counts") == ("consumers" in told)
    assert told["likely_bytes"] > 0
    assert told["cells_without_genes"] == 1
    assert not list(tmp_path.iterdir())
    assert export(name, adata, out, drop_empty=True, listener=ignore, **options).cells == 149


def test_a_list_of_genes_or_a_container_that_a_format_can_not_use_is_refused(tmp_path):
    adata, _ = hostile()
    with pytest.raises(InputError, match="no list of genes"):
        export("counts", adata, tmp_path / "o.h5ad", genes=["CD3D"], listener=ignore)
    with pytest.raises(InputError, match="is not written as hf"):
        export("chat", adata, tmp_path / "o", label="donor", container="hf", listener=ignore)
    with pytest.raises(InputError, match=r"\.zarr"):
        export("counts", adata, tmp_path / "o", listener=ignore)


def test_a_vocabulary_has_the_number_of_cells_of_each_word(tmp_path, small_shards):
    adata, dense = hostile()
    adata.write_h5ad(tmp_path / "in.h5ad")
    for name, drop in (("all", False), ("some", True)):
        export("cell-sentence", tmp_path / "in.h5ad", tmp_path / name, drop_empty=drop, listener=ignore)
        found = json.loads((tmp_path / name / "_vocabulary.json").read_text())
        x, words = merged(dense, NAMES, str.upper)
        assert found == {word: int((x[:, words.index(word)] > 0).sum()) for word in found}
        assert "C1ORF43" in found
    with pytest.raises(KeyboardInterrupt):
        export("cell-sentence", tmp_path / "in.h5ad", tmp_path / "b", workers=1, listener=interrupted)
    export("cell-sentence", tmp_path / "in.h5ad", tmp_path / "b", resume=True, listener=ignore)
    assert files(tmp_path / "b") == files(tmp_path / "all")
    assert verify(tmp_path / "b").problems == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("counts", {"vectors": True}),
        ("chat", {"label": "cell_type"}),
        ("cell-sentence", {"drop_empty": True}),
        ("bags", {"donor": "donor", "label": "donor"}),
    ],
)
def test_processes_of_dask_write_the_same_bytes(tmp_path, small_shards, name, options):
    pytest.importorskip("distributed")
    adata, _ = hostile()
    adata.write_h5ad(tmp_path / "in.h5ad")
    ends = ".zarr" if name == "counts" else ""
    one, other = tmp_path / f"one{ends}", tmp_path / f"other{ends}"
    export(name, tmp_path / "in.h5ad", one, listener=ignore, **options)
    export(name, tmp_path / "in.h5ad", other, listener=ignore, scheduler="local", workers=1, **options)
    assert files(one) == files(other)


def test_counts_do_not_replace_what_they_are_made_of(tmp_path):
    hostile()[0].write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "in.h5ad")
    before = (tmp_path / "in.h5ad").read_bytes()
    for data, out in (("in", "in"), ("link", "in"), ("in", "link")):
        with pytest.raises(InputError, match="is the input"):
            export(
                "counts", tmp_path / f"{data}.h5ad", tmp_path / f"{out}.h5ad", overwrite=True, listener=ignore
            )
    assert (tmp_path / "in.h5ad").read_bytes() == before
