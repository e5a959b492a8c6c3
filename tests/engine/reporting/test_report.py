"""What a page says of a run is what other verbs say of the same cells, whatever order they come in."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.engine.explanation.conftest import donors, notes

import lexicell
from lexicell.cli._app import app
from lexicell.errors import InputError, OutputExistsError, PartialError
from lexicell.reporting import api
from lexicell.reporting.content import Categories, Command, Facts, Folded, Numbers, Sentence, Table

__all__ = ["donors", "notes"]

pytestmark = pytest.mark.slow  # UMAP, neighbours and their compilers

ASKED = "B cell receptor signaling, immunoglobulin production"


@pytest.fixture
def run(donors, tmp_path):
    """A store without counts, and the data that it is of; 360 cells, one without genes."""
    donors.obsm["X_flat"] = np.random.default_rng(0).normal(size=(360, 2))
    donors.obs["depth"] = np.asarray(donors.X.sum(axis=1)).ravel()
    data, store = tmp_path / "cells.h5ad", tmp_path / "cells.zarr"
    donors.write_h5ad(data)
    lexicell.embed(data, store, obs_columns=["donor"])
    return store, data


@pytest.fixture
def paged(monkeypatch, tmp_path):
    """Report, and give back what the page is made of."""
    pages = []
    monkeypatch.setattr(api, "render", lambda page: pages.append(page) or "<html>")

    def report(store, **options):
        options = {"basis": "X_flat", "overwrite": True, "sets": "none", **options}
        lexicell.report(store, tmp_path / "page.html", **options)
        return pages[-1]

    return report


def column(page, name):
    (found,) = (column for column in page.cells.columns if column.name == name)
    return found


def section(page, name):
    (found,) = (part for part in (*page.before, *page.after) if part.name == name)
    return found


def said(page, name, kind=Sentence):
    blocks = []
    for block in section(page, name).blocks:
        blocks += [block, *(block.blocks if isinstance(block, Folded) else ())]
    return [block for block in blocks if isinstance(block, kind)]


def by_cell(page):
    """Everything that a page says of each cell, by its name."""
    cells = page.cells
    values = {"x": cells.positions[:, 0], "y": cells.positions[:, 1]}
    for made in cells.columns:
        values[made.name] = (
            np.append(np.array(made.names, object), "")[made.codes]
            if isinstance(made, Categories)
            else made.values
        )
    if cells.genes is not None:
        values |= dict(zip(cells.genes.names, cells.genes.contributions, strict=True))
    return pd.DataFrame(values, index=cells.names).sort_index()


@pytest.mark.slow
def test_a_cell_owes_to_its_genes_what_explain_says(run, paged):
    store, data = run
    page = paged(store, data=data, group="kind")
    name = page.cells.names[7]
    told = lexicell.explain(data, cell=name, sets=None).genes.set_index("gene")["contribution"]
    genes = page.cells.genes
    top = {
        genes.all_names[i]: value for i, value in zip(genes.top[7], genes.top_contributions[7], strict=True)
    }
    np.testing.assert_allclose(pd.Series(top), told.iloc[: len(top)], rtol=1e-5)
    assert list(top) == list(told.index[: len(top)])
    row = pd.Series(genes.contributions[:, 7], genes.names)
    np.testing.assert_allclose(row[row != 0], told.reindex(row.index[row != 0]), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_groups_owe_to_genes_what_explain_says(run, paged):
    store, data = run
    page = paged(store, data=data, group="kind")
    told = lexicell.explain(data, group="kind", sets=None)
    folded = {block.category: block for block in said(page, "groups", Folded)}
    assert list(folded) == list(told.groups.index) == ["B", "myeloid", "other"]
    for group, block in folded.items():
        rows = block.blocks[0].rows
        genes = told.genes[(told.genes["group"] == group) & told.genes["more"]].head(len(rows))
        assert [row[0] for row in rows] == list(genes["gene"])
        np.testing.assert_allclose([row[1] for row in rows], genes["contribution"], rtol=1e-9)


@pytest.mark.slow
def test_the_order_of_cells_and_genes_changes_nothing(run, paged, donors, tmp_path):
    store, data = run
    options = {"group": "kind", "text": ASKED, "sets": "none"}
    whole = by_cell(paged(store, data=data, **options))
    rng = np.random.default_rng(1)
    other = tmp_path / "other.h5ad"
    donors[rng.permutation(donors.n_obs), rng.permutation(donors.n_vars)].copy().write_h5ad(other)
    moved = by_cell(paged(store, data=other, **options))
    pd.testing.assert_frame_equal(whole, moved[whole.columns], rtol=1e-6)


@pytest.mark.slow
def test_a_store_with_counts_and_an_anndata_are_their_own_data(run, paged, donors, tmp_path):
    store, data = run
    whole = by_cell(paged(store, data=data, group="kind", sets="none"))
    one = tmp_path / "embedded.h5ad"
    lexicell.embed(data, one)
    lexicell.tl.embed(donors)
    for other in (one, donors):
        page = by_cell(paged(other, group="kind", sets="none"))
        pd.testing.assert_frame_equal(whole, page[whole.columns], rtol=1e-6)


@pytest.mark.slow
def test_without_data_a_page_has_what_the_store_knows(run, paged, notes):
    store, _ = run
    page = paged(store, group="donor", basis=None, text=ASKED, listener=notes)
    assert page.cells.genes is None
    assert {made.name for made in page.cells.columns} == {
        "donor", ASKED, "lexicell_n_genes", "lexicell_coverage", "lexicell_n_tied",
    }  # fmt: skip
    assert any("counts of the cells (--data)" in block.text for block in said(page, "groups"))
    scores = lexicell.search(store, ASKED).scores[ASKED].reindex(page.cells.names)
    np.testing.assert_allclose(column(page, ASKED).values, scores, rtol=1e-6)
    assert page.cells.layout.startswith("UMAP of the vectors of 359 cells")


@pytest.mark.slow
def test_sentences_score_cells_as_search_does(run, paged):
    store, data = run
    page = paged(store, data=data, text={"B": ASKED}, group="kind")
    scores = lexicell.search(data, {"B": ASKED}).scores["B"].reindex(page.cells.names)
    # The one cell without genes is not on the page.
    assert np.corrcoef(column(page, "B").values, scores)[0, 1] > 0.99
    (folded,) = said(page, "sentences", Folded)
    assert {"CD79A", "CD79B"} & {row[0] for row in folded.blocks[0].rows}
    assert folded.blocks[1].rows[0][0] == "B"


@pytest.mark.slow
def test_the_umap_is_the_same_again(run, paged):
    store, _ = run
    first, again = (paged(store, basis=None, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.cells.positions, again.cells.positions)
    assert first.cells.names == again.cells.names


def test_a_sample_has_cells_of_every_group_and_is_told(run, paged, donors, tmp_path):
    donors.obs["rare"] = np.where(np.arange(360) < 4, "few", "many")
    data, store = tmp_path / "rare.h5ad", tmp_path / "rare.zarr"
    donors.write_h5ad(data)
    lexicell.embed(data, store)
    page = paged(store, data=data, group="rare", max_cells=100)
    assert len(page.cells.names) == len(set(page.cells.names)) == 100
    rare = column(page, "rare")
    assert (np.array(rare.names)[rare.codes] == "few").sum() == 4
    assert rare.totals == (4, 356)  # of all cells, the one without genes too
    assert any(line.serious and "sample with cells of every group" in line.text for line in page.summary)
    quality = dict(said(page, "quality", Facts)[0].items)
    assert quality["cells without genes"].startswith("1 of 360")
    other = paged(store, data=data, group="rare", max_cells=100, seed=1)
    assert set(other.cells.names) != set(page.cells.names)


def test_more_than_200_categories_are_other_and_told(run, paged, donors, tmp_path, notes):
    rng = np.random.default_rng(0)
    donors = ad.concat([donors] * 3, index_unique="-")
    donors.obsm["X_flat"] = rng.normal(size=(donors.n_obs, 2))
    donors.obs["clone"] = [f"clone {i}" for i in np.minimum(np.arange(donors.n_obs) // 2, 300)]
    data, store = tmp_path / "clones.h5ad", tmp_path / "clones.zarr"
    donors.write_h5ad(data)
    lexicell.embed(data, store)
    page = paged(store, data=data, listener=notes)
    clones = column(page, "clone")
    assert len(clones.names) == 201
    assert clones.names[-1] == "other"
    assert sum(clones.totals) == donors.n_obs
    assert "clone 300" in clones.names  # the largest
    assert any("301 categories" in text for text in notes)


def test_columns_of_every_type_are_shown_or_told(run, paged, donors, tmp_path, notes):
    n = donors.n_obs
    donors.obs["flag"] = np.arange(n) % 2 == 0
    donors.obs["id"] = [f"cell {i}" for i in range(n)]
    donors.obs["whole"] = pd.array([1, None, *range(n - 2)], dtype="Int64")
    donors.obs["wild"] = np.where(np.arange(n) < 3, np.inf, 1.5)
    donors.obs["blank"] = pd.Categorical(
        [" " if i % 2 else "x" for i in range(n)], categories=[" ", "unused", "x"]
    )
    donors.obs["<script>"] = "</script>"
    data, store = tmp_path / "types.h5ad", tmp_path / "types.zarr"
    donors.write_h5ad(data)
    lexicell.embed(data, store)
    page = paged(store, data=data, listener=notes)
    assert column(page, "flag").names == ("False", "True")
    assert np.isnan(column(page, "whole").values).sum() == 1
    assert np.isnan(column(page, "wild").values).sum() == 3
    assert "infinite" in column(page, "wild").note
    assert column(page, "blank").names == ("x",)
    assert column(page, "blank").totals == (180,)
    assert column(page, "<script>").names == ("</script>",)
    assert "id" not in {made.name for made in page.cells.columns}
    assert any(text.startswith("id has 360 values") for text in notes)
    assert isinstance(column(page, "depth"), Numbers)


def test_cells_without_coordinates_are_left_out_and_told(run, paged, donors, tmp_path):
    store, data = run
    donors.obsm["X_flat"][:40] = np.nan
    donors.write_h5ad(data)
    page = paged(store, data=data)
    assert len(page.cells.names) == 320  # the cell without genes is one of the 40
    assert any("40 of them have no vector or no place" in line.text for line in page.summary)


@pytest.mark.slow
def test_what_lies_beside_the_store_is_part_of_the_page(run, paged, tmp_path):
    store, data = run
    lexicell.annotate(data, tmp_path / "cells.annotation.csv", describe={"B cell": ASKED, "other": "blood"})
    lexicell.embed(data, tmp_path / "again.zarr", profile=tmp_path / "cells.profile.json")
    (tmp_path / "cells.evaluation").mkdir()
    score = {"mean": 0.5, "low": 0.4, "high": None}
    line = {
        "data": "cells", "scenario": "few-shot", "setting": "n=3", "classifier": "knn", "method": "lexicell",
        "control": "", "is_control": False, "scores": {"macro_f1": score, "accuracy": score},
    }  # fmt: skip
    shuffled = {**line, "control": "shuffled", "is_control": True}
    content = {"settings": {}, "data": {"cells": {"cells": 360}}, "lines": [shuffled, line]}
    (tmp_path / "cells.evaluation" / "evaluation.json").write_text(json.dumps(content))
    page = paged(store, data=data, group="kind")
    labels = pd.read_csv(tmp_path / "cells.annotation.csv", index_col="cell")["label"]
    mine = by_cell(page)["annotation: label"]
    assert (mine == labels.reindex(mine.index)).all()
    (table,) = said(page, "evaluation", Table)
    assert [row[0] for row in table.rows] == ["lexicell", "lexicell, shuffled"]
    assert table.faint == {1}
    assert not any(block.serious for block in said(page, "evaluation"))
    (table,) = said(page, "time", Table)
    assert {"kernel", "decode"} <= {row[0] for row in table.rows}
    (shares,) = [[row[2] for row in table.rows]]
    assert sum(shares) == pytest.approx(1)


@pytest.mark.slow
def test_the_commands_make_the_same_again(run, paged, tmp_path, monkeypatch, donors):
    _, data = run
    store = tmp_path / "other.zarr"
    options = {"recipe": "paper", "top_k": 50, "weight": "uniform", "mask_genes": ["name-only"]}
    lexicell.embed(data, store, **options)
    page = paged(store, data=data, group="kind", text=[ASKED], title="My cells", sets="none", seed=3)
    embed, again = (block.text for block in said(page, "run", Command))
    monkeypatch.chdir(tmp_path)
    words = shlex.split(embed)
    assert words[:2] == ["lexicell", "embed"]
    vectors = lexicell.open_embedding(store).obsm["X_lexicell"]
    words[words.index("other.zarr")] = "anew.zarr"
    app(words[1:], standalone_mode=False)
    np.testing.assert_array_equal(lexicell.open_embedding("anew.zarr").obsm["X_lexicell"], vectors)
    first = by_cell(page)
    app([*shlex.split(again)[1:], "--overwrite"], standalone_mode=False)
    pages = []
    monkeypatch.setattr(api, "render", lambda page: pages.append(page) or "<html>")
    app([*shlex.split(again)[1:], "--overwrite"], standalone_mode=False)
    pd.testing.assert_frame_equal(first, by_cell(pages[0]))


def test_genes_can_be_asked_for(run, paged, monkeypatch, notes):
    monkeypatch.setattr("lexicell.reporting.genes._MOST_VALUES", 0)  # a page holds few
    store, data = run
    page = paged(store, data=data, color_genes=["LTB", "no such gene"], listener=notes)
    assert page.cells.genes.names[0] == "LTB"
    assert len(page.cells.genes.names) == 16
    assert any("no such gene" in text for text in notes)
    with pytest.raises(InputError, match="holds 16 genes"):
        paged(
            store,
            data=data,
            color_genes=list(lexicell.Lexicon.open("human-go-minilm").genes.column("symbol").to_pylist()),
        )


def test_a_trained_projection_is_asked_for(run, paged, tmp_path):
    _, data = run
    learned, other = tmp_path / "learned", tmp_path / "learned2"
    lexicell.train(data, learned, label="kind", objective="ridge")
    lexicell.train(data, other, label="donor", objective="ridge")
    store = tmp_path / "learned.zarr"
    lexicell.embed(data, store, projection=learned)
    page = paged(store, data=data, group="kind", projection=learned)
    assert page.cells.genes is not None
    with pytest.raises(InputError, match=r"\(--projection\)"):
        paged(store, data=data)
    with pytest.raises(InputError, match="with another"):
        paged(store, data=data, projection=other)


@pytest.mark.slow
def test_vectors_of_another_model_have_no_genes(run, paged, tmp_path):
    _, data = run
    names = ad.read_h5ad(data, backed="r").obs_names
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(360, 8)), columns=[str(i) for i in range(8)])
    vectors.insert(0, "cell_id", names)
    vectors.to_csv(tmp_path / "model.csv", index=False)
    store = tmp_path / "imported.zarr"
    lexicell.import_embedding(tmp_path / "model.csv", store, kind="csv", data=data)
    page = paged(store, data=data, group="kind")
    assert page.cells.genes is None
    assert any("another model" in block.text for block in said(page, "groups"))
    assert said(page, "quality", Table)[-1].title.startswith("Genes without a description")
    scored = paged(store, data=data, text=ASKED)  # by the counts, which are the same
    own = lexicell.search(data, ASKED).scores[ASKED].reindex(scored.cells.names)
    np.testing.assert_allclose(column(scored, ASKED).values, own, atol=1e-5)
    with pytest.raises(InputError, match="another model"):
        paged(store, basis=None, text=ASKED)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "colour"}, "no column 'colour'"),
        ({"basis": "X_pca"}, "no 'X_pca'"),
        ({"obs_columns": ["colour"]}, "no column 'colour'"),
        ({"batch_key": "colour"}, "no column 'colour'"),
        ({"max_cells": 0}, "1 to 50,000 cells"),
        ({"max_cells": 100_000}, "1 to 50,000 cells"),
        ({"seed": -1}, "seed must be"),
        ({"evaluation": "nowhere"}, "evaluation.json"),
        ({"profile": "nowhere.json"}, "nowhere.json"),
        ({"annotation": "labels.txt"}, r"tables of cells are \.csv or \.parquet"),
        ({"text": " "}, "sentence"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(run, paged, options, message):
    store, data = run
    with pytest.raises(InputError, match=message) as told:
        paged(store, data=data, **options)
    assert "\n" not in str(told.value)


def test_other_cells_are_refused(run, paged, donors, tmp_path):
    store, data = run
    fewer, renamed, recounted = (tmp_path / f"{name}.h5ad" for name in ("fewer", "renamed", "recounted"))
    donors[:350].copy().write_h5ad(fewer)
    other = donors.copy()
    other.obs_names = [f"other-{i}" for i in range(360)]
    other.write_h5ad(renamed)
    other = donors.copy()
    other.X = other.X[::-1].copy()
    other.write_h5ad(recounted)
    for path, message in (
        (fewer, r"has other cells than .*10 of 360 are not in it, such as 'cell-350'"),
        (renamed, "has other cells than"),
        (recounted, r"holds other counts than .* was made of"),
    ):
        with pytest.raises(InputError, match=message):
            paged(store, data=path)
    table = pd.DataFrame({"cell": donors.obs_names, "label": "B", "confidence": 1.0})
    for part in (table[:10], table.assign(cell="other"), pd.concat([table, table[:1]])):
        part.to_csv(tmp_path / "labels.csv", index=False)
        with pytest.raises(InputError, match="names other cells than"):
            paged(store, data=data, annotation=tmp_path / "labels.csv")
    shuffled = table.assign(label=[f"L{i % 7}" for i in range(360)]).sample(frac=1, random_state=0)
    shuffled.to_parquet(tmp_path / "labels.parquet")
    page = paged(store, data=data, annotation=tmp_path / "labels.parquet")
    mine = by_cell(page)["annotation: label"]
    assert all(mine[name] == f"L{int(name.removeprefix('cell-')) % 7}" for name in mine.index)


def test_a_store_that_is_not_complete_or_not_there_is_told(run, paged, tmp_path):
    store, data = run
    with pytest.raises(InputError, match="does not exist"):
        paged(tmp_path / "none.zarr", data=data)
    with pytest.raises(InputError, match=r"vectors were made|has no 'X_lexicell'"):
        paged(data)
    store.rename(tmp_path / "begun.zarr.partial")
    (tmp_path / "begun.zarr.partial" / ".lexicell" / "COMPLETE").unlink()
    with pytest.raises(PartialError, match="is not complete"):
        paged(tmp_path / "begun.zarr", data=data)


def test_outputs_are_checked_first(run, tmp_path):
    store, _ = run
    with pytest.raises(InputError, match=r"\.html"):
        lexicell.report(store, tmp_path / "page.pdf")
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(OutputExistsError):
        lexicell.report(store, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "mine"


@pytest.mark.slow
def test_the_verb_writes_a_page_and_says_where(run, tmp_path, capsys):
    store, data = run
    words = [
        str(store),
        str(tmp_path / "page.html"),
        "--data",
        str(data),
        "--group",
        "kind",
        "--basis",
        "X_flat",
    ]
    app(["report", *words, "--text", ASKED, "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["shown"] == 359
    assert told["without_vector"] == 1
    assert told["sections"] == ["run", "quality", "cells", "sentences", "groups"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert told["bytes"] == Path(tmp_path / "page.html").stat().st_size
    assert page.startswith("<!doctype html>")
    assert str(tmp_path) not in page
