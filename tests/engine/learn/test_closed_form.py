"""Maps that are solved for are what their definitions say, and fold."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.learn.closed_form import fit_contrastive_pca, fit_ridge
from lexicell.learn.embed_selected import embed_selected


def dense(cells):
    """Weights ``[N, G]``."""
    found = np.zeros((len(cells), cells.n_lexicon))
    cell = np.repeat(np.arange(len(cells)), cells.sizes)
    found[cell, cells.genes] = cells.weights()
    return found


def pooled(cells, vectors):
    weights = dense(cells)
    return weights @ vectors / weights.sum(1, keepdims=True)


def test_without_background_contrastive_components_are_principal_ones(groups):
    cells, _, vectors = groups
    x = pooled(cells, vectors)
    _, _, axes = np.linalg.svd(x - x.mean(0), full_matrices=False)
    found = fit_contrastive_pca(cells, vectors, cells.take(np.arange(50)), alpha=0, n_components=3)
    np.testing.assert_allclose(np.abs(found.weight), np.abs(axes[:3]), atol=1e-4)
    z = embed_selected(cells, vectors, found)
    expected = (x - x.mean(0)) @ found.weight.T
    np.testing.assert_allclose(z, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-4)


def test_what_varies_in_the_background_too_is_not_found(groups):
    cells, _, vectors = groups
    group = np.arange(240) % 3
    foreground = cells.take(np.arange(240))
    background = cells.take(np.flatnonzero(group < 2))  # x against y varies there, z is not there
    own = pooled(cells, vectors)
    third = own[group == 2].mean(0) - own[group < 2].mean(0)
    third /= np.linalg.norm(third)

    def share(alpha):
        found = fit_contrastive_pca(foreground, vectors, background, alpha=alpha, n_components=1)
        return abs(float(found.weight[0] @ third))

    assert share(3.0) > share(0.0) + 0.05


@pytest.mark.parametrize(
    ("alpha", "n", "cells", "says"),
    [
        (-1.0, 2, 50, "alpha is finite and at least 0"),
        (np.nan, 2, 50, "alpha is finite and at least 0"),
        (1.0, 0, 50, "a component or more"),
        (1.0, 2, 1, "background needs two cells"),
    ],
)
def test_contrastive_components_refuse_what_they_cannot_use(groups, alpha, n, cells, says):
    ranked, _, vectors = groups
    with pytest.raises(InputError, match=says):
        fit_contrastive_pca(ranked, vectors, ranked.take(np.arange(cells)), alpha=alpha, n_components=n)


def test_where_texts_tell_genes_apart_a_weak_ridge_gives_the_components_themselves(groups):
    pytest.importorskip("sklearn")
    from sklearn.decomposition import PCA

    cells, _, _ = groups
    vectors = np.random.default_rng(3).standard_normal((70, 90)).astype(np.float32)
    found = fit_ridge(cells, vectors, n_components=2, penalty=1e-9)
    table = found.apply(vectors[:60], np.arange(60))
    axes = PCA(2, svd_solver="full").fit(dense(cells)[:, :60]).components_
    np.testing.assert_allclose(np.abs(table.T), np.abs(axes), atol=1e-4)


def test_the_penalty_is_that_of_the_least_error_for_genes_left_out(groups):
    cells, _, _ = groups
    rng = np.random.default_rng(0)
    # Texts that know a gene's group, beside noise: neither the weakest nor the strongest ridge is best.
    vectors = rng.standard_normal((70, 12)).astype(np.float32)
    vectors[:30, :3] += 2 * np.repeat(np.eye(3), 10, axis=0).astype(np.float32)
    weak = fit_ridge(cells, vectors, n_components=2, penalty=1e-9)
    x = vectors[:60].astype(np.float64)
    from lexicell.learn.bridge import weight_matrix
    from lexicell.learn.closed_form import _PENALTIES, _components

    variance, y = _components(weight_matrix(cells)[0], 2, 0)
    largest = np.linalg.svd(x - x.mean(0))[1][0] ** 2
    errors = []
    for penalty in _PENALTIES * largest:
        total = 0.0
        for left in range(60):
            others = np.delete(np.arange(60), left)
            # Centred by all genes, as the intercept is not penalised, then once more by the others.
            mean, middle = x[others].mean(0), y[others].mean(0)
            a, b = x[others] - mean, y[others] - middle
            w = np.linalg.solve(a.T @ a + penalty * np.eye(12), a.T @ b)
            total += float(((y[left] - middle - (x[left] - mean) @ w) ** 2) @ variance)
        errors.append(total)
    best = _PENALTIES[int(np.argmin(errors))]
    assert _PENALTIES[0] < best < _PENALTIES[-1]
    chosen = fit_ridge(cells, vectors, n_components=2)
    np.testing.assert_array_equal(
        chosen.weight, fit_ridge(cells, vectors, n_components=2, penalty=best).weight
    )
    assert not np.allclose(chosen.weight, weak.weight, atol=1e-3)


def test_the_ridge_is_centred_on_its_cells_and_repeats_itself(groups):
    cells, _, vectors = groups
    found, again = (fit_ridge(cells, vectors, n_components=4, seed=5) for _ in range(2))
    assert found.identity == again.identity
    table = vectors @ found.weight.T + found.offset
    np.testing.assert_allclose(pooled(cells, table).mean(0) + found.bias, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "cells", "says"),
    [
        ({"n_components": 0}, 50, "a component or more"),
        ({"penalty": 0.0}, 50, "larger than 0"),
        ({"penalty": np.inf}, 50, "finite"),
        ({}, 2, "three cells and genes or more; there are 2"),
    ],
)
def test_the_ridge_refuses_what_it_cannot_use(groups, options, cells, says):
    ranked, _, vectors = groups
    with pytest.raises(InputError, match=says):
        fit_ridge(ranked.take(np.arange(cells)), vectors, **options)


def test_cells_without_genes_change_nothing(groups):
    cells, _, vectors = groups
    blank = cells.take(np.arange(240))
    blank.indptr[-10:] = blank.indptr[-11]
    full = cells.take(np.arange(230))
    few = fit_ridge(full, vectors, n_components=3)
    np.testing.assert_allclose(fit_ridge(blank, vectors, n_components=3).weight, few.weight, atol=1e-6)
    other = cells.take(np.arange(100))
    np.testing.assert_allclose(
        fit_contrastive_pca(blank, vectors, other, n_components=3).weight,
        fit_contrastive_pca(full, vectors, other, n_components=3).weight,
        atol=1e-6,
    )
    assert not embed_selected(blank, vectors, few)[-10:].any()
