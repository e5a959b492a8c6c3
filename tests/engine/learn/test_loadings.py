"""Loadings are components of expression, and the text's where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.learn.bridge import weight_matrix
from lexicell.learn.loadings import fit_loadings


def _embed(projection, cells, vectors):
    weights, rows = weight_matrix(cells)
    used = ~projection.masked[rows]
    seen = weights[:, np.flatnonzero(used)]
    table = projection.apply(vectors[rows[used]], rows[used])
    return np.asarray(seen @ table) / np.asarray(seen.sum(axis=1))[:, None] + projection.bias


def test_components_of_a_data_set_are_centred_and_ordered(groups):
    cells, _, vectors = groups
    found = _embed(fit_loadings(cells, vectors, n_components=5), cells, vectors)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    assert found.shape == (240, 5)
    spread = found.std(axis=0)
    assert (np.diff(spread) < 1e-6).all()
    assert np.abs(np.corrcoef(found.T) - np.eye(5)).max() < 0.05


def test_a_few_labels_turn_components_to_the_classes(groups):
    cells, labels, vectors = groups
    few = np.full(240, "", object)
    few[:9] = labels[:9]
    found = _embed(fit_loadings(cells, vectors, few, n_components=10), cells, vectors)
    assert found.shape == (240, 2)
    truth = np.arange(240) % 3
    means = np.stack([found[truth == g].mean(axis=0) for g in range(3)])
    nearest = np.square(found[:, None] - means).sum(axis=2).argmin(axis=1)
    assert (nearest == truth).mean() > 0.95


def test_genes_that_vary_little_are_masked_and_unmeasured_ones_get_their_text(groups):
    cells, _, vectors = groups
    projection = fit_loadings(cells, vectors, n_components=3, n_genes=30)
    measured = cells.used
    assert projection.masked[measured].sum() == len(measured) - 30
    never = np.setdiff1d(np.arange(len(vectors)), measured).astype(np.int32)
    assert len(never)
    assert not projection.masked[never].any()
    foretold = vectors[never] @ projection.weight.T + projection.offset
    np.testing.assert_allclose(projection.apply(vectors[never], never), foretold, atol=1e-6)


def test_few_cells_have_few_components(groups):
    cells, _, vectors = groups
    projection = fit_loadings(cells.take(np.arange(40)), vectors)
    assert projection.weight.shape[0] == 9  # 1.5 times the root of 40


def test_one_class_is_refused(groups):
    cells, _, vectors = groups
    with pytest.raises(InputError, match="two classes or more; there is x"):
        fit_loadings(cells, vectors, np.full(240, "x", object))
