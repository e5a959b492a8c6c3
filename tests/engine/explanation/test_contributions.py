"""Contributions are exact: they sum to the score, of each cell and of each group, whatever was learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import lexicell
from lexicell.counts import open_counts
from lexicell.embedding import RECIPES, Options, make_plan
from lexicell.embedding.events import ignore
from lexicell.errors import InputError
from lexicell.explanation import GeneRows, contributions, pooled_vectors, select_cell
from lexicell.projection import Classifier, HeadLayer
from lexicell_kernels import reference

P = 24
PARTS = ("bias", "gene_scale", "offset", "residual", "rank_factor", "masked", "pooling")


@pytest.fixture
def projection(full):
    """Make a projection without a head, and without some other parts."""

    def make(*without):
        rng = np.random.default_rng(1)
        classes = Classifier(("B", "T", "NK"), rng.standard_normal((3, P)), rng.standard_normal(3), 1.5)
        none = dict.fromkeys(without)
        return full(**({"head": (), "classifier": classes} | none))

    return make


def planned(adata, use, **options):
    with open_counts(adata) as source:
        plan = make_plan(source, Options(**options))
        selections = list(
            plan.cells.selections(
                plan.recipe.top_k,
                weight=plan.recipe.weight,
                rank_factor=None if plan.projection is None else plan.projection.rank_factor,
            )
        )
        assert len(selections) == 1
        return use(plan, selections[0], source.read(0, source.n_cells))


CASES = [(recipe, None) for recipe in sorted(RECIPES)] + [("paper", ()), ("paper", PARTS)]
CASES += [("paper", tuple(name for name in PARTS if name != part)) for part in PARTS]


@pytest.mark.parametrize(("recipe", "without"), CASES)
@pytest.mark.parametrize("unit", [True, False])
def test_contributions_of_a_cell_sum_to_its_score(cells, projection, recipe, without, unit):
    learned = {} if without is None else {"projection": projection(*without), "min_coverage": 0.0}

    def check(plan, selection, block):
        vector = np.random.default_rng(2).standard_normal(plan.dim)
        found = contributions(selection, GeneRows.of(plan), vector, unit=unit)
        table, recipe = plan.folded.table, plan.recipe
        rows = reference.embed_rows(
            plan.folded.genes.counts(block, plan.cells.values),
            table,
            k=recipe.top_k,
            weight=recipe.weight,
            normalise=unit,
        )
        # Vectors of the reference are float64 until they are handed out.
        expected = rows.vectors.astype(np.float64) @ vector
        length = np.abs(rows.vectors.astype(np.float64)) @ np.abs(vector)  # what float32 rounds
        assert (np.abs(found.scores - expected) <= 1e-6 * length).all()
        by_cell = np.add.reduceat(found.values, found.indptr[:-1]) + found.bias
        np.testing.assert_allclose(by_cell, found.scores, rtol=1e-12, atol=1e-15)
        assert (found.bias != 0).any() == (table.bias is not None)

    planned(cells, check, recipe=recipe, **learned)


def test_contributions_have_the_weights_the_vectors_and_the_length_in_them(cells):
    def check(plan, selection, block):
        genes = GeneRows.of(plan)
        mine = slice(*selection.indptr[3:5])
        at = np.searchsorted(genes.rows, selection.genes[mine])
        weights = np.log1p(1e4 * selection.counts[mine].astype(np.float64) / selection.totals[3])
        shares = weights / weights.sum()
        z = shares @ genes.table[at].astype(np.float64)
        vector = np.arange(plan.dim, dtype=np.float64)
        by_hand = shares * (genes.table[at].astype(np.float64) @ vector) / np.linalg.norm(z)
        found = contributions(selection, genes, vector)
        np.testing.assert_allclose(found.values[mine], by_hand, rtol=1e-6)
        np.testing.assert_allclose(pooled_vectors(selection, genes)[3], z / np.linalg.norm(z), atol=1e-6)
        alone = contributions(select_cell(plan, 3), genes, vector)
        np.testing.assert_array_equal(alone.values, found.values[mine])

    with open_counts(cells):
        planned(cells, check)


@pytest.mark.parametrize("learned", [False, True])
def test_scores_of_groups_are_means_of_what_embed_makes(donors, projection, learned):
    options = {"projection": projection(), "min_coverage": 0.0} if learned else {}
    found = lexicell.explain(donors, group="kind", sets=None, permutations=1, listener=ignore, **options)
    lexicell.tl.embed(donors, listener=ignore, **options)
    vectors = donors.obsm["X_lexicell"].astype(np.float64)
    there = (donors.obs["lexicell_n_genes"] > 0).to_numpy() & donors.obs["kind"].notna().to_numpy()
    for name, row in found.groups.iterrows():
        inside = (donors.obs["kind"] == name).to_numpy() & there
        difference = vectors[inside].mean(axis=0) - vectors[there & ~inside].mean(axis=0)
        assert row["score"] == pytest.approx(np.linalg.norm(difference), rel=1e-5)
        genes = found.genes[found.genes["group"] == name]
        assert genes["contribution"].sum() + row["bias"] == pytest.approx(row["score"], rel=1e-6)
        assert (genes["in_group"] - genes["in_rest"]).to_numpy() == pytest.approx(
            genes["contribution"].to_numpy(), abs=1e-12
        )
        assert (row["cells"], row["rest"]) == (inside.sum(), (there & ~inside).sum())
        along = vectors @ difference / np.linalg.norm(difference)
        assert row["in_group"] == pytest.approx(along[inside].mean(), abs=1e-6)
    assert (found.groups["bias"] != 0).all() == learned
    assert found.facts["cells_without_direction"] == 1


def test_numbers_of_cells_and_effects_are_those_of_single_cells(donors):
    found = lexicell.explain(donors, group="kind", sets=None, permutations=1, listener=ignore)

    def check(plan, selection, block):
        genes, name = GeneRows.of(plan), "B"
        cells = np.delete(np.arange(360), [5, 8])
        inside = (donors.obs["kind"] == name).to_numpy()
        z = pooled_vectors(selection, genes)
        v = z[cells[inside[cells]]].mean(axis=0) - z[cells[~inside[cells]]].mean(axis=0)
        all_of = contributions(selection, genes, v / np.linalg.norm(v))
        at = genes.symbols.tolist().index("CD74")
        values, uses = np.zeros(360), np.zeros(360, bool)
        for i in range(360):
            mine = slice(*all_of.indptr[i : i + 2])
            here = all_of.genes[mine] == at
            values[i], uses[i] = all_of.values[mine][here].sum(), here.any()
        a, b = (values[cells[side[cells]]] for side in (inside, ~inside))
        pooled = np.sqrt((len(a) * a.var() + len(b) * b.var()) / (len(a) + len(b) - 2))
        row = found.genes.query("group == @name and gene == 'CD74'").iloc[0]
        assert row["effect"] == pytest.approx((a.mean() - b.mean()) / pooled, rel=1e-4)
        assert row["contribution"] == pytest.approx(a.mean() - b.mean(), rel=1e-5)
        assert row["share_of_cells"] == pytest.approx(uses[cells[inside[cells]]].mean())
        assert row["share_of_rest"] == pytest.approx(uses[cells[~inside[cells]]].mean())

    planned(donors, check)


@pytest.mark.parametrize("recipe", ["lexicell", "genept-w"])
def test_no_order_of_cells_or_columns_changes_a_bit(donors, recipe):
    rng = np.random.default_rng(0)
    moved = donors[rng.permutation(donors.n_obs), rng.permutation(donors.n_vars)].copy()
    tables = [
        lexicell.explain(data, group="kind", recipe=recipe, sets="go-bp", permutations=50, listener=ignore)
        for data in (donors, moved)
    ]
    assert tables[0].genes.equals(tables[1].genes)
    assert tables[0].pathways.equals(tables[1].pathways)
    assert tables[0].groups.equals(tables[1].groups)


def test_a_head_is_refused(donors, full):
    rng = np.random.default_rng(0)
    layer = HeadLayer(rng.standard_normal((16, P)), np.zeros(16), "relu")
    headed = full(head=(layer,), classifier=None)
    for options in ({"group": "kind"}, {"cell": "cell-1"}):
        with pytest.raises(InputError, match=r"types has a head"):
            lexicell.explain(donors, projection=headed, min_coverage=0.0, listener=ignore, **options)


def test_logarithms_are_explained_as_their_counts(donors):
    counts = lexicell.explain(donors, group="kind", sets=None, permutations=1, listener=ignore)
    donors.X = donors.X.log1p().astype(np.float32)
    logged = lexicell.explain(
        donors, group="kind", sets=None, permutations=1, values="lognorm", listener=ignore
    )
    assert logged.top(5)["gene"].tolist() == counts.top(5)["gene"].tolist()
    np.testing.assert_allclose(logged.top(5)["contribution"], counts.top(5)["contribution"], rtol=1e-3)


def test_vectors_that_are_not_normalised_are_explained_as_they_are(donors):
    recipe = replace(RECIPES["paper"], normalise=False)
    found = lexicell.explain(donors, group="kind", recipe=recipe, sets=None, permutations=1, listener=ignore)
    lexicell.tl.embed(donors, recipe=recipe, listener=ignore)
    z = donors.obsm["X_lexicell"].astype(np.float64)
    there = (donors.obs["lexicell_n_genes"] > 0).to_numpy() & donors.obs["kind"].notna().to_numpy()
    inside = (donors.obs["kind"] == "B").to_numpy() & there
    difference = z[inside].mean(axis=0) - z[there & ~inside].mean(axis=0)
    assert found.groups.loc["B", "score"] == pytest.approx(np.linalg.norm(difference), rel=1e-5)
