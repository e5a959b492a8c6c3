"""Label transfer, on real cells."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lexicell.annotation import Annotation, annotate, annotate_anndata
from lexicell.counts import open_counts
from lexicell.embedding import Note, Options, embed_source, make_plan
from lexicell.errors import InputError, InputNotFoundError, OutputExistsError
from lexicell.learn.classify import calibration_error, fit_classifier
from lexicell.learn.gene_atlas import learn_gene_atlas
from lexicell.projection import UNKNOWN, Pooling, Projection


def right(made, query):
    """Share of the cells that are named rightly, unknown ones being wrong."""
    return float((made.cells["label"].astype(str).to_numpy() == query.obs["type"].to_numpy()).mean())


@pytest.fixture(scope="session")
def trained(halves, bundled):
    """A projection with a classifier, for the bundled lexicon."""
    reference, _ = halves
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((32, bundled.dim)).astype(np.float32)
    bare = Projection(weight, pooling=Pooling(100, "log1p"), lexicon=bundled.identity, card={"name": "blood"})
    with open_counts(reference) as source:
        parts = []
        embed_source(source, make_plan(source, Options(projection=bare)).embedder, parts.append)
    classifier = fit_classifier(np.concatenate(parts), reference.obs["type"].to_numpy())
    return Projection(
        weight, pooling=bare.pooling, lexicon=bundled.identity, card=bare.card, classifier=classifier
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_cells_are_named_by_genes_that_both_measure(halves, method):
    reference, query = halves
    made = annotate(query, reference=reference, label="type", method=method, threshold=0)
    assert made.mode == "loadings"
    assert "with 100% of their variance" in made.facts["why"]
    assert not made.facts["transductive"]
    assert right(made, query) > 0.8  # 0.49 of these cells are of the largest type
    if method == "logistic":
        correct = made.cells["label"].to_numpy() == query.obs["type"].to_numpy()
        assert calibration_error(made.cells["confidence"].to_numpy(), correct) < 0.1
    assert list(made.cells.index) == list(query.obs_names)
    assert (made.cells["label"].astype(str) != made.cells["second"].astype(str)).all()


@pytest.mark.slow
def test_a_label_depends_on_no_other_cell_of_the_query(halves):
    reference, query = halves
    whole = annotate(query, reference=reference, label="type").cells
    part = annotate(query[50:90].copy(), reference=reference, label="type").cells
    pd.testing.assert_frame_equal(whole.iloc[50:90], part)


def test_panels_without_a_common_gene_are_connected_by_texts_and_it_is_said(panels):
    reference, query = panels
    notes = []
    made = annotate(query, reference=reference, label="type", threshold=0, listener=notes.append)
    assert made.mode == "bridge"
    assert made.facts["transductive"]
    assert made.facts["informative_measured"] == 0
    serious = [note.text for note in notes if isinstance(note, Note) and note.serious]
    assert any("transductive" in text for text in serious)
    assert right(made, query) > 0.6


def test_a_mixture_helps_across_panels_and_is_made_there_unless_asked_otherwise(panels):
    reference, query = panels
    options = {"reference": reference, "label": "type", "threshold": 0, "atlas": "none"}
    alone, mixed = (annotate(query, **options, mixture=asked) for asked in (False, None))
    assert right(mixed, query) > right(alone, query)
    assert (mixed.facts["mixture"], alone.facts["mixture"]) == (True, False)


@pytest.mark.slow
def test_the_facts_name_what_connected_the_panels(panels, scanpys, few, tmp_path):
    reference, query = panels
    options = {"reference": reference, "label": "type", "threshold": 0}
    bundled = ["PBMC3k (10x Genomics)", "pancreas (GSE84133, donor 1)"]
    made = annotate(query, **options)
    assert (made.facts["atlas"], made.facts["through"]) == (bundled, 0)
    assert f"so the genes' texts and a gene atlas ({', '.join(bundled)}) connect them" in made.facts["why"]
    none = annotate(query, **options, atlas="none", through=scanpys[::14].copy())
    assert (none.facts["atlas"], none.facts["through"]) == ([], 50)
    assert "so the genes' texts and 50 cells that measured both panels connect them" in none.facts["why"]
    learn_gene_atlas({"mine": scanpys}, tmp_path / "mine.parquet", lexicon=few, min_coverage=0.1)
    mine = annotate(query, **options, atlas=tmp_path / "mine.parquet")
    assert mine.facts["atlas"] == ["mine"]
    scores = [one.cells["confidence"].to_numpy() for one in (made, none, mine)]
    assert not np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])
    assert all(right(one, query) > 0.75 for one in (made, none, mine))


@pytest.fixture(scope="session")
def partly(halves, panels):
    """The query's panel, and 40 genes of the reference's."""
    names = [*panels[0].var_names[:40], *panels[1].var_names]
    return halves[1][:, names].copy()


@pytest.mark.slow
def test_genes_that_both_measure_are_weighed_with_those_of_one_side(panels, partly):
    reference, _ = panels
    notes = []
    made = annotate(partly, reference=reference, label="type", threshold=0, listener=notes.append)
    assert made.mode == "both"
    assert (made.facts["transductive"], made.facts["mixture"]) == (True, True)
    assert made.facts["genes_common"] == 38  # two are in no cell of one of the halves
    assert 0.5 < made.facts["held_out_common"] < 1
    assert 0.5 < made.facts["held_out_other"] < 1
    said = (
        f"name {made.facts['held_out_other']:.0%} rightly, and the 38 genes that both have "
        f"{made.facts['held_out_common']:.0%}"
    )
    assert said in made.facts["why"]
    assert any(note.text == made.facts["why"] for note in notes if isinstance(note, Note) and note.serious)
    by_common = annotate(
        partly[:, :40].copy(), reference=reference, label="type", threshold=0, min_coverage=0
    )
    assert by_common.mode == "loadings"  # the reference has all of these
    assert by_common.facts["informative_variance"] < 0.3
    assert right(made, partly) > right(by_common, partly) + 0.05


def test_columns_may_come_in_any_order_and_cells_nearly(panels, partly):
    reference, _ = panels
    rng = np.random.default_rng(5)
    options = {"label": "type", "threshold": 0}
    made = annotate(partly, reference=reference, **options).cells
    shuffled = [cells[:, rng.permutation(cells.n_vars)].copy() for cells in (partly, reference)]
    pd.testing.assert_frame_equal(annotate(shuffled[0], reference=shuffled[1], **options).cells, made)
    moved = [cells[rng.permutation(cells.n_obs)].copy() for cells in (partly, reference)]
    again = annotate(moved[0], reference=moved[1], **options, mixture=False).cells.loc[made.index]
    plain = annotate(partly, reference=reference, **options, mixture=False).cells
    np.testing.assert_allclose(again["confidence"], plain["confidence"], atol=0.05)
    assert (again["label"].astype(str) == plain["label"].astype(str)).mean() > 0.98


def _silenced(adata, genes=None, cells=slice(None)):
    """The same without the counts of some genes in some cells."""
    dense = adata.X.toarray()
    columns = np.arange(adata.n_vars) if genes is None else np.flatnonzero(adata.var_names.isin(genes))
    dense[np.ix_(np.arange(adata.n_obs)[cells], columns)] = 0
    return anndata.AnnData(sp.csr_matrix(dense), adata.obs, adata.var)


def test_genes_that_are_in_no_cell_connect_nothing(panels, partly):
    reference, query = panels
    options = {"reference": reference, "label": "type", "threshold": 0}
    alone = annotate(_silenced(partly, reference.var_names), **options)
    assert (alone.mode, "genes_common" in alone.facts) == ("bridge", False)
    common = annotate(_silenced(partly, query.var_names), **options)
    assert common.mode == "loadings"


@pytest.mark.slow
@pytest.mark.parametrize("mixture", [None, False])
def test_a_cell_without_genes_in_use_is_unknown_and_one_with_some_is_not(panels, partly, mixture):
    reference, query = panels
    some = _silenced(partly, cells=slice(3, 4))
    some = _silenced(some, query.var_names, slice(4, 5))
    some = _silenced(some, reference.var_names, slice(5, 6))
    notes = []
    options = {"reference": reference, "label": "type", "threshold": 0, "mixture": mixture}
    made = annotate(some, **options, listener=notes.append).cells
    assert (made["label"].iloc[3], made["confidence"].iloc[3]) == (UNKNOWN, 0)
    assert (made["label"].iloc[[4, 5]] != UNKNOWN).all()
    assert any(
        note.text.startswith("1 cells have no gene in use") for note in notes if isinstance(note, Note)
    )
    bridged = annotate(_silenced(query, cells=slice(3, 4)), **options).cells
    assert (bridged["label"].iloc[3], bridged["confidence"].iloc[3]) == (UNKNOWN, 0)
    assert (bridged["label"] == UNKNOWN).sum() == 1


@pytest.mark.slow
def test_a_query_of_other_parts_of_classes_is_told_of(panels):
    reference, query = panels
    lacks = query[query.obs["type"] != "Dendritic"].copy()
    told = []
    options = {"reference": reference, "label": "type", "threshold": 0}
    made = annotate(lacks, **options, listener=told.append)
    text = "classes seem to be other parts of the query than of the reference"
    assert made.facts["composition_shift"] > 0.2
    assert any(note.text.startswith(text) for note in told if isinstance(note, Note) and note.serious)
    told.clear()
    assert annotate(query, **options, listener=told.append).facts["composition_shift"] < 0.2
    assert not any(note.text.startswith(text) for note in told if isinstance(note, Note))


@pytest.mark.slow
def test_neighbours_do_not_spoil_what_common_genes_and_texts_say_together(panels, partly):
    reference, _ = panels
    made = {
        method: annotate(partly, reference=reference, label="type", method=method, threshold=0)
        for method in ("logistic", "knn")
    }
    assert right(made["knn"], partly) == pytest.approx(right(made["logistic"], partly), abs=0.05)


def test_a_query_that_is_too_small_for_another_panel_says_so(panels):
    reference, query = panels
    with pytest.raises(InputError, match="too few"):
        annotate(query[:1].copy(), reference=reference, label="type")


def test_cells_that_are_all_alike_are_refused_across_panels(panels):
    reference, query = panels
    names = [f"cell{i}" for i in range(30)]
    same = anndata.AnnData(sp.vstack([sp.csr_matrix(query.X[:1])] * 30), pd.DataFrame(index=names), query.var)
    with pytest.raises(InputError, match="too few"):
        annotate(same, reference=reference, label="type")


def test_cells_that_measured_one_panel_only_do_not_connect_two(panels):
    reference, query = panels
    for through in (reference, query):
        with pytest.raises(InputError, match="not measured both"):
            annotate(query, reference=reference, label="type", through=through)


@pytest.mark.slow
def test_few_labels_are_spread_within_an_experiment_and_not_between_two(halves):
    whole, query = halves
    few = np.concatenate(
        [np.flatnonzero(whole.obs["type"] == name)[:4] for name in whole.obs["type"].unique()]
    )
    reference = whole[np.sort(few)].copy()
    alone, spread = (
        annotate(query, reference=reference, label="type", mixture=asked, threshold=0)
        for asked in (False, None)
    )
    assert (spread.facts["mixture"], spread.facts["transductive"], spread.mode) == (True, True, "loadings")
    assert "labels are spread to the query's cells" in spread.facts["mixture_why"]
    assert right(spread, query) >= right(alone, query)
    assert right(spread, query) > 0.8

    shifted = reference.copy()  # every second gene is caught better there
    counts = shifted.X.toarray() if hasattr(shifted.X, "toarray") else np.array(shifted.X)
    counts[:, ::2] *= 8
    shifted.X = counts
    other = annotate(query, reference=shifted, label="type")
    assert not other.facts["mixture"]
    assert "another experiment" in other.facts["mixture_why"]


def test_a_type_that_the_reference_lacks_is_more_often_unknown(halves):
    reference, query = halves
    made = annotate(query, reference=reference[reference.obs["type"] != "CD56+ NK"].copy(), label="type")
    unknown = made.cells["label"].to_numpy() == UNKNOWN
    killers = (query.obs["type"] == "CD56+ NK").to_numpy()
    assert unknown[killers].mean() > 3 * unknown[~killers].mean()
    assert made.facts["unknown"] == pytest.approx(unknown.mean())


def test_unlabelled_reference_cells_and_empty_query_cells_are_no_trouble(halves):
    reference, query = (half.copy() for half in halves)
    reference.obs.loc[reference.obs_names[:20], "type"] = np.nan
    reference.obs.loc[reference.obs_names[20:30], "type"] = UNKNOWN
    query.X.data[query.X.indptr[3] : query.X.indptr[4]] = 0
    notes = []
    made = annotate(query, reference=reference, label="type", listener=notes.append)
    assert made.cells["label"].iloc[3] == UNKNOWN
    assert made.cells["confidence"].iloc[3] == 0
    assert made.facts["reference_cells"] == reference.n_obs - 30
    said = [note.text for note in notes if isinstance(note, Note)]
    assert any(text.startswith("30 cells have no type") for text in said)
    assert any(text.startswith("1 cells have no gene in use") for text in said)


def test_a_trained_projection_names_cells_as_its_classifier_does(halves, trained, tmp_path):
    _, query = halves
    trained.save(tmp_path / "blood")
    made = annotate(query, reference=tmp_path / "blood")
    assert (made.mode, made.facts["projection"]) == ("projection", trained.identity)
    with open_counts(query) as source:
        parts = []
        embed_source(source, make_plan(source, Options(projection=trained)).embedder, parts.append)
    labels, confidence = trained.classifier.predict(np.concatenate(parts))
    np.testing.assert_array_equal(made.cells["label"].astype(str), labels)
    np.testing.assert_array_equal(made.cells["confidence"], confidence)
    again = annotate(query, reference=trained, mixture=True)
    assert right(again, query) > right(made, query)


def test_the_summary_counts_every_cell(halves):
    reference, query = halves
    made = annotate(query, reference=reference, label="type")
    assert made.summary["cells"].sum() == query.n_obs
    assert made.summary["share"].sum() == pytest.approx(1)
    assert made.as_dict()["labels"][0]["label"] == made.summary.index[0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_holds_names_and_labels(files, tmp_path, suffix):
    made = annotate(files[1], reference=files[0], label="type", output=tmp_path / f"out{suffix}")
    read = pd.read_csv if suffix == ".csv" else pd.read_parquet
    table = read(tmp_path / f"out{suffix}")
    assert list(table.columns) == ["cell", "label", "confidence", "second"]
    assert list(table["cell"]) == list(made.cells.index)
    assert list(table["label"].astype(str)) == list(made.cells["label"].astype(str))


def test_names_and_labels_are_no_formulas_in_a_csv_and_as_they_are_in_a_parquet(tmp_path):
    names, labels = ["=cmd|' /C calc'!A0", "cell"], ["@SUM(A1)", "-B"]
    cells = pd.DataFrame(
        {"label": pd.Categorical(labels), "confidence": [0.5, 1.0], "second": pd.Categorical(["B", "=1"])},
        index=names,
    )
    given = Annotation(cells, "reference", {})
    table = pd.read_csv(given.write(tmp_path / "out.csv", query=None, key="type"))
    assert table["cell"].tolist() == [f"'{names[0]}", "cell"]
    assert table["label"].tolist() == ["'@SUM(A1)", "'-B"]
    assert table["second"].tolist() == ["B", "'=1"]
    table = pd.read_parquet(given.write(tmp_path / "out.parquet", query=None, key="type"))
    assert table["cell"].tolist() == names
    assert table["label"].tolist() == labels


def test_a_copy_of_the_query_gets_three_columns(files, halves, tmp_path):
    out = tmp_path / "out.h5ad"
    made = annotate(files[1], reference=files[0], label="type", output=out, key_added="named")
    copy, query = anndata.read_h5ad(out), halves[1]
    assert set(copy.obs) == {*query.obs, "named", "named_confidence", "named_second"}
    assert list(copy.obs["named"]) == list(made.cells["label"])
    assert (copy.X != query.X).nnz == 0
    assert copy.uns["named"]["mode"] == "loadings"
    before = out.read_bytes()
    with pytest.raises(OutputExistsError):
        annotate(files[1], reference=files[0], label="type", output=out)
    assert out.read_bytes() == before
    annotate(files[1], reference=files[0], label="type", output=out, overwrite=True)


def test_an_anndata_is_named_in_place(halves):
    reference, query = halves[0], halves[1].copy()
    annotate_anndata(query, reference=reference, label="type", key_added="named")
    assert set(query.obs) >= {"named", "named_confidence", "named_second"}
    assert query.uns["named"]["why"].startswith("the query measures")


def test_what_cannot_be_done_is_one_sentence(halves, panels, scanpys, trained, files, tmp_path):
    reference, query = halves
    apart = {"reference": panels[0], "label": "type"}
    (tmp_path / "text.parquet").write_text("no atlas")
    bare = Projection(trained.weight, pooling=trained.pooling, card={"name": "bare"})
    other = Projection(trained.weight, classifier=trained.classifier, lexicon="0" * 64)
    one = reference[reference.obs["type"] == "Dendritic"].copy()
    alien = reference.copy()
    alien.var_names = [f"nothing{i}" for i in range(alien.n_vars)]
    for options, says in (
        ({"reference": reference}, "(--label); it has bulk_labels, type"),
        ({"reference": reference, "label": "nope"}, "no column 'nope'; it has bulk_labels, type"),
        ({"reference": one, "label": "type"}, "one class only (Dendritic)"),
        ({"reference": alien, "label": "type"}, "no gene in common"),
        ({"reference": reference, "label": "type", "threshold": 2}, "from 0 to 1, not 2"),
        ({"reference": reference, "label": "type", "method": "x"}, "methods are logistic and knn"),
        ({"reference": bare}, "the projection bare has no classifier"),
        ({"reference": trained, "label": "type"}, "leave --label out"),
        ({"reference": trained, "method": "knn"}, "holds no cells"),
        ({"reference": other}, "is another"),
        ({"reference": trained, "through": scanpys}, "leave --through out"),
        ({"types": "B cell,T cell", "through": scanpys}, "leave --through out"),
        ({**apart, "through": scanpys[:2].copy()}, "through three cells or more, not 2"),
        ({**apart, "atlas": tmp_path / "text.parquet"}, "is no gene atlas; `lexicell genes learn` makes one"),
        ({"reference": reference, "label": "type", "output": "a.txt"}, "a.txt: labels are written to .h5ad"),
        ({"reference": reference, "label": "type", "output": "a.h5ad"}, "copy of an .h5ad"),
    ):
        with pytest.raises(InputError) as error:
            annotate(query, **options)
        assert says in str(error.value)
    with pytest.raises(InputNotFoundError):
        annotate(query, reference=tmp_path / "none.h5ad", label="type")
    with pytest.raises(InputError, match="is the query itself"):
        annotate(files[1], reference=reference, label="type", output=files[1], overwrite=True)
