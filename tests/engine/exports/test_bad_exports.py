"""What people get wrong: one sentence, nothing written, and nothing lost on the way."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.engine.exports.cases import hostile, ids_of, table_of

from lexicell.embedding.events import Note, ignore
from lexicell.errors import InputError, InputNotFoundError, LexicellError, OutputExistsError
from lexicell.exports import export

IDS = ids_of(("CD3D", "MS4A1", "NKG7", "LYZ"))


def given(tmp_path, tokens=None, medians=None):
    path = tmp_path / "both.json"
    tokens = dict(zip(IDS, (4, 5, 6, 7), strict=True)) if tokens is None else tokens
    medians = dict.fromkeys(IDS, 1.5) if medians is None else medians
    path.write_text(json.dumps({"tokens": tokens, "medians": medians}))
    return {"tokens": path, "medians": path}


@pytest.mark.parametrize(
    "tokens",
    [
        dict.fromkeys(IDS, 4),
        dict.fromkeys(IDS, True),
        {IDS[0]: 1.5, IDS[1]: 2},
        {IDS[0]: -1},
        {IDS[0]: 2**31},
        {IDS[0]: "tok"},
    ],
)
def test_tokens_that_are_none_are_refused(tmp_path, tokens):
    with pytest.raises(InputError, match=r"0.*2\^31.*1"):
        export("geneformer", hostile()[0], tmp_path / "o", listener=ignore, **given(tmp_path, tokens))
    options = given(tmp_path, None, dict.fromkeys(IDS, "abc"))
    with pytest.raises(InputError, match="medians are numbers"):
        export("geneformer", hostile()[0], tmp_path / "o", listener=ignore, **options)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("geneformer", {"tokens": "nope.json", "medians": "nope.json"}),
        ("scbank", {"vocab": "nope.json"}),
        ("chat", {"label": "donor", "template": "nope.json"}),
    ],
)
def test_a_file_that_is_not_there_is_named(tmp_path, name, options):
    with pytest.raises(InputNotFoundError, match=r"nope\.json"):
        export(name, hostile()[0], tmp_path / "o", listener=ignore, **options)
    key = next(key for key, value in options.items() if value == "nope.json")
    with pytest.raises(InputError, match=r"cannot be read|is a \.json"):
        export(name, hostile()[0], tmp_path / "o", listener=ignore, **{**options, key: str(tmp_path)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("column", "value"), [("filter_pass", "1"), ("n_counts", "many")])
def test_columns_that_geneformer_reads_hold_numbers(tmp_path, column, value):
    adata, _ = hostile()
    adata.obs[column] = value
    with pytest.raises(InputError, match=rf"obs\['{column}'\].*Geneformer"):
        export("geneformer", adata, tmp_path / "o", listener=ignore, **given(tmp_path))


def test_a_dictionary_of_v2_for_v1_is_told(tmp_path):
    notes: list[str] = []
    options = given(tmp_path, {"<cls>": 0, "<eos>": 1, **dict(zip(IDS, (4, 5, 6, 7), strict=True))})

    def hear(event):
        if isinstance(event, Note):
            notes.append(event.text)

    export("geneformer", hostile()[0], tmp_path / "o", listener=hear, **options)
    assert any("is it --version v2?" in note for note in notes)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_missing_and_large_values_of_obs_stay_what_they_are(tmp_path, suffix):
    adata, _ = hostile()
    n = adata.n_obs
    adata.obs["own"] = [None if at % 3 == 0 else f"s{at}" for at in range(n)]
    adata.obs["big"] = pd.array([None, *range(2**60 + 1, 2**60 + n)], dtype="Int64")
    adata.obs["yes"] = pd.array([None, *[True, False] * (n // 2)][:n], dtype="boolean")
    adata.obs["when"] = pd.Timestamp("2020-01-01")
    adata.obs["n_counts"] = 3.0
    notes: list[str] = []

    def hear(event):
        if isinstance(event, Note):
            notes.append(event.text)

    export("counts", adata, tmp_path / f"o{suffix}", listener=hear)
    found = (ad.read_h5ad if suffix == ".h5ad" else ad.read_zarr)(tmp_path / f"o{suffix}").obs
    assert found["own"].isna().tolist() == adata.obs["own"].isna().tolist()
    assert found["own"].dropna().astype(str).tolist() == adata.obs["own"].dropna().tolist()
    assert found["big"].dropna().astype(int).tolist() == list(range(2**60 + 1, 2**60 + n))
    assert found["yes"].isna().sum() == 1
    assert "when" not in found
    assert any("'when' holds" in note and "left out" in note for note in notes)
    assert any("obs['n_counts'] is written anew" in note for note in notes)
    with pytest.raises(InputError, match="'when' holds"):
        export("counts", adata, tmp_path / f"p{suffix}", obs_columns=["when"], listener=ignore)


def test_an_h5ad_of_somebody_else_is_not_replaced(tmp_path):
    adata, _ = hostile()
    adata.write_h5ad(tmp_path / "theirs.h5ad")
    (tmp_path / "text.h5ad").write_text("no HDF5")
    for name in ("theirs", "text"):
        with pytest.raises(OutputExistsError, match="lexicell export"):
            export("counts", adata, tmp_path / f"{name}.h5ad", overwrite=True, listener=ignore)
    export("counts", adata, tmp_path / "ours.h5ad", listener=ignore)
    export("counts", adata, tmp_path / "ours.h5ad", overwrite=True, listener=ignore)


def test_counts_that_a_bank_rounds_are_told(tmp_path):
    adata, _ = hostile(np.float64)
    adata.X[0, 0] = 2**24 + 1
    (tmp_path / "v.json").write_text('{"CD3D": 0, "LYZ": 1}')
    for layout in ("scgpt", "scmmgpt"):
        done = export(
            "scbank", adata, tmp_path / layout, vocab=tmp_path / "v.json", layout=layout, listener=ignore
        )
        assert done.facts["counts_rounded_to_32_bits"] == 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cell-sentence", {"top": 10**20}),
        ("ranked", {"top": 10**20}),
        ("chat", {"label": "donor", "top": 10**20}),
        ("scbank", {"vocab": "v.json", "bins": 10**20}),
        ("bags", {"donor": "donor", "label": "donor", "split": "nan,0.5,0.5"}),
        ("bags", {"donor": "donor", "label": "donor", "min_cells": 99}),
        ("spatial-graph", {"graph": "radius", "radius": 0.0}),
        ("spatial-graph", {"graph": "radius", "radius": float("nan")}),
        ("spatial-graph", {"graph": "knn", "neighbours": 10**20}),
        ("genes", {"group": "donor", "upstream": 10**20}),
    ],
)
def test_numbers_that_can_not_be_leave_nothing_behind(tmp_path, name, options):
    adata, _ = hostile()
    adata.obsm["spatial"] = np.random.default_rng(0).random((adata.n_obs, 2))
    adata.write_h5ad(tmp_path / "in.h5ad")
    with pytest.raises(InputError):
        export(name, tmp_path / "in.h5ad", tmp_path / "o", listener=ignore, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]


def test_an_answer_has_its_label(tmp_path):
    (tmp_path / "t.json").write_text('{"user": "$genes", "assistant": "hi"}')
    with pytest.raises(InputError, match=r"assistant has no \$label"):
        export(
            "chat", hostile()[0], tmp_path / "o", label="donor", template=tmp_path / "t.json", listener=ignore
        )


def test_a_column_that_datasets_can_not_open_is_refused(tmp_path):
    adata, _ = hostile()
    adata.obs["month"] = pd.period_range("2020-01", periods=adata.n_obs, freq="M")
    with pytest.raises(LexicellError, match=r"obs\['month'\]"):
        export("cell-sentence", adata, tmp_path / "o", obs_columns=["month"], listener=ignore)
    export("cell-sentence", adata, tmp_path / "p", listener=ignore)
    assert table_of(tmp_path / "p").num_rows == adata.n_obs
