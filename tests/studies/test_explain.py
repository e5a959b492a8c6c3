"""Genes are taken out and put back as they should be, and the page has the numbers that were measured."""

from __future__ import annotations

import json

import anndata as ad
import blake3
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from studies.explain import faithful
from studies.explain.cells import MARKERS, SETS, of_anndata
from studies.explain.gradients import integrated_gradients, missing
from studies.explain.known import TOP, group_contributions
from studies.explain.page import PAGE, RESULTS, page

import lexicell
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.events import ignore
from lexicell.embedding.selected import Selection
from lexicell.explanation import contributions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def content():
    return json.loads(RESULTS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cells():
    """Twelve cells of ten genes in two groups, and one without a label."""
    genes = ["CD3D", "CD3E", "CD79A", "MS4A1", "LYZ", "NKG7", "GNLY", "S100A8", "PPBP", "CST3"]
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.5, (13, 10)).astype(np.float32)
    counts[:6, 2:4] += 9
    counts[6:12, 5:7] += 9
    counts[:, 0] += 1
    labels = ["B"] * 6 + ["NK"] * 6 + [None]
    obs = pd.DataFrame({"cell_type": pd.Categorical(labels)}, index=[f"cell{i}" for i in range(13)])
    adata = ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=genes))
    return of_anndata(adata)


def selection_of(genes, indptr):
    genes = np.array(genes, np.int32)
    ones = np.ones(len(genes), np.float32)
    return Selection(0, genes, ones, ones, np.array(indptr, np.int64), np.ones(len(indptr) - 1))


def test_genes_are_removed_and_kept_in_the_order_of_their_values():
    # Columns: rows 7, 3, none, 3 again, 5 of the lexicon. The first cell selects 3 and 7, the second 5.
    genes = CandidateGenes.of(np.array([7, 3, -1, 3, 5], np.int32))
    counts = sp.csr_array(np.array([[1, 2, 3, 4, 5], [0, 6, 7, 0, 8]], np.float32))
    place = faithful.places(counts, genes, selection_of([3, 7, 5], [0, 2, 3]), np.array([0.1, 0.9, 0.5]))
    assert place.tolist() == [0, 1, -1, 1, -1, -1, -1, 0]
    removed = [faithful.removed(counts, place, n).toarray().tolist() for n in (0, 1, 2)]
    assert removed == [
        [[1, 2, 3, 4, 5], [0, 6, 7, 0, 8]],
        [[0, 2, 3, 4, 5], [0, 6, 7, 0, 0]],
        [[0, 0, 3, 0, 5], [0, 6, 7, 0, 0]],
    ]
    kept = [faithful.kept(counts, place, n).toarray().tolist() for n in (0, 1, 2)]
    assert kept == [
        [[0, 0, 3, 0, 5], [0, 6, 7, 0, 0]],
        [[1, 0, 3, 0, 5], [0, 6, 7, 0, 8]],
        [[1, 2, 3, 4, 5], [0, 6, 7, 0, 8]],
    ]


def test_an_area_is_the_mean_height_over_the_genes():
    flat, late = np.ones(len(faithful.DELETED)), np.zeros(len(faithful.DELETED))
    late[-1] = 1
    assert faithful.area(np.stack([flat, late])) == pytest.approx([1, (50 - 20) / 2 / 50])


def test_a_gene_less_changes_the_score_by_what_is_said(cells):
    counts = cells.counts
    selection, vector = cells.select(counts), np.random.default_rng(1).standard_normal(cells.plan.dim)
    values = faithful.closed_forms(selection, cells.rows, vector)["one out"]
    before = cells.embed(counts) @ vector
    # One gene of each cell goes, and weights are those of the total with it: only the mean changes.
    place = faithful.places(counts, cells.plan.folded.genes, selection, values)
    dropped = faithful.removed(counts, place, 1)
    whole = np.asarray(counts.sum(axis=1)) / np.asarray(dropped.sum(axis=1))
    after = _embed_by_weights(cells, dropped, whole) @ vector
    highest = [values[a:b].max() for a, b in zip(selection.indptr[:-1], selection.indptr[1:], strict=True)]
    assert before - after == pytest.approx(highest, abs=1e-5)


