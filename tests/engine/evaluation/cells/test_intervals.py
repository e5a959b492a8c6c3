"""Intervals and paired comparisons, against numbers from scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lexicell.evaluation.cells.intervals import compare, mean_interval


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    base = rng.uniform(0.4, 0.8, 10)
    return base + 0.03 + 0.01 * rng.standard_normal(10), base


def test_the_interval_is_students(scores):
    found = mean_interval(scores[0])
    low, high = stats.t.interval(0.95, 9, scores[0].mean(), stats.sem(scores[0]))
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((scores[0].mean(), low, high, 10))


def test_draws_are_compared_in_pairs(scores):
    found = compare(*scores, test_over_train=1.0)
    assert found.p_t == pytest.approx(stats.ttest_rel(*scores).pvalue)
    assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(*scores).pvalue)
    assert found.difference.low > 0  # though the two intervals overlap
    assert mean_interval(scores[0]).low < mean_interval(scores[1]).high


def test_the_corrected_interval_allows_for_shared_cells(scores):
    found = compare(*scores, test_over_train=1.0)
    widths = [part.high - part.low for part in (found.corrected, found.difference)]
    assert widths[0] / widths[1] == pytest.approx(np.sqrt((1 / 10 + 1) / (1 / 10)))


def test_one_draw_has_no_interval_and_no_test():
    found = compare(np.array([0.5]), np.array([0.4]), test_over_train=1.0)
    assert found.difference.mean == pytest.approx(0.1)
    assert np.isnan([found.difference.low, found.corrected.high, found.p_t, found.p_wilcoxon]).all()


def test_equal_scores_differ_in_nothing():
    same = np.full(5, 0.5)
    assert compare(same, same, test_over_train=1.0).p_t == 1
    assert compare(same + 0.25, same, test_over_train=1.0).p_t == 0
