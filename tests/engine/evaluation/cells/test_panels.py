"""Real cells become panels: the same genes and totals as embedding sees, and labels that can be used."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.embedding import RECIPES, AlignOptions, Note
from lexicell.errors import CountsError, InputError
from lexicell.evaluation import METHODS, CellProtocol, Method, evaluate_panels, panel_of

LABEL = "bulk_labels"


@pytest.fixture
def panel(cells, bundled):
    return panel_of(cells, AlignOptions(lexicon=bundled), label=LABEL)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_what_is_evaluated_is_what_is_shipped(cells, bundled, panel, recipe):
    import lexicell

    lexicell.tl.embed(cells, recipe=recipe, lexicon=bundled)
    evaluated: list[np.ndarray] = []

    def spy(task):
        made = METHODS[recipe](task)
        evaluated.append(made[0])
        return made

    method = Method(recipe, spy, per_draw=False)
    protocol = CellProtocol(("few-shot",), (2,), 1)
    evaluate_panels({"blood": panel}, bundled, methods=[method], protocol=protocol, listener=lambda _: None)
    # Classes of few cells are left out; the others are embedded in their order.
    shipped = {row.tobytes() for row in cells.obsm["X_lexicell"]}
    assert len(evaluated[0]) > 90
    assert {row.tobytes() for row in evaluated[0]} <= shipped


def test_columns_that_are_one_gene_are_summed_and_others_are_kept_beside(cells, bundled):
    import anndata

    more = cells[:, :3].copy()
    more.var_names = [f"{name}." for name in more.var_names]
    twice = anndata.concat([cells, more], axis=1)
    twice.obs, twice.var["symbol"] = cells.obs, [*cells.var_names, *cells.var_names[:3]]
    seen: list[str] = []
    once, double = (
        panel_of(
            data,
            AlignOptions(lexicon=bundled, gene_column=column),
            label=LABEL,
            listener=lambda e: seen.append(e.text) if isinstance(e, Note) else None,
        )
        for data, column in ((cells, None), (twice, "symbol"))
    )
    np.testing.assert_array_equal(once.rows, double.rows)
    first = np.asarray(cells.X[:, :3].sum(axis=1)).ravel()
    np.testing.assert_allclose(double.counts.sum(axis=1) - once.counts.sum(axis=1), first)
    np.testing.assert_allclose(double.totals - once.totals, first)
    assert double.all_counts.shape == (120, 768)
    assert any("3 columns are genes that another column is too" in text for text in seen)


def test_cells_without_a_label_are_left_out_and_counted(cells, bundled):
    cells.obs[LABEL] = cells.obs[LABEL].astype(object)
    cells.obs.iloc[:7, cells.obs.columns.get_loc(LABEL)] = np.nan
    notes: list[str] = []
    panel = panel_of(
        cells,
        AlignOptions(lexicon=bundled),
        label=LABEL,
        listener=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    assert panel.n_cells == 113
    assert panel.labels is not None
    assert panel.labels.tolist() == cells.obs[LABEL].astype(str).tolist()[7:]
    assert f"7 cells have no {LABEL}; they are left out" in notes
    np.testing.assert_array_equal(panel.all_counts.toarray(), cells.X[7:].toarray())


def test_a_column_that_is_not_there_is_answered_with_those_that_are(cells, bundled):
    with pytest.raises(InputError, match=rf"'type'.*{LABEL}"):
        panel_of(cells, AlignOptions(lexicon=bundled), label="type")
    with pytest.raises(InputError, match="'donor'"):
        panel_of(cells, AlignOptions(lexicon=bundled), label=LABEL, batch_key="donor")


def test_one_class_is_no_question(cells, bundled):
    cells.obs["all"] = "cell"
    with pytest.raises(InputError, match=r"\(cell\)"):
        panel_of(cells, AlignOptions(lexicon=bundled), label="all")


def test_a_negative_count_is_refused(cells, bundled):
    cells.X = sp.csr_matrix(cells.X)
    cells.X.data[5] = -1
    with pytest.raises(CountsError, match="negative"):
        panel_of(cells, AlignOptions(lexicon=bundled), label=LABEL)


def test_a_restricted_panel_knows_nothing_of_other_genes(panel):
    genes = panel.rows[::3]
    small = panel.restrict(genes)
    np.testing.assert_array_equal(small.rows, genes)
    np.testing.assert_array_equal(small.counts.toarray(), panel.counts.toarray()[:, ::3])
    np.testing.assert_allclose(small.totals, small.counts.sum(axis=1))
    assert small.expression is None
    assert small.all_counts is small.counts


def test_identity_follows_counts_and_labels(panel):
    other = panel.take(np.arange(120)[::-1])
    assert panel.identity == panel.take(np.arange(120)).identity
    assert len({panel.identity, other.identity, panel.without_labels().identity}) == 3
