"""Neighbours and the shape of a cloud, against slow and plain ways to compute them."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell.errors import InputError
from lexicell.evaluation import measure_geometry, nearest_genes


def _slow_mean_cosine(vectors: np.ndarray) -> float:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float((unit @ unit.T)[~np.eye(len(unit), dtype=bool)].mean())


@pytest.mark.parametrize("shift", [0, 0.3, 5])
def test_the_mean_cosine_is_that_of_all_pairs(monkeypatch, shift):
    monkeypatch.setattr("lexicell.evaluation.genes.geometry._BLOCK", 64)
    vectors = (np.random.default_rng(0).standard_normal((300, 12)) + shift).astype(np.float32)
    vectors *= np.random.default_rng(1).uniform(0.1, 9, (300, 1)).astype(np.float32)
    found = measure_geometry(vectors)
    assert found.mean_cosine == pytest.approx(_slow_mean_cosine(vectors.astype(float)), abs=1e-9)
    assert found.cosines.mean() == pytest.approx(found.mean_cosine, abs=0.02)


def test_the_spectrum_is_that_of_the_singular_values(monkeypatch):
    monkeypatch.setattr("lexicell.evaluation.genes.geometry._BLOCK", 64)
    vectors = np.random.default_rng(0).standard_normal((300, 6)) * [5, 3, 1, 1, 0.5, 0.1] + 7
    found = measure_geometry(vectors.astype(np.float32))
    s = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(found.variance, s / s.sum(), atol=1e-6)
    assert found.share(2) == pytest.approx((s / s.sum())[:2].sum(), abs=1e-6)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_effective_rank_of_equal_components_is_their_number(rank):
    corners = np.concatenate([np.eye(rank, 8), -np.eye(rank, 8)]).astype(np.float32)
    assert measure_geometry(corners).effective_rank == pytest.approx(rank)


def test_zero_and_equal_vectors_break_nothing():
    some = np.zeros((5, 3), np.float32)
    some[:2] = [[1, 0, 0], [0, 1, 0]]
    assert measure_geometry(some).n_zero == 3
    assert measure_geometry(some).mean_cosine == pytest.approx(0)
    same = measure_geometry(np.full((50, 3), 0.1, np.float32))
    assert same.mean_cosine == pytest.approx(1)
    assert (same.effective_rank, same.variance.tolist()) == (0, [0, 0, 0])
    none = measure_geometry(np.zeros((4, 2), np.float32))
    assert (none.mean_cosine, none.n_zero, len(none.cosines)) == (0, 4, 0)


def test_pairs_never_hold_the_same_gene_twice_and_follow_the_seed():
    opposite = np.array([[1, 2], [-1, -2]], np.float32)
    np.testing.assert_allclose(measure_geometry(opposite).cosines, -1, atol=1e-6)
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    first, again, other = (measure_geometry(vectors, seed=seed, pairs=500).cosines for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_known_genes_have_known_neighbours(bundled):
    found = {one.gene: [gene for gene, _ in one.nearest] for one in nearest_genes(bundled)}
    assert {"CD3G", "CD3D"} <= set(found["CD3E"][:2])
    assert {"HBA1", "HBD"} <= set(found["HBB"])
    assert all(gene not in nearest and len(nearest) == 5 for gene, nearest in found.items())


def test_neighbours_are_those_of_the_whole_product(monkeypatch, clustered):
    monkeypatch.setattr("lexicell.evaluation.genes.geometry._BLOCK", 64)
    vectors = clustered.vectors(clustered.rows).astype(float)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for one in nearest_genes(clustered, ["G7", "G599"], n=4):
        row = int(one.gene[1:])
        cosines = unit @ unit[row]
        cosines[row] = -2
        best = np.argsort(-cosines)[:4]
        assert [gene for gene, _ in one.nearest] == [f"G{i}" for i in best]
        np.testing.assert_allclose([cosine for _, cosine in one.nearest], cosines[best], atol=1e-6)


def test_a_gene_is_found_by_any_of_its_names_and_asked_once(clustered):
    assert [one.gene for one in nearest_genes(clustered, ["A3", "5", "A3"], n=1)] == ["G3", "G4"]
    assert nearest_genes(clustered, []) == ()
    assert nearest_genes(clustered) == ()  # none of the well-known ones


def test_a_gene_that_is_not_there_is_named_with_one_that_is(bundled):
    with pytest.raises(InputError, match=r"'CD3EE'.* CD3E"):
        nearest_genes(bundled, ["CD3E", "CD3EE"])


def test_a_small_lexicon_has_few_neighbours(make_lexicon):
    lexicon = make_lexicon(np.array([[1, 0], [0, 1], [0, 0]], np.float32))
    (one,) = nearest_genes(lexicon, ["G0"])
    assert one.nearest == (("G1", 0.0), ("G2", 0.0))
