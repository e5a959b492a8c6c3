"""Vectors from elsewhere stand beside ours: joined by id, on the same draws, and never as a control."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import lexicell
from lexicell.embedding import Note
from lexicell.embedding.events import ignore
from lexicell.errors import InputError

pytest.importorskip("sklearn")

LABEL = "bulk_labels"
QUICK = {"label": LABEL, "methods": ["paper"], "n": (2,), "draws": 3}


@pytest.fixture
def labelled(cells):
    few = cells.obs[LABEL].astype(object)
    few[~few.isin(few.value_counts().index[:3])] = np.nan
    cells.obs[LABEL] = few
    return cells


def written(path, cells, vectors, rows):
    adata = ad.AnnData(obs=pd.DataFrame(index=cells.obs_names[rows]))
    adata.obsm["X_other"] = vectors[rows]
    adata.obsm["X_more"] = np.zeros((len(rows), 1), np.float32)
    adata.write_h5ad(path)
    return f"{path}#X_other"


def told(cells):
    """A vector that gives the class away, so that whoever mixes cells up is seen."""
    codes = pd.factorize(cells.obs[LABEL])[0]
    return np.eye(4, 5, dtype=np.float32)[codes] + 0.01


@pytest.mark.slow
def test_vectors_in_any_order_are_judged_on_the_same_draws(labelled, tmp_path):
    rows = np.random.default_rng(0).permutation(labelled.n_obs)
    path = written(tmp_path / "other.h5ad", labelled, told(labelled), rows)
    found = lexicell.evaluate(
        labelled, scenarios=["few-shot"], embeddings={"other": path}, listener=ignore, **QUICK
    )
    other = [record for record in found.records if record.method == "other"]
    ours = [r for r in found.records if (r.method, r.control) == ("paper", "")]
    assert all(record.macro_f1 == 1 for record in other)
    assert not all(record.macro_f1 == 1 for record in ours)
    sizes = [
        [(r.setting, r.draw, r.classifier, r.reference_cells, r.query_cells) for r in of]
        for of in (other, ours)
    ]
    assert sizes[0] == sizes[1]
    (line, _) = [line for line in found.lines() if line.method == "other"]
    assert not line.is_control
    (rival,) = line.against
    assert rival.startswith("best control: paper, ")
    assert all("other" not in rival for line in found.lines() for rival in line.against)
    assert found.settings["methods"]["other"]["given"]
    assert "other.h5ad#X_other, blake3 " in found.settings["methods"]["other"]["source"]
    assert "| other | 1.000" in found.markdown()


@pytest.mark.slow
def test_our_own_store_beside_us_is_as_good_as_we_are(labelled, tmp_path):
    lexicell.embed(labelled, tmp_path / "ours.zarr", recipe="paper", listener=ignore)
    found = lexicell.evaluate(
        labelled,
        scenarios=["few-shot"],
        embeddings={"store": tmp_path / "ours.zarr"},
        listener=ignore,
        **QUICK,
    )
    scores = {
        name: [r.macro_f1 for r in found.records if (r.method, r.control) == (name, "")]
        for name in ("paper", "store")
    }
    assert scores["paper"] == scores["store"]


@pytest.mark.slow
def test_cells_without_a_vector_are_left_out_for_all(labelled, tmp_path):
    has = np.flatnonzero(labelled.obs[LABEL].notna())
    first = written(tmp_path / "first.h5ad", labelled, told(labelled), np.delete(np.arange(120), has[:4]))
    second = written(tmp_path / "second.h5ad", labelled, told(labelled), np.delete(np.arange(120), has[3:6]))
    notes = []
    found = lexicell.evaluate(
        labelled, scenarios=["few-shot"], embeddings={"a": first, "b": second}, listener=notes.append, **QUICK
    )
    assert {r.reference_cells + r.query_cells for r in found.records} == {len(has) - 6}
    assert found.data["data"]["cells"] == len(has) - 6
    said = " ".join(event.text for event in notes if isinstance(event, Note))
    assert "data: 6 cells without a vector in a, b are left out for all methods" in said


def test_vectors_of_all_genes_have_no_row_where_genes_are_hidden(labelled, tmp_path):
    path = written(tmp_path / "other.h5ad", labelled, told(labelled), np.arange(120))
    notes = []
    found = lexicell.evaluate(
        labelled, scenarios=["disjoint"], panels=1, embeddings={"other": path}, listener=notes.append,
        label=LABEL, methods=["paper"],
    )  # fmt: skip
    assert {record.method for record in found.records} == {"paper"}
    said = " ".join(event.text for event in notes if isinstance(event, Note))
    assert "the vectors of other are of all genes of one data set, so it has no 'halves' of disjoint" in said


@pytest.mark.parametrize(
    ("embeddings", "says"),
    [
        ({"paper": "#X_other"}, "'paper' is given twice"),
        ({"a": ""}, r"say which key of obsm to read \(--key\); it has X_more, X_other"),
        ({"a": "#X_more"}, "no cell has a vector in all of a"),
        ({"a": "#X_none"}, "has no key 'X_none'"),
        ({"a": ".nowhere"}, "no such file"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(labelled, tmp_path, embeddings, says):
    path = tmp_path / "other.h5ad"
    written(path, labelled, told(labelled), np.arange(120))
    named = {name: f"{path}{rest}" for name, rest in embeddings.items()}
    with pytest.raises(InputError, match=says):
        lexicell.evaluate(labelled, scenarios=["few-shot"], embeddings=named, listener=ignore, **QUICK)
    with pytest.raises(InputError, match="one data set"):
        lexicell.evaluate({"x": labelled, "y": labelled}, embeddings=named, listener=ignore, **QUICK)
