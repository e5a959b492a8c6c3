"""A mixture moves a cell to the class of those that express alike, near what is known of each."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.learn.mixture import mix, own_components


@pytest.fixture
def cells():
    """Cells of four classes, one of them rare, in 60 genes."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(4), [60, 60, 60, 8])
    rate = np.full((4, 60), 0.3)
    for g in range(4):
        rate[g, 10 * g : 10 * g + 10] = 4
    return sp.csr_array(np.log1p(rng.poisson(rate[group])).astype(np.float32)), group


def unsure(group, wrong, seed=1):
    """Probabilities that are right in some cells only."""
    rng = np.random.default_rng(seed)
    told = np.where(rng.random(len(group)) < wrong, rng.integers(0, 4, len(group)), group)
    return 0.6 * np.eye(4)[told] + 0.1


def test_wrong_cells_are_put_right_and_a_rare_class_is_kept(cells):
    weights, group = cells
    first = unsure(group, 0.4)
    found = mix(first, own_components(weights))
    assert (first.argmax(axis=1) == group).mean() < 0.75
    assert (found.argmax(axis=1) == group).mean() > 0.97
    assert (found.argmax(axis=1) == group)[group == 3].mean() > 0.8
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found, mix(first, own_components(weights)))


def test_labelled_cells_keep_their_class_and_pull_the_others(cells):
    weights, group = cells
    nothing = np.full((len(group), 4), 0.25)
    known = np.full(len(group), -1)
    for g in range(4):
        known[np.flatnonzero(group == g)[:3]] = g
    known[np.flatnonzero(group == 0)[5]] = 1  # said to be of another class
    found = mix(nothing, own_components(weights), known=known)
    told = known >= 0
    assert (found[told].argmax(axis=1) == known[told]).all()
    assert (found.argmax(axis=1) == group)[~told].mean() > 0.95


def test_a_cell_of_which_nothing_is_known_gets_the_class_of_its_like(cells):
    weights, group = cells
    first = unsure(group, 0.1)
    first[10] = 0
    assert mix(first, own_components(weights))[10].argmax() == group[10]


def test_few_cells_keep_what_is_known():
    first = np.array([[0.7, 0.3], [0.4, 0.6]])
    found = mix(first, own_components(sp.csr_array(np.eye(2, 5, dtype=np.float32))))
    assert found.argmax(axis=1).tolist() == [0, 1]
    alike = mix(np.full((30, 2), 0.5), np.zeros((30, 4)))
    assert np.isfinite(alike).all()


def test_the_order_of_cells_does_not_matter(cells):
    weights, group = cells
    first, turned = unsure(group, 0.4), np.random.default_rng(2).permutation(len(group))
    here = mix(first, own_components(weights))
    there = mix(first[turned], own_components(sp.csr_array(weights[turned])))
    np.testing.assert_allclose(there, here[turned], atol=1e-4)
