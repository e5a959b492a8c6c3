"""A mixture moves a cell to the class of those that express alike, near what is known of each."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.learn.mixture import mix, mixing, own_components, spread_labels


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


def few_labels(group, n=3):
    known = np.full(len(group), -1)
    for g in np.unique(group):
        known[np.flatnonzero(group == g)[:n]] = g
    return known


def noisy(seed=0, sizes=(200, 200, 60, 12), spread=1.0):
    """Cells of four classes on 12 axes, of which most tell nothing."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(4), sizes)
    centres = np.zeros((4, 12))
    centres[np.arange(4), np.arange(4)] = 5
    return centres[group] + spread * rng.standard_normal((len(group), 12)), group


def test_few_labels_are_spread_to_cells_that_look_alike_and_a_rare_class_stays():
    vectors, group = noisy(spread=1.3)
    found = spread_labels(vectors, few_labels(group))
    right = found.probability.argmax(axis=1) == group
    assert found.mixed
    assert right.mean() > 0.97
    assert right[group == 3].mean() > 0.9
    np.testing.assert_allclose(found.probability.sum(axis=1), 1)


def test_labels_that_cells_alike_contradict_are_left_to_the_classifier(monkeypatch):
    vectors, group = noisy()
    known = few_labels(group, 9)

    def swallowed(probability, _components, *, known):  # as one class would swallow all others
        found = np.zeros_like(probability)
        found[:, 0] = 1
        return found

    assert spread_labels(vectors, known).mixed
    monkeypatch.setattr("lexicell.learn.mixture.mix", swallowed)
    found = spread_labels(vectors, known)
    assert not found.mixed
    assert found.lost > 20
    assert (found.probability.argmax(axis=1) == group).mean() > 0.9


def test_a_class_of_one_labelled_cell_is_no_trouble():
    vectors, group = noisy()
    found = spread_labels(vectors, few_labels(group, 1))
    assert found.lost == found.won == 0
    assert (found.probability.argmax(axis=1) == group).mean() > 0.9


def test_cells_of_one_experiment_mix_and_those_of_two_do_not():
    vectors, _ = noisy()
    order = np.random.default_rng(1).permutation(len(vectors))
    together = vectors[order]
    apart = together.copy()
    apart[:100] += 6
    assert 0.9 < mixing(together, 100) < 1.1
    assert mixing(apart, 100) < 0.2
