"""What people have in their files: odd names and values, too few cells, what is damaged, what is private."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.engine.reporting.test_report import by_cell, column, donors, notes, paged, run, said, section

import lexicell
from lexicell.errors import InputError
from lexicell.reporting.columns import categories_of, column_of
from lexicell.reporting.content import Facts, Folded, Sentence, Table
from lexicell.reporting.files import EvaluationFile, ProfileFile, files_beside

__all__ = ["donors", "notes", "paged", "run"]

SCORE = {"mean": 0.5, "low": 0.4, "high": 0.6}
LINE = {
    "data": "cells", "scenario": "few-shot", "setting": "n=3", "classifier": "knn", "method": "lexicell",
    "control": "", "is_control": False, "scores": {"macro_f1": SCORE, "accuracy": SCORE},
}  # fmt: skip
EVALUATION = {"settings": {}, "data": {"cells": {"cells": 360}}, "lines": [LINE]}


@pytest.fixture
def embedded(donors):
    """The same cells with their vectors, in memory."""
    donors.obsm["X_flat"] = np.random.default_rng(0).normal(size=(360, 2))
    lexicell.tl.embed(donors)
    return donors


def listen(_):
    pass


def test_whole_numbers_stay_whole():
    large = pd.Series(np.arange(5) + 123_456_700)
    made = column_of("n", large, np.arange(5), "obs", listen)
    np.testing.assert_array_equal(made.values, large)
    assert column_of("n", large % 7, np.arange(5), "obs", listen).values.dtype == np.float32


@pytest.mark.parametrize("name", ["\u202eabc", "a\x00b", "\ud800x", "a\rb"])
def test_names_that_a_page_would_obey_are_written_out(name):
    made = categories_of(name, pd.Series([name, "b", name], dtype=object), np.arange(3), "obs", listen)
    for text in (made.name, *made.names):
        text.encode("utf-8")
        assert not set(text) & set("\u202e\x00\r")
    assert sorted(made.totals) == [1, 2]


def test_names_are_in_the_order_of_their_numbers_whatever_the_hash():
    labels = ["m10", "m2", "nan", "inf", "NaN", "1", "10", "2", "a"]
    made = categories_of("x", pd.Series(labels), np.arange(9), "obs", listen)
    assert made.names == ("1", "2", "10", "NaN", "a", "inf", "m2", "m10", "nan")


@pytest.mark.slow
def test_a_column_called_as_a_sentence_stays(embedded, paged):
    embedded.obs["T cell activation"] = np.arange(360.0)
    page = paged(embedded, text=["T cell activation"])
    assert column(page, "T cell activation").origin == "sentence"
    assert column(page, "T cell activation (obs)").origin == "obs"


def test_cells_without_a_batch_are_a_row_of_quality(embedded, paged):
    embedded.obs["batch"] = pd.Categorical(np.where(np.arange(360) < 100, "b10", "b2"))
    embedded.obs.loc[embedded.obs_names[:20], "batch"] = np.nan
    page = paged(embedded, batch_key="batch")
    (table,) = said(page, "quality", Table)[:1]
    assert [(row[0], row[1]) for row in table.rows] == [("b10", 80), ("b2", 260), ("(none)", 20)]
    part = embedded.obs.loc[embedded.obs["batch"] == "b10"]
    assert table.rows[0][2] == pytest.approx(part["lexicell_coverage"].median())
    assert table.rows[0][5] == pytest.approx((part["lexicell_n_tied"] > 0).mean())


def test_a_sample_of_more_groups_than_cells_is_drawn_and_told(embedded, paged):
    embedded.obs["clone"] = [f"c{i // 2}" for i in range(360)]
    page = paged(embedded, group="clone", max_cells=50)
    assert len(page.cells.names) == 50
    assert page.cells.genes is not None


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["only"] * 360, "fewer than two groups"), ([f"{i}" for i in range(360)], "No group")],
)
def test_groups_that_cannot_be_compared_leave_the_rest_of_the_page(embedded, paged, labels, message):
    embedded.obs["group"] = labels
    page = paged(embedded[:150].copy(), group="group")
    assert any(message in block.text for block in said(page, "groups"))
    assert page.cells.genes is not None
    assert "are compared" not in {block.text for block in said(page, "groups")}


def test_cells_that_are_all_the_same_say_so(embedded, paged):
    names = pd.DataFrame({"half": ["a", "b"] * 20}, index=[f"s{i}" for i in range(40)])
    same = ad.AnnData(
        sp.csr_matrix(np.repeat(embedded.X[7].toarray(), 40, axis=0)), names, embedded.var.copy()
    )
    lexicell.tl.embed(same)
    page = paged(same, group="half", basis=None)
    assert "the vectors of all 40 cells are the same" in page.cells.layout
    assert np.ptp(page.cells.positions) == 0


def test_coordinates_of_any_size_are_places(embedded, paged):
    embedded.obsm["X_flat"][:2] = [[1e39, -3e38], [3e38, 3e38]]
    page = paged(embedded)
    assert np.isfinite(page.cells.positions).all()
    assert np.abs(page.cells.positions).max() == pytest.approx(1)
    with pytest.raises(InputError, match="names a column twice"):
        paged(embedded, basis="lexicell_coverage,lexicell_n_genes,lexicell_coverage")


def test_vectors_that_are_not_finite_name_their_cell(embedded, paged):
    embedded.obsm["X_lexicell"][7, 3] = np.nan
    with pytest.raises(InputError, match="'cell-7'"):
        paged(embedded)


@pytest.mark.parametrize(
    "damage",
    [{"genes": {}}, {"top_k": "x"}, {"input": None}, {"lexicon": 3}, {"weight": "heavy"}],
)
def test_a_run_that_does_not_say_how_it_was_made_is_told(embedded, paged, damage):
    embedded.uns["lexicell"] |= damage
    with pytest.raises(InputError, match="vectors were made"):
        paged(embedded)


def test_an_annotation_of_lists_is_no_colour(run, paged, tmp_path, notes):
    store, data = run
    names = ad.read_h5ad(data, backed="r").obs_names
    table = pd.DataFrame({"cell": names, "label": "B", "genes": [["a", "b"]] * 360})
    table.to_parquet(tmp_path / "labels.parquet")
    page = paged(store, data=data, annotation=tmp_path / "labels.parquet", listener=notes)
    assert column(page, "annotation: label").names == ("B",)


@pytest.mark.parametrize(
    "content",
    [{**EVALUATION, "lines": [{key: LINE[key] for key in LINE if key != lost}]} for lost in LINE]
    + [
        {**EVALUATION, "data": []},
        {**EVALUATION, "settings": None},
        {**EVALUATION, "data": {"cells": {"cells": "many"}}},
        {**EVALUATION, "lines": [{**LINE, "method": 3}]},
        {**EVALUATION, "lines": [{**LINE, "scores": {"macro_f1": {"mean": -5}, "accuracy": SCORE}}]},
        {
            **EVALUATION,
            "lines": [{**LINE, "scores": {"macro_f1": SCORE, "accuracy": {"mean": float("nan")}}}],
        },
        [],
        None,
    ],
)
def test_what_is_no_evaluation_is_told(tmp_path, content):
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="name the folder that") as told:
        EvaluationFile.read(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "facts",
    [
        {"stages": {"kernel": "x"}, "seconds": 1, "workers": {}},
        {"stages": {"kernel": [1]}, "seconds": 1, "workers": {}},
        {"stages": {"kernel": -1.0}, "seconds": 1, "workers": {}},
        {"stages": {"kernel": 1.0}, "seconds": float("nan"), "workers": {}},
        {"stages": {"kernel": 1.0}, "workers": {}},
        {"stages": {"kernel": 1.0}, "seconds": 1, "workers": 3},
        None,
    ],
)
def test_what_is_no_profile_is_told(tmp_path, facts):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"otherData": facts, "traceEvents": []}))
    with pytest.raises(InputError, match=r"\.json"):
        ProfileFile.read(path)


def test_a_profile_is_read_however_it_was_printed(tmp_path):
    facts = {"stages": {"kernel": 1.0}, "seconds": 2.0, "workers": {"main": {}, "worker 0": {}}}
    for indent in (None, 2):
        (tmp_path / "p.json").write_text(json.dumps({"otherData": facts, "traceEvents": []}, indent=indent))
        assert ProfileFile.read(tmp_path / "p.json") == ProfileFile(2.0, {"kernel": 1.0}, 1)


def test_an_evaluation_of_other_cells_is_told(run, paged, tmp_path):
    store, data = run
    (tmp_path / "evaluation.json").write_text(
        json.dumps(
            {**EVALUATION, "data": {"mouse": {"cells": 150}}, "settings": {"lexicon": {"identity": "x"}}}
        )
    )
    page = paged(store, data=data, evaluation=tmp_path)
    serious = [block.text for block in said(page, "evaluation") if block.serious]
    assert any("as many cells" in text for text in serious)
    assert any("another lexicon" in text for text in serious)


def test_what_lies_beside_can_be_left_out(run, paged, tmp_path, notes):
    store, data = run
    (tmp_path / "cells.annotation.csv").write_text("cell,label\nother,B\n")
    with pytest.raises(InputError, match="--annotation none"):
        paged(store, data=data)
    page = paged(store, data=data, annotation="none")
    assert not any(made.origin == "annotation" for made in page.cells.columns)
    found = files_beside(tmp_path / "x.zarr", None, None, None, notes)
    assert (found.annotation, found.evaluation, found.profile) == (None, None, None)


def test_no_folder_is_part_of_a_page(donors, paged, tmp_path, notes):
    folder = tmp_path / "My Secret Dir" / "sub"
    folder.mkdir(parents=True)
    donors.obsm["X_flat"] = np.zeros((360, 2))
    donors.obs["id"] = [f"/GO/id {i}" for i in range(360)]
    donors.write_h5ad(folder / "cells.h5ad")
    lexicell.embed(folder / "cells.h5ad", folder / "cells.zarr", profile=folder / "cells.profile.json")
    page = paged(folder / "cells.zarr", data=folder / "cells.h5ad", listener=notes)
    shown = repr((page.summary, page.before, page.after, page.title))
    assert "Secret" not in shown
    assert "cells.profile.json lies beside the store" in shown
    assert "id has 360 values" in shown


def test_what_matters_of_the_notes_is_not_folded(embedded, paged):
    embedded.obs["kind"] = pd.Categorical(["B"] * 200 + ["T"] * 159 + ["alone"])
    page = paged(embedded, group="kind")
    blocks = section(page, "run").blocks
    assert any(isinstance(block, Sentence) and block.serious and "alone" in block.text for block in blocks)
    folded = [block for block in blocks if isinstance(block, Folded)]
    assert not any(note.serious for block in folded for note in block.blocks)


def test_a_projection_with_a_bias_does_not_claim_sums_of_1(run, paged, tmp_path):
    _, data = run
    learned, store = tmp_path / "learned", tmp_path / "learned.zarr"
    lexicell.train(data, learned, label="kind", objective="ridge")
    lexicell.embed(data, store, projection=learned)
    page = paged(store, data=data, projection=learned)
    name = page.cells.names[3]
    told = lexicell.explain(data, cell=name, projection=learned, sets=None)
    total = told.genes["contribution"].sum()
    assert abs(total - 1) > 0.01
    assert "sum to 1." not in page.cells.genes.note or "bias" in page.cells.genes.note


def test_one_gene_and_a_suffix_in_capitals_are_what_they_seem(embedded, tmp_path, monkeypatch):
    from lexicell.reporting import api

    pages = []
    monkeypatch.setattr(api, "render", lambda page: pages.append(page) or "<html>")
    lexicell.report(
        embedded, tmp_path / "P.HTML", basis="X_flat", color_genes="CD3D", obs_columns="kind", sets=None
    )
    assert "CD3D" in pages[0].cells.genes.names
    assert {made.origin for made in pages[0].cells.columns} == {"obs", "quality"}
    assert dict(said(pages[0], "run", Facts)[0].items)["cells"] == "360"
    assert by_cell(pages[0]).shape[0] == 359


def test_a_sparse_matrix_of_one_cell_is_a_page(embedded, paged):
    one = embedded[:1].copy()
    assert sp.issparse(one.X)
    page = paged(one, basis=None)
    assert page.cells.names == ["cell-0"]