def _embed_by_weights(cells, counts, whole):
    """Vectors where totals are as many times as large as `whole` says."""
    table, at = cells.rows.table, cells.plan.folded.genes.rank
    found = []
    for row, more in zip(counts.toarray(), whole, strict=True):
        weights = np.log1p(1e4 * row / (row.sum() * more)) * (at >= 0)
        pooled = weights[at >= 0] @ table[at[at >= 0]]
        found.append(pooled / np.linalg.norm(pooled))
    return np.array(found)


def test_gradients_along_the_weights_add_up_to_nothing(cells):
    """A unit vector stays as it is when all weights become larger alike."""
    selection, vector = cells.select(cells.counts), np.random.default_rng(2).standard_normal(cells.plan.dim)
    gradient = faithful.closed_forms(selection, cells.rows, vector)["gradient"]
    assert np.abs(gradient).max() > 0.01
    assert np.add.reduceat(gradient, selection.indptr[:-1]) == pytest.approx(0, abs=1e-9)


def test_integrated_gradients_are_those_of_all_genes_along_the_line(cells):
    """Also of cells that lack genes, which go from the baseline to 0."""
    if why := missing(None):
        pytest.skip(why)
    selection, vector = cells.select(cells.counts), np.random.default_rng(3).standard_normal(cells.plan.dim)
    table = cells.rows.table.astype(np.float64)
    baseline = np.random.default_rng(4).random(len(table))
    values, _, scores = integrated_gradients(selection, cells.rows, vector, baseline)
    assert scores == pytest.approx(contributions(selection, cells.rows, vector).scores)
    assert (np.diff(selection.indptr) < len(table)).any()
    nodes, shares = np.polynomial.legendre.leggauss(50)
    for a, b in zip(selection.indptr[:-1], selection.indptr[1:], strict=True):
        at = np.searchsorted(cells.rows.rows, selection.genes[a:b])
        change = -baseline
        change[at] += selection.weights[a:b]
        gradient = np.zeros(len(table))
        for node, share in zip((nodes + 1) / 2, shares / 2, strict=True):
            whole = (baseline + node * change) @ table
            length = np.linalg.norm(whole)
            gradient += share * (table @ vector - (table @ whole) * (whole @ vector) / length**2) / length
        assert values[a:b] == pytest.approx((change * gradient)[at], abs=1e-7)


def test_cells_without_a_label_are_left_out_and_contributions_are_those_of_explain(cells):
    assert cells.labels.tolist() == ["B"] * 6 + ["NK"] * 6
    found = lexicell.explain(
        cells.adata, group="cell_type", sets=None, values="counts", permutations=1, listener=ignore
    ).genes
    again = group_contributions(cells, cells.rows)
    for group, part in found.groupby("group", observed=True):
        mine = again[group][cells.columns.get_indexer(part["column"])]
        assert mine == pytest.approx(part["contribution"].to_numpy(), abs=1e-6)


def test_markers_are_found_by_the_names_of_columns(cells):
    places = cells.places_of(["MS4A1", "not there", "LYZ"])
    assert cells.columns[places].tolist() == ["MS4A1", "LYZ"]


def test_the_page_is_made_of_the_numbers(content):
    assert PAGE.read_text(encoding="utf-8") == page(content)


def test_all_groups_were_measured_with_the_markers_that_are_here(content):
    assert content["settings"]["markers"] == blake3.blake3(MARKERS.read_bytes()).hexdigest()
    lists = json.loads(MARKERS.read_text(encoding="utf-8"))
    assert list(content["sets"]) == list(lists) == list(SETS)
    for key, of in content["sets"].items():
        assert set(of["markers"]["groups"]) == set(lists[key])
        for group in of["markers"]["groups"].values():
            assert len(group["found"]) + len(group["missed"]) == group["described"] <= TOP


def test_pictures_of_the_page_are_there():
    text = PAGE.read_text(encoding="utf-8")
    named = [part.split(")")[0] for part in text.split("](")[1:] if part.startswith("images/")]
    assert named
    assert all((PAGE.parent / name).is_file() for name in named)
