"""A sample has cells of every group, in proportion beyond that, and is the same again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lexicell.reporting.sampling import choose_cells


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    most=st.integers(1, 900),
    seed=st.integers(0, 9),
)
def test_every_group_keeps_its_quota(sizes, most, seed):
    strata = np.repeat(np.arange(-1, len(sizes) - 1), sizes)
    np.random.default_rng(1).shuffle(strata)
    chosen = choose_cells(strata, most, seed)
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, choose_cells(strata, most, seed))
    if len(strata) <= most:
        assert len(chosen) == len(strata)
        return
    kept = np.bincount(strata[chosen] + 1, minlength=len(sizes))
    least = min(50, most // len(sizes))
    assert (kept >= np.minimum(sizes, least)).all()
    assert len(chosen) == most
    spare, share = np.array(sizes) - np.minimum(sizes, least), kept - np.minimum(sizes, least)
    if spare.sum():
        assert np.abs(share - spare * (most - np.minimum(sizes, least).sum()) / spare.sum()).max() <= 1


def test_cells_of_a_group_are_drawn_by_chance():
    strata = np.zeros(1_000, int)
    times = sum(np.bincount(choose_cells(strata, 100, seed), minlength=1_000) for seed in range(200))
    assert times.min() > 2
    assert times.max() < 45
