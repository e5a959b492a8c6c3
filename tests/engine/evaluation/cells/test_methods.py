"""Methods do what their names say, and controls keep everything but the meaning."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.errors import InputError
from lexicell.evaluation import METHODS, Panel, Task
from lexicell.evaluation.cells.learned_methods import resolve_methods
from lexicell.learn.likeness import Likeness
from lexicell.lexicon import GeneAtlas

G, D = 50, 8
INSTALLED = {name: of for name, of in METHODS.items() if not of.package or find_spec(of.package)}


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((G, D), np.float32) + 1
    expression = sp.csr_array(rng.poisson(0.7, (90, 40)).astype(np.float32))
    rows = np.arange(10, 40, dtype=np.int32)  # the last ten columns have no description
    panel = Panel(
        expression[:, :30],
        rows,
        np.asarray(expression.sum(axis=1), np.float32),
        np.array(["a", "b", "c"])[np.arange(90) % 3],
        np.repeat(["x", "y"], [60, 30]),
        expression=expression,
    )
    query = panel.take(np.arange(60, 90)).without_labels()
    return Task(vectors, panel.take(np.arange(60)), query, query, 0)


def suited(task, method):
    """The task, or one whose query has measured other genes, all or most of them."""
    if not (method.other_genes or method.some_genes):
        return task
    rows = task.reference.rows
    first, second = (rows[:20], rows[15:]) if method.some_genes else (rows[:15], rows[15:])
    reference, query = task.reference.restrict(first), task.query.restrict(second)
    return replace(task, reference=reference, query=query, unlabelled=query)


def test_every_method_gives_a_finite_vector_for_each_cell(task):
    for name, method in INSTALLED.items():
        reference, query = method(suited(task, method))
        assert (len(reference), len(query)) == (60, 30), name
        assert reference.dtype == query.dtype == np.float32, name
        assert np.isfinite(reference).all(), name


def test_methods_that_do_not_depend_on_the_draw_embed_a_cell_alike_wherever_it_is(task):
    whole = Panel(
        *(
            sp.csr_array(sp.vstack([getattr(task.reference, part), getattr(task.query, part)], format="csr"))
            if part in ("counts", "expression")
            else value
            for part, value in (
                ("counts", None),
                ("rows", task.reference.rows),
                ("totals", np.concatenate([task.reference.totals, task.query.totals])),
                ("labels", None),
                ("batch", np.concatenate([task.reference.batch, task.query.batch])),
                ("expression", None),
            )
        )
    )
    once = Task(task.vectors, whole, whole.take(np.empty(0, np.int64)), None, 0)
    for name, method in INSTALLED.items():
        if method.per_draw:
            continue
        together, none = method(once)
        apart = np.concatenate(method(task))
        assert len(none) == 0
        np.testing.assert_allclose(np.abs(together), np.abs(apart), atol=2e-3, err_msg=name)


@pytest.mark.slow
def test_only_methods_that_say_so_look_at_the_query(task):
    counts = sp.csr_array(np.random.default_rng(1).poisson(3.0, (30, 40)).astype(np.float32))
    totals = np.asarray(counts.sum(axis=1), np.float32)
    other = Panel(counts[:, :30], task.query.rows, totals, expression=counts)
    changed = Task(task.vectors, task.reference, other, other, 0)
    looks = set()
    for name, method in INSTALLED.items():
        same = np.allclose(method(suited(task, method))[0], method(suited(changed, method))[0], atol=1e-4)
        assert same or method.transductive, name
        looks |= set() if same else {name}
    assert {"pca50-all", "pca50-hvg", "loadings", "loadings+labels"} <= looks


def test_scelmo_is_the_mean_of_log_expression_with_undescribed_genes_as_zeros(task):
    counts, x = task.reference.counts.toarray(), task.reference.all_counts.toarray()
    totals = x.sum(axis=1, keepdims=True)
    weights, described = np.log1p(1e4 * x / totals), np.log1p(1e4 * counts / totals)
    wanted = described @ task.vectors[task.reference.rows] / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(METHODS["scelmo"](task)[0], wanted, rtol=1e-4)
    unit = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(METHODS["genept-w"](task)[0], unit, atol=1e-4)


def test_an_atlas_and_cells_that_measured_both_change_what_a_bridge_says(task):
    rng = np.random.default_rng(4)
    parts = [rng.standard_normal((G, 3)).astype(np.float32) for _ in range(3)]
    atlas = GeneAtlas(*parts, np.zeros((G, 0), np.float32), np.ones(G, np.float32), ())
    asked = []

    def through(n):
        asked.append(n)
        return Likeness("co-expression", rng.standard_normal((G, 6)).astype(np.float32))

    told = replace(suited(task, METHODS["bridge"]), atlas=atlas, through=through)
    names = ("bridge", "bridge+atlas", "bridge+atlas+50 cells+mixture")
    texts, beside, connected = (METHODS[name](told)[1] for name in names)
    assert asked == [50]
    assert not np.allclose(texts, beside, atol=1e-3)
    assert not np.allclose(beside, connected, atol=1e-3)
    np.testing.assert_array_equal(METHODS["bridge"](replace(told, atlas=None, through=None))[1], texts)


def test_evidence_of_other_genes_does_not_depend_on_the_common_ones(task):
    method = METHODS["common genes x bridge+atlas"]
    partly = suited(task, method)
    found = method.evidence(partly)
    assert found.shape == (30, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    common = np.intersect1d(partly.reference.rows, partly.query.rows)
    assert len(common) == 5
    counts = partly.query.counts.toarray()
    counts[:, np.isin(partly.query.rows, common)] *= 5
    other = replace(partly.query, counts=sp.csr_array(counts))
    np.testing.assert_allclose(method.evidence(replace(partly, query=other)), found, atol=1e-6)
    assert not np.allclose(method(replace(partly, query=other))[1], method(partly)[1], atol=1e-3)


def test_methods_are_looked_up_by_name():
    found = resolve_methods(["whitened", METHODS["paper"]])
    assert [method.name for method in found] == ["whitened", "paper"]
    with pytest.raises(InputError, match=r"'papr'.*lexicell, loadings"):
        resolve_methods(["papr"])
    with pytest.raises(InputError, match="'paper'"):
        resolve_methods(["paper", "paper"])
