"""Recipes learn nothing from what they are scored on, and the page has what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from studies.frontier import points as frontier_points
from studies.frontier.page import DEFAULT, PAGE, RESULTS, reached, section, with_section
from studies.frontier.points import POINTS, GeneTables, Point
from studies.frontier.scores import components_of, made_up_batches, scored_cells

from lexicell.embedding.gene_statistics import GeneStatistics
from lexicell.evaluation import Panel

pytestmark = pytest.mark.slow

LEXICON, GENES, CELLS = 1_000, 300, 120


@pytest.fixture(scope="module")
def content():
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def cells(seed: int) -> Panel:
    """Three types, each with genes of its own."""
    rng = np.random.default_rng(seed)
    types = np.repeat(np.arange(3), CELLS // 3)
    rate = np.where(np.arange(GENES) % 6 == types[:, None], 4.0, 0.4)
    counts = sp.csr_array(rng.poisson(rate).astype(np.float32))
    rows = np.sort(rng.permutation(LEXICON)[:GENES]).astype(np.int32)
    totals = np.asarray(counts.sum(axis=1), np.float32)
    return Panel(counts, rows, totals, np.array(["a", "b", "c"])[types])


def statistics(panel: Panel) -> GeneStatistics:
    dense = panel.counts.toarray().astype(np.float64)
    mean, variance = dense.mean(axis=0), dense.var(axis=0)
    return GeneStatistics(panel.rows, panel.n_cells, mean, variance, (dense > 0).mean(axis=0), mean, variance)


@pytest.fixture
def tables(monkeypatch):
    """Makes tables of a lexicon of few genes, where PBMC3k's cells are given."""
    rng = np.random.default_rng(0)
    texts, words = (rng.standard_normal((LEXICON, d), np.float32) for d in (32, 4))
    monkeypatch.setattr(frontier_points, "bag_vectors", lambda *_, **__: words)
    monkeypatch.setattr(frontier_points, "_STEPS", 2)
    lexicon = SimpleNamespace(vectors=lambda rows: texts[rows], rows=np.arange(LEXICON), n_genes=LEXICON)

    def made(pbmc3k: Panel) -> GeneTables:
        panels = {"pbmc3k": pbmc3k, "baron": cells(1)}
        measured = {name: statistics(panel) for name, panel in panels.items()}
        return GeneTables(lexicon, panels, measured, np.ones(LEXICON, np.float32))

    return made


@pytest.mark.parametrize(
    "point", [point for point in POINTS if not point.shipped], ids=lambda point: point.name
)
def test_what_a_set_is_scored_on_was_not_learned_from_it(tables, point):
    before, after = tables(cells(0)), tables(cells(2))
    point = replace(point, dims=point.dims and 16)
    for data in ("pbmc3k", "baron"):
        first, second = (made.folded(point, data) for made in (before, after))
        if data == "pbmc3k":
            assert np.array_equal(first.rows, second.rows)
            for one, other in ((first.rank_factor, second.rank_factor), (first.bias, second.bias)):
                assert np.array_equal(0 if one is None else one, 0 if other is None else other)
        else:
            assert np.array_equal(first.rows, second.rows) == (point.power == 0)


def test_a_control_has_the_lengths_and_not_the_directions(tables):
    made = tables(cells(0))
    text, random = (made.folded(POINTS[0], "baron", control).rows for control in ("", "random"))
    lengths, drawn = (np.linalg.norm(rows, axis=1) for rows in (text, random))
    np.testing.assert_allclose(lengths, drawn, rtol=1e-4)
    assert abs(np.einsum("gp,gp->g", text, random) / lengths**2).mean() < 0.3


def test_a_point_embeds_by_its_own_pooling_and_factor(tables):
    made, panel = tables(cells(0)), cells(3)
    plain = made.folded(POINTS[0], "pbmc3k")
    few = made.folded(Point("few", "k", k=1), "pbmc3k")
    assert not np.allclose(plain.embed(panel), few.embed(panel))
    ranked = replace(
        few, rank_factor=np.where(np.arange(len(few.rows)) == panel.rows[0], 1e6, 1.0).astype("f4")
    )
    seen = np.flatnonzero(panel.counts[:, [0]].toarray().ravel())
    first = few.rows[panel.rows[0]] / np.linalg.norm(few.rows[panel.rows[0]])
    np.testing.assert_allclose(ranked.embed(panel)[seen], np.tile(first, (len(seen), 1)), atol=1e-5)


def test_all_is_scored_and_types_that_differ_are_told_apart():
    query = cells(0).take(np.arange(0, CELLS, 2))
    scored = scored_cells(cells(0), draws=2, transfer=(query, {}), few=(3,))
    found = scored.scores(components_of(0))
    assert set(found) == {"10-NN", "partial", "few-shot 3", "batches", "transfer"}
    assert len(found["few-shot 3"]["logistic"]) == len(found["transfer"]["knn"]) == 2
    assert len(found["batches"]["knn"]) == 3
    assert found["10-NN"] > 0.95
    noise = np.random.default_rng(0).standard_normal((CELLS, 5)).astype(np.float32)
    assert scored.scores(lambda panels: [noise[: panel.n_cells] for panel in panels])["10-NN"] < 0.6


def test_made_up_batches_lose_counts_and_gain_none():
    panel = cells(0)
    batches = made_up_batches(panel, 0)
    assert (batches.counts.toarray() <= panel.counts.toarray()).all()
    kept = batches.totals / panel.totals
    means = [kept[batches.batch == name].mean() for name in ("batch 0", "batch 1", "batch 2")]
    assert means == sorted(means, reverse=True)


def test_the_section_of_the_page_is_made_of_the_numbers(content):
    page = PAGE.read_text(encoding="utf-8")
    assert with_section(page, content) == page
    assert section(content) in page


def test_a_section_takes_the_place_of_the_old_one_and_of_nothing_else(content):
    start, rest = "# A\n\n", "## Not measured\n\nb\n"
    first = with_section(start + rest, content)
    assert first.startswith(start)
    assert first.endswith("\n\n" + rest)
    assert with_section(first, content) == first


def test_all_points_were_measured_and_the_default_is_level_with_itself(content):
    assert set(content["points"]) == {point.name for point in POINTS} == set(content["speed"]["ratio"])
    assert reached(content, DEFAULT)[2] == 0
    assert content["speed"]["ratio"][DEFAULT] == 1
