"""Smoothing moves a cell towards those that express alike, and nobody else."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from lexicell.learn.neighbours import smooth


def test_noise_goes_and_groups_stay():
    rng = np.random.default_rng(0)
    group = np.arange(90) % 3
    rate = np.full((3, 40), 0.3)
    for g in range(3):
        rate[g, 10 * g : 10 * g + 10] = 5
    weights = sp.csr_array(np.log1p(rng.poisson(rate[group])).astype(np.float32))
    truth = np.eye(3)[group]
    noisy = truth + rng.standard_normal((90, 3))
    found = smooth(noisy, weights)
    assert (noisy.argmax(axis=1) == group).mean() < 0.85
    assert (found.argmax(axis=1) == group).mean() > 0.95
    np.testing.assert_array_equal(found, smooth(noisy, weights))


def test_two_cells_have_no_neighbours_worth_the_name():
    values = np.array([[1.0], [2.0]])
    np.testing.assert_array_equal(smooth(values, sp.csr_array(np.eye(2, 5, dtype=np.float32))), values)
