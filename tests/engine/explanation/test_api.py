"""``lexicell.explain`` as people call it: files, folders that go on, cells, directions, bad input."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import lexicell
from lexicell.embedding.events import Advanced, Committed, ignore
from lexicell.errors import InputError, OutputExistsError
from lexicell.projection import Classifier

FEW = {"sets": "go-bp", "permutations": 20, "listener": ignore}


@pytest.fixture
def many(donors):
    """More cells than one shard has."""
    import anndata

    adata = anndata.concat([donors] * 30, index_unique="-")
    adata.obs["kind"] = adata.obs["kind"].astype("category")
    return adata


def test_a_folder_holds_what_memory_does(many, tmp_path):
    path = tmp_path / "cells.h5ad"
    many.write_h5ad(path)
    here = lexicell.explain(many, group="kind", donor="donor", **FEW)
    found = lexicell.explain(path, tmp_path / "out", group="kind", donor="donor", **FEW)
    for name, table in here.tables().items():
        written = pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        pd.testing.assert_frame_equal(written, table, check_dtype=False)
        pd.testing.assert_frame_equal(found.tables()[name], table)
    run = json.loads((tmp_path / "out" / "_run.json").read_text())
    assert run["group"] == "kind"
    assert run["cells"] == 30 * 358
    assert len(list((tmp_path / "out").rglob("*.arrow"))) == 0
    again = lexicell.explain(path, tmp_path / "out", group="kind", donor="donor", resume=True, **FEW)
    pd.testing.assert_frame_equal(again.genes, here.genes, check_dtype=False)


class Stop(Exception):  # noqa: N818
    pass


def test_a_run_goes_on_where_it_was_stopped(many, tmp_path):
    path = tmp_path / "cells.h5ad"
    many.write_h5ad(path)
    whole = lexicell.explain(path, tmp_path / "whole", group="kind", **FEW)

    def stop(event):
        if isinstance(event, Committed):
            raise Stop

    options = FEW | {"listener": stop}
    with pytest.raises(Stop):
        lexicell.explain(path, tmp_path / "out", group="kind", workers=1, **options)
    assert not (tmp_path / "out").exists()
    read = []
    options["listener"] = lambda event: read.append(event) if isinstance(event, Advanced) else None
    found = lexicell.explain(path, tmp_path / "out", group="kind", resume=True, **options)
    assert read[0].done > 4_096  # the first shard is not read again
    pd.testing.assert_frame_equal(found.genes, whole.genes)
    for file in (tmp_path / "whole").glob("*.parquet"):
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()
    with pytest.raises(InputError, match="group"):
        lexicell.explain(path, tmp_path / "out", group="donor", resume=True, **FEW)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_genes_is_written(donors, tmp_path, suffix):
    path = tmp_path / f"genes{suffix}"
    found = lexicell.explain(donors, path, group="kind", **FEW)
    read = pd.read_csv if suffix == ".csv" else pd.read_parquet
    pd.testing.assert_frame_equal(read(path), found.genes, check_dtype=False)
    with pytest.raises(OutputExistsError):
        lexicell.explain(donors, path, group="kind", **FEW)


def test_a_cell_is_explained_by_itself_and_by_another(donors):
    lexicell.tl.embed(donors, listener=ignore)
    z = donors.obsm["X_lexicell"].astype(np.float64)
    a, b = donors.obs_names[[20, 41]]
    itself = lexicell.explain(donors, cell=a, **FEW)
    assert itself.groups.loc[a, "score"] == pytest.approx(1)
    assert itself.genes["contribution"].sum() == pytest.approx(1)
    assert itself.genes["share"].sum() == pytest.approx(1)
    pair = lexicell.explain(donors, cell=a, like=b, **FEW)
    turned = lexicell.explain(donors, cell=b, like=a, **FEW)
    assert pair.groups.loc[a, "score"] == pytest.approx(z[20] @ z[41], abs=1e-6)
    assert turned.groups.loc[b, "score"] == pytest.approx(pair.groups.loc[a, "score"])
    x = donors[a].X.toarray()[0]
    assert (x[donors.var_names.get_indexer(pair.genes["column"])] > 0).all()
    assert len(pair.pathways) > 5


def test_cells_are_scored_by_a_sentence_a_class_or_a_vector(donors, full, encoder_packages):
    text = "B cell receptor signaling pathway"
    found = lexicell.explain(donors, group="kind", text=text, **FEW)
    assert found.groups["in_group"].idxmax() == "B"
    b = found.genes[found.genes["group"] == "B"]
    assert b["gene"].iloc[0] in {"CD79A", "CD79B"}
    assert found.genes["p_value"].isna().all()  # of a given direction, genes have a rank and no test
    everyone = lexicell.explain(donors, text=text, **FEW)
    assert everyone.groups.index.tolist() == ["all cells"]
    assert everyone.similarity is None
    rng = np.random.default_rng(0)
    classes = Classifier(("B", "T", "NK"), rng.standard_normal((3, 24)), rng.standard_normal(3), 1.5)
    learned = full(head=(), classifier=classes)
    options = FEW | {"projection": learned, "min_coverage": 0.0}
    found = lexicell.explain(donors, group="kind", class_name="T", **options)
    lexicell.tl.embed(donors, projection=learned, min_coverage=0.0, listener=ignore)
    z = donors.obsm["X_lexicell"].astype(np.float64)
    row = classes.weight[1].astype(np.float64) / 1.5 - classes.weight.mean(axis=0) / 1.5
    inside = (donors.obs["kind"] == "B").to_numpy() & (donors.obs["lexicell_n_genes"] > 0).to_numpy()
    assert found.groups.loc["B", "in_group"] == pytest.approx((z[inside] @ row).mean(), abs=1e-5)
    given = lexicell.explain(donors, group="kind", direction=row, **options)
    pd.testing.assert_frame_equal(given.genes, found.genes)


def test_a_group_of_one_cell_is_part_of_the_rest_only(donors, notes):
    kinds = donors.obs["kind"].astype(object).to_numpy(copy=True)
    kinds[20] = "alone"
    donors.obs["kind"] = kinds
    found = lexicell.explain(donors, group="kind", **FEW | {"listener": notes})
    assert found.groups.index.tolist() == ["B", "myeloid", "other"]
    assert found.similarity.index.tolist() == ["B", "myeloid", "other"]
    assert found.groups.loc["B", "rest"] == 358 - (kinds == "B").sum()
    assert "groups of one cell are only part of the rest: alone" in notes


def test_no_permutations_are_no_p_values(donors):
    found = lexicell.explain(donors, group="kind", **FEW | {"permutations": 0})
    assert found.genes["p_value"].isna().all()
    assert found.pathways["p_adjusted"].isna().all()
    assert found.genes["contribution"].notna().all()


def test_groups_that_are_like_are_told(donors):
    found = lexicell.explain(donors, group="kind", **FEW).similarity
    assert found.index.tolist() == found.columns.tolist() == ["B", "myeloid", "other"]
    np.testing.assert_allclose(np.diag(found), 1)
    np.testing.assert_allclose(found, found.T)
    assert found.loc["B", "myeloid"] < 0


BAD = [
    ({}, "say what to explain"),
    ({"group": "type"}, "obs has no column 'type'; it has kind, donor"),
    ({"group": "kind", "contrast": ("B", "T")}, "no group 'T'; it has B, myeloid, other"),
    ({"group": "kind", "contrast": ("B", "B")}, "'B' with itself"),
    ({"group": "kind", "contrast": ("B",)}, "two groups are compared"),
    ({"contrast": ("B", "other")}, "name the column of obs that holds the groups"),
    ({"group": "kind", "donor": "who"}, "obs has no column 'who'"),
    ({"group": "one"}, "one class only"),
    ({"group": "alone", "contrast": ("x", "y")}, r"the group 'x' of obs\['alone'\] has one cell"),
    ({"cell": "nobody"}, "no cell is called 'nobody'"),
    ({"cell": "twice"}, "2 cells are called 'twice'"),
    ({"cell": "empty"}, "'empty' has no described gene"),
    ({"cell": "empty", "group": "kind"}, "not both"),
    ({"group": "kind", "like": "a", "text": "b"}, "scored by one thing"),
    ({"group": "kind", "text": " "}, "has words"),
    ({"group": "kind", "class_name": "B"}, "trained with labels"),
    ({"group": "kind", "direction": [1.0, 2.0]}, "384 finite numbers"),
    ({"group": "kind", "permutations": -1}, "permutations must be a whole number from 0, not -1"),
    ({"group": "kind", "seed": -1}, "the seed must be a whole number from 0"),
    ({"group": "kind", "scheduler": "local"}, "into a folder"),
]


@pytest.mark.parametrize(("options", "says"), BAD)
def test_what_can_not_be_explained_is_one_sentence(donors, options, says):
    donors.obs["one"] = "x"
    donors.obs["alone"] = ["x"] + ["y"] * 359
    names = donors.obs_names.to_numpy(object).copy()
    names[5], names[6], names[7] = "empty", "twice", "twice"
    donors.obs_names = names
    with pytest.raises(InputError, match=says):
        lexicell.explain(donors, sets=None, listener=ignore, **options)


def test_outputs_that_can_not_be_are_refused_before_the_work(donors, tmp_path):
    for name, options, says in (
        ("a.txt", {"group": "kind"}, "written to .csv or .parquet"),
        ("folder", {"cell": "x"}, "name a .csv or a .parquet"),
        ("a.csv", {"group": "kind", "resume": True}, "continued in a folder"),
    ):
        with pytest.raises(InputError, match=says):
            lexicell.explain(donors, tmp_path / name, listener=ignore, **options)
    assert not list(tmp_path.iterdir())


def test_a_store_holds_no_counts(donors, tmp_path):
    donors.write_h5ad(tmp_path / "cells.h5ad")
    lexicell.embed(tmp_path / "cells.h5ad", tmp_path / "out.zarr", listener=ignore)
    with pytest.raises(InputError, match="no counts"):
        lexicell.explain(tmp_path / "out.zarr", group="kind", listener=ignore)


@pytest.mark.slow
def test_processes_of_dask_make_the_same(many, tmp_path):
    pytest.importorskip("distributed")
    path = tmp_path / "cells.h5ad"
    many.write_h5ad(path)
    options = FEW | {"group": "kind", "donor": "donor"}
    lexicell.explain(path, tmp_path / "threads", **options)
    lexicell.explain(path, tmp_path / "processes", scheduler="local", workers=1, **options)
    for file in (tmp_path / "threads").glob("*.parquet"):
        assert file.read_bytes() == (tmp_path / "processes" / file.name).read_bytes()
