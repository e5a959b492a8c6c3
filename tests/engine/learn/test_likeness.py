"""How alike genes are, and that nothing is said of those of which nothing is known."""

from __future__ import annotations

import numpy as np

from lexicell.learn.likeness import Likeness, likeness_matrix


def test_a_gene_of_which_nothing_is_known_is_alike_to_none_and_moves_no_mean():
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((8, 3)) + 2).astype(np.float32)
    vectors[5:] = 0
    other = Likeness("other", rng.standard_normal((8, 2)).astype(np.float32))
    texts = Likeness("texts", vectors, centred=True)
    everything, known = np.arange(8), np.arange(5)
    found = likeness_matrix([(texts, 1.0)], everything, everything, 3.0)
    np.testing.assert_allclose(found[5:], np.exp(-3), rtol=1e-6)
    np.testing.assert_allclose(found[:, 5:], np.exp(-3), rtol=1e-6)
    alone = likeness_matrix([(texts, 1.0)], known, known, 3.0)
    np.testing.assert_allclose(found[:5, :5], alone, rtol=1e-6)
    np.testing.assert_allclose(np.diag(alone), 1, rtol=1e-6)
    both = likeness_matrix([(texts, 0.6), (other, 0.3)], everything, known, 3.0)
    apart = likeness_matrix([(other, 1.0)], everything, known, 3.0)
    np.testing.assert_allclose(both, 0.6 * found[:, :5] + 0.3 * apart, rtol=1e-6)
