"""Batches are balanced as asked, hold no cell twice, and depend on their generator only."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.learn.batches import Sampler, split_cells

# 900, 90 and 6 cells of three classes, and 200 without a label.
CODES = np.repeat([0, 1, 2, -1], [900, 90, 6, 200])
ALL = np.arange(len(CODES))


def drawn(seed=0, cells=ALL, **settings):
    chosen = Sampler(CODES, cells, **settings).draw(np.random.default_rng(seed))
    assert len(np.unique(chosen)) == len(chosen)
    assert np.isin(chosen, cells).all()
    return np.bincount(CODES[chosen] + 1, minlength=4)


def test_classes_are_alike_up_to_what_they_have():
    assert drawn(size=60).tolist() == [0, 27, 27, 6]
    assert drawn(size=18).tolist() == [0, 6, 6, 6]
    assert drawn(size=300).tolist() == [0, 204, 90, 6]


def test_without_balance_classes_come_as_they_occur():
    counts = np.mean([drawn(seed, size=100, balance=0.0) for seed in range(200)], axis=0)
    np.testing.assert_allclose(counts[1:], 100 * np.array([900, 90, 6]) / 996, atol=0.3)


def test_half_a_balance_lies_between():
    even = drawn(size=40, balance=0.5)
    assert drawn(size=40, balance=0.0)[1] > even[1] > drawn(size=40, balance=1.0)[1]


def test_cells_without_a_label_fill_their_share():
    assert drawn(size=60, unlabelled=0.5)[0] == 30
    assert drawn(size=2000, unlabelled=0.5).tolist() == [200, 900, 90, 6]


def test_without_labels_cells_are_drawn_alike():
    sampler = Sampler(np.full(50, -1), np.arange(40), 10)
    seen = np.concatenate([sampler.draw(np.random.default_rng(s)) for s in range(100)])
    assert set(seen) == set(range(40))


def test_a_batch_is_a_function_of_its_generator():
    sampler = Sampler(CODES, ALL, 60)
    first, same, other = (sampler.draw(np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_only_cells_that_may_be_drawn_are():
    assert drawn(cells=np.arange(880, 950), size=30).tolist() == [0, 15, 15, 0]


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_the_split_is_by_class_and_spares_small_ones(share):
    train, held = split_cells(CODES, ALL, share, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), ALL)
    expected = [int(share * n) for n in (200, 900, 90)]
    assert np.bincount(CODES[held] + 1, minlength=4).tolist() == [*expected, 0]


def test_nothing_is_held_out_of_few_cells():
    codes = np.arange(12) // 4
    train, held = split_cells(codes, np.arange(12), 0.1, np.random.default_rng(0))
    assert len(held) == 0
    assert len(train) == 12
