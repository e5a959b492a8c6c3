"""Bags against their definition: who is in which, what training donors alone decide, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from urllib.parse import unquote

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from scipy.stats import chisquare

from lexicell.embedding.events import Committed, ignore
from lexicell.errors import InputError
from lexicell.exports import export
from lexicell.exports.components import Moments, fit_components
from lexicell.exports.donors import SPLITS, parse_split, split_donors
from lexicell.store import verify

FOLDERS = ("features", "labels", "inst_labels", "coords")
GIVEN = {"donor": "donor", "label": "sick"}


def bags_of(folder):
    tensors = load_file(folder / "cells.safetensors")
    bags = [tensors["cells"][a:b] for a, b in pairwise(tensors["ptr"].tolist())]
    return bags, pd.read_parquet(folder / "donors.parquet"), pd.read_parquet(folder / "cells.parquet")


def files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def expected_rows(adata):
    """Rows of each donor that have a vector, in the order of rows."""
    full = np.asarray(adata.X.sum(axis=1)).ravel() > 0
    names = sorted(set(adata.obs["donor"].dropna()))
    return {name: np.flatnonzero((adata.obs["donor"] == name).to_numpy() & full) for name in names}


def test_bags_are_the_vectors_of_each_donor(tmp_path, make_cells, vectors_of, notes):
    adata = make_cells()
    vectors = vectors_of(adata, tmp_path)
    done = export("bags", adata, tmp_path / "out", covariates=["age"], listener=notes, **GIVEN)
    bags, donors, cells = bags_of(tmp_path / "out")
    rows = expected_rows(adata)
    assert donors["donor"].tolist() == list(rows)
    assert donors["n_cells"].tolist() == [len(of) for of in rows.values()]
    for bag, of in zip(bags, rows.values(), strict=True):
        assert bag.tobytes() == vectors[of].tobytes()
    order = np.concatenate(list(rows.values()))
    assert cells["cell_id"].tolist() == adata.obs_names[order].tolist()
    assert cells["donor"].tolist() == adata.obs["donor"].iloc[order].tolist()
    first = adata.obs.dropna(subset="donor").groupby("donor", observed=True).first()
    assert donors["label"].tolist() == first["sick"].tolist()
    assert donors["age"].tolist() == first["age"].tolist()
    assert donors["y"].tolist() == [float(one == "yes") for one in first["sick"]]
    assert set(donors["split"]) <= set(SPLITS)
    assert done.cells == len(order) == 238
    for told in (
        "1 cells have no donor",
        "1 cells without genes have no vector",
        "1 donors have one cell: Zoë/11",
    ):
        assert told in str(notes)


def test_components_are_those_of_training_donors_alone(tmp_path, make_cells, vectors_of):
    adata = make_cells()
    vectors = vectors_of(adata, tmp_path).astype(np.float64)
    export("bags", adata, tmp_path / "out", components=5, listener=ignore, **GIVEN)
    bags, donors, _ = bags_of(tmp_path / "out")
    rows = expected_rows(adata)
    train = np.concatenate([rows[name] for name in donors["donor"][donors["split"] == "train"]])
    mean = vectors[train].mean(axis=0)
    _, sizes, axes = np.linalg.svd(vectors[train] - mean, full_matrices=False)
    axes = axes[:5] * np.sign(axes[np.arange(5), np.abs(axes[:5]).argmax(axis=1)])[:, None]
    for name, bag in zip(donors["donor"], bags, strict=True):
        assert np.allclose(bag, (vectors[rows[name]] - mean) @ axes.T, atol=2e-5)
    export("bags", adata, tmp_path / "scaled", components=5, scale=True, listener=ignore, **GIVEN)
    scaled = bags_of(tmp_path / "scaled")[0]
    factor = sizes[:5] / np.sqrt(len(train) - 1) * np.sqrt(5)
    assert np.allclose(scaled[2], bags[2] / factor, rtol=1e-3, atol=1e-3)
    # MixMIL's mean standard deviation after its own scaling
    of_train = np.concatenate(
        [bag for bag, one in zip(scaled, donors["split"], strict=True) if one == "train"]
    )
    assert of_train.std(axis=0, ddof=1) == pytest.approx(np.full(5, 5**-0.5), rel=1e-4)
    # what a cell of a test donor is does not matter to the others
    other = adata.copy()
    held = rows[donors["donor"][donors["split"] == "test"].iloc[0]]
    x = other.X.tolil()
    x[held] = 1
    other.X = x.tocsr()
    export("bags", other, tmp_path / "other", components=5, listener=ignore, **GIVEN)
    for name, here, there in zip(donors["split"], bags, bags_of(tmp_path / "other")[0], strict=True):
        assert name == "test" or here.tobytes() == there.tobytes()


@pytest.mark.parametrize("options", [{}, {"components": 6, "scale": True}])
def test_no_order_of_cells_shows(tmp_path, make_cells, options):
    adata = make_cells(3_000)
    rows = np.random.default_rng(3).permutation(adata.n_obs)
    export("bags", adata, tmp_path / "a", listener=ignore, **GIVEN, **options)
    export("bags", adata[rows].copy(), tmp_path / "b", listener=ignore, **GIVEN, **options)
    here, there = bags_of(tmp_path / "a"), bags_of(tmp_path / "b")
    assert here[1].equals(there[1])
    table = pd.Series(list(np.concatenate(here[0])), here[2]["cell_id"])
    for name, vector in zip(there[2]["cell_id"], np.concatenate(there[0]), strict=True):
        assert vector.tobytes() == table[name].tobytes()
    assert (tmp_path / "a/donors.parquet").read_bytes() == (tmp_path / "b/donors.parquet").read_bytes()


def test_a_run_goes_on_to_the_same_bytes(tmp_path, make_cells):
    many = ad.concat([make_cells(600)] * 15, index_unique="-", merge="same")
    many.write_h5ad(tmp_path / "cells.h5ad")
    options = GIVEN | {"components": 4, "instance_label": "kind", "listener": ignore}
    export("bags", tmp_path / "cells.h5ad", tmp_path / "whole", workers=2, **options)

    def interrupt(event):
        if isinstance(event, Committed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(
            "bags",
            tmp_path / "cells.h5ad",
            tmp_path / "broken",
            workers=1,
            **options | {"listener": interrupt},
        )
    assert not (tmp_path / "broken").exists()
    done = export("bags", tmp_path / "cells.h5ad", tmp_path / "broken", resume=True, **options)
    assert done.resumed_cells > 0
    assert files(tmp_path / "whole") == files(tmp_path / "broken")
    assert verify(str(tmp_path / "broken")).shards == 3
    assert not list((tmp_path / "whole").rglob("passing*"))


def test_a_run_that_ended_while_it_put_bags_together_goes_on(tmp_path, make_cells, monkeypatch):
    from lexicell.exports import bags

    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    options = GIVEN | {"layout": "torchmil", "listener": ignore}
    with monkeypatch.context() as patch:
        patch.setattr(bags, "_npy", lambda array: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export("bags", tmp_path / "cells.h5ad", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    export("bags", tmp_path / "cells.h5ad", tmp_path / "out", resume=True, **options)
    export("bags", tmp_path / "cells.h5ad", tmp_path / "whole", **options)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_donors_are_dealt_by_name_label_and_seed():
    n = 100
    donors = pd.DataFrame({"donor": [f"d{at}" for at in range(n)], "y": np.arange(n) % 4 // 3})
    split = split_donors(donors, (0.8, 0.1, 0.1), 0)
    assert np.bincount(split).tolist() == [80, 10, 10]
    for label in (0, 1):
        of = np.bincount(split[donors["y"] == label], minlength=3)
        assert np.abs(of - np.array([0.8, 0.1, 0.1]) * of.sum()).max() <= 1
    moved = np.random.default_rng(0).permutation(n)
    again = split_donors(donors.iloc[moved].reset_index(drop=True), (0.8, 0.1, 0.1), 0)
    assert (again == split[moved]).all()
    seeds = np.stack([split_donors(donors, (0.8, 0.1, 0.1), seed) for seed in range(400)])
    # every donor is held out by as many seeds as any other
    assert chisquare((seeds > 0).sum(axis=0)).pvalue > 1e-4
    assert np.bincount(split_donors(donors.iloc[:5], (0.8, 0.1, 0.1), 0), minlength=3).sum() == 5


def test_sums_are_exact_and_components_of_a_row_are_its_own():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 24)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    one, other = Moments(24, 1), Moments(24, 1)
    one.add(rows)
    for part in np.array_split(rows[rng.permutation(len(rows))], 7):
        other.add(part)
    assert one.covariance.tobytes() == other.covariance.tobytes()
    assert np.allclose(one.covariance, np.cov(rows.T), atol=1e-6)
    fitted = fit_components(one, 7, 1.0, scale=True)
    whole = fitted.apply(rows)
    assert whole[5:6].tobytes() == fitted.apply(rows[5:6]).tobytes()
    assert whole[100:230].tobytes() == fitted.apply(rows[100:230]).tobytes()
    # to the last bit: what whole numbers say is taken off, and nothing is left
    assert fitted.axes is not None
    whole_row = [round(one * 2**26) for one in rows[9].tolist()]
    whole_axes = [[round(one * 2**26) for one in axis] for axis in fitted.axes.tolist()]
    exact = [sum(a * b for a, b in zip(whole_row, axis, strict=True)) / 2**52 for axis in whole_axes]
    assert (replace(fitted, offset=np.array(exact)).apply(rows[9:10]) == 0).all()
    rows[:, 0] = 0
    flat = Moments(24, 1)
    flat.add(rows)
    with pytest.raises(InputError, match="differ in 23 directions only"):
        fit_components(flat, 24, 1.0, scale=False)


@pytest.mark.slow
def test_torchmil_finds_folders_of_donors(tmp_path, make_cells, vectors_of):
    adata = make_cells()
    vectors = vectors_of(adata, tmp_path)
    options = {"instance_label": "kind", "coordinates": "spatial", "layout": "torchmil"}
    export("bags", adata, tmp_path / "out", listener=ignore, **GIVEN, **options)
    donors = pd.read_parquet(tmp_path / "out/donors.parquet")
    card = json.loads((tmp_path / "out/_run.json").read_text())
    rows = expected_rows(adata)
    for name, file, label in zip(donors["donor"], donors["file"], donors["label"], strict=True):
        assert unquote(file) == name
        parts = {part: np.load(tmp_path / f"out/{part}/{file}.npy") for part in FOLDERS}
        assert parts["features"].tobytes() == vectors[rows[name]].tobytes()
        assert parts["labels"].tolist() == [float(card["classes"].index(label))]
        assert parts["labels"].dtype == np.float32
        kinds = adata.obs["kind"].iloc[rows[name]]
        expected = [-1 if pd.isna(one) else card["instance_classes"].index(one) for one in kinds]
        assert parts["inst_labels"].tolist() == expected
        assert parts["inst_labels"].dtype == np.int64
        assert np.allclose(parts["coords"], adata.obsm["spatial"][rows[name]])
    assert not (tmp_path / "out/cells.safetensors").exists()


@pytest.mark.slow
def test_torchmil_loads_what_was_written(tmp_path, make_cells):
    pytest.importorskip("tensordict")
    torch = pytest.importorskip("torch")
    datasets = pytest.importorskip("torchmil.datasets")
    from torchmil.data import collate_fn
    from torchmil.models import ABMIL

    options = {"instance_label": "kind", "coordinates": "spatial", "layout": "torchmil", "components": 16}
    export("bags", make_cells(), tmp_path / "out", listener=ignore, **GIVEN, **options)
    donors = pd.read_parquet(tmp_path / "out/donors.parquet")
    paths = {f"{part}_path": str(tmp_path / "out" / part) for part in FOLDERS}
    bags = datasets.ProcessedMILDataset(**paths, bag_keys=["X", "Y", "y_inst", "coords"])
    assert len(bags) == len(donors)
    of_file = donors.set_index("file")
    for at in range(len(bags)):
        donor = of_file.loc[sorted(donors["file"])[at]]
        assert bags[at]["X"].shape == (donor["n_cells"], 16)
        assert float(bags[at]["Y"]) == donor["y"]
    batch = collate_fn([bags[at] for at in range(4)])
    assert torch.isfinite(ABMIL(in_shape=(16,))(batch["X"], batch["mask"])).all()


def test_numbers_are_labels_as_they_are(tmp_path, make_cells):
    export("bags", make_cells(), tmp_path / "out", donor="donor", label="age", listener=ignore)
    _, donors, _ = bags_of(tmp_path / "out")
    assert donors["y"].tolist() == donors["label"].tolist()
    assert donors["label"].dtype == np.float64


def test_donors_with_few_cells_can_be_left_out(tmp_path, make_cells, notes):
    export("bags", make_cells(), tmp_path / "out", min_cells=2, listener=notes, **GIVEN)
    _, donors, _ = bags_of(tmp_path / "out")
    assert "Zoë/11" not in donors["donor"].tolist()
    assert "1 donors have fewer than 2 cells and are left out: Zoë/11" in str(notes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"label": "kind"}, r"kind differs within the donor Zoë/\d+: .* and "),
        ({"covariates": ["kind"]}, r"kind differs within the donor"),
        ({"label": "illness"}, r"obs has no column 'illness'; it has donor, sick, age, kind"),
        ({"donor": "person"}, r"obs has no column 'person'; it has donor"),
        ({"instance_label": "type"}, r"obs has no column 'type'; it has donor"),
        ({"split": "0.8,0.1"}, r"three shares that are 1 together"),
        ({"split": "0,0.5,0.5"}, r"three shares that are 1 together"),
        ({"components": 0}, r"at least, not 0"),
        ({"components": 400}, r"vectors have \d+ columns, so there are no 400"),
        ({"components": 300}, r"cells of training donors differ in \d+ directions only"),
        ({"layout": "folders"}, r"safetensors and torchmil, not 'folders'"),
        ({"coordinates": "spatial"}, r"coordinates are for the layout torchmil"),
        ({"min_cells": 10**6}, r"no donor has enough cells"),
        ({"layout": "torchmil", "coordinates": "where"}, r"obsm has no 'where'; it has spatial; name"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(tmp_path, make_cells, options, says):
    with pytest.raises(InputError, match=says):
        export("bags", make_cells(), tmp_path / "out", listener=ignore, **GIVEN | options)
    assert not list(tmp_path.iterdir())


def test_a_split_is_typed_as_three_shares():
    assert parse_split("0.6, 0.2,0.2") == (0.6, 0.2, 0.2)


def test_the_verb_writes_what_the_function_does(tmp_path, make_cells, capsys):
    from lexicell.cli import main

    adata = make_cells()
    adata.obs["sex"] = np.where(adata.obs["age"] > 25, "f", "m")
    adata.write_h5ad(tmp_path / "in.h5ad")
    given = ["export", "bags", str(tmp_path / "in.h5ad"), str(tmp_path / "a"), "--donor", "donor", "--label"]
    more = ["sick", "--covariate", "age", "--covariate", "sex", "--split", "0.5,0.2,0.3", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*given, *more])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 238
    options = {"covariates": ["age", "sex"], "split": "0.5,0.2,0.3"}
    export("bags", tmp_path / "in.h5ad", tmp_path / "b", listener=ignore, **GIVEN, **options)
    assert files(tmp_path / "a") == files(tmp_path / "b")
