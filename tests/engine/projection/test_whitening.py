"""Whitened vectors have one variance, and a map of them is a map of the vectors."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.projection.whitening import fit_whitening


@pytest.fixture(scope="module")
def vectors(bundled):
    """Of 3,000 genes, without the three dimensions that are the same for all of them."""
    drawn = bundled.vectors(np.arange(0, 12_000, 4, dtype=np.int64)).astype(np.float32)
    return drawn[:, drawn.std(axis=0) > 1e-4]


@pytest.mark.parametrize(("kind", "components"), [("pca", None), ("pca", 64), ("zca", None)])
def test_the_variance_is_one_in_all_directions_that_are_kept(vectors, kind, components):
    found = fit_whitening(vectors, kind=kind, components=components, shrinkage=0.0).apply(vectors)
    q = components or vectors.shape[1]
    assert np.abs(found.mean(0)).max() < 1e-5
    np.testing.assert_allclose(found.T @ found / len(found), np.eye(q) / q, atol=1e-4)


def test_zca_stays_nearest_to_the_vectors(vectors):
    centred = vectors - vectors.mean(0)
    moved = fit_whitening(vectors, kind="zca").apply(vectors)
    assert (np.einsum("ij,ij->j", centred, moved) > 0).all()


def test_shrinkage_holds_small_directions_small(vectors):
    free, held = (fit_whitening(vectors, shrinkage=s).apply(vectors).var(0) for s in (0.0, 0.3))
    assert held[-1] < 0.3 * held[0]
    assert free[-1] > 0.9 * free[0]
    assert held.sum() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_a_composed_map_does_the_same(vectors, kind):
    rng = np.random.default_rng(0)
    whitening = fit_whitening(vectors, kind=kind, components=50)
    weight = rng.standard_normal((7, len(whitening.weight))).astype(np.float32)
    offset = rng.standard_normal(7).astype(np.float32)
    both, moved = whitening.compose(weight, offset)
    expected = whitening.apply(vectors) @ weight.T + offset
    np.testing.assert_allclose(vectors @ both.T + moved, expected, atol=2e-5)


def test_directions_that_are_not_there_are_left_out():
    flat = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32) @ np.ones((3, 9), np.float32)
    assert len(fit_whitening(flat).weight) == 1


@pytest.mark.parametrize("bad", [{"components": 0}, {"components": 999}, {"shrinkage": 1.5}])
def test_settings_are_checked(vectors, bad):
    with pytest.raises(InputError, match="1 to 381 components"):
        fit_whitening(vectors, **bad)
