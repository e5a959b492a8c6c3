"""Distances against formulas of their own, and generators that are as good and as bad as can be."""

from __future__ import annotations

import csv
import io
import itertools

import numpy as np
import pytest

from lexicell.embedding import Note
from lexicell.embedding.events import ignore
from lexicell.errors import InputError, OutputExistsError
from lexicell.evaluation import evaluate_generated
from lexicell.evaluation.cells.distances import SIGMAS, distances, mmd, wasserstein
from lexicell.evaluation.cells.generated import GENERATED, REAL, SHUFFLED

LABEL = "bulk_labels"


@pytest.fixture
def two():
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 3)), rng.standard_normal((6, 3)) + 0.3


def test_wasserstein_is_the_best_of_all_assignments(two):
    x, y = two
    apart = np.sqrt(((x[:, None] - y[None]) ** 2).sum(axis=2))
    costs = [
        [(apart[range(6), list(order)] ** power).mean() for order in itertools.permutations(range(6))]
        for power in (1, 2)
    ]
    assert wasserstein(x, y) == pytest.approx((min(costs[0]), np.sqrt(min(costs[1]))))


def test_mmd_is_the_sum_over_all_pairs(two):
    x, y = two

    def linear(a, b):
        return float(a @ b)

    def rbf(a, b):
        return sum(np.exp(-((a - b) ** 2).sum() / (2 * sigma**2)) for sigma in SIGMAS)

    expected = []
    for kernel in (linear, rbf):
        within = [
            np.mean([kernel(a, b) for i, a in enumerate(of) for j, b in enumerate(of) if i != j])
            for of in (x, y)
        ]
        expected.append(sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y]))
    assert mmd(x, y) == pytest.approx(expected)
    assert SIGMAS == (0.01, 0.1, 1, 10, 100)


def test_the_same_vectors_are_no_way_apart_and_shifted_ones_by_their_shift(two):
    x, _ = two
    assert wasserstein(x, x[::-1]) == (0, 0)
    shift = np.array([3.0, 0, 4.0])
    assert wasserstein(x, x + shift) == pytest.approx((5, 5))
    near, far = (distances(x, x + share * shift) for share in (0.5, 1))
    assert all(near[name] < far[name] for name in near)


def test_two_samples_of_one_distribution_have_an_mmd_of_zero_on_average():
    rng = np.random.default_rng(1)
    found = [mmd(rng.standard_normal((20, 4)), rng.standard_normal((20, 4))) for _ in range(300)]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(300)
    assert (np.abs(mean) < 3 * error).all()
    assert (np.array(found) < 0).any()


def means(report, setting="all cells"):
    return {
        line.compared: {name: of.mean for name, of in line.scores.items()}
        for line in report.lines()
        if line.setting == setting
    }


@pytest.fixture
def halves(_blood):
    return _blood[:350].copy(), _blood[350:].copy()


def test_real_cells_are_at_the_floor_and_shuffled_ones_far_above(halves, bundled):
    real, other = halves
    found = evaluate_generated(real, other, lexicon=bundled, draws=4, listener=ignore)
    of = means(found)
    for name in ("w1", "w2"):
        assert of[GENERATED][name] < of[REAL][name] * 1.1 < of[SHUFFLED][name]
    assert max(found.shares("all cells").values()) < 0.35
    assert {record.cells for record in found.records} == {175}
    assert len(found.records) == 12


def test_cells_with_shuffled_genes_are_as_bad_as_the_control(halves, bundled):
    real, other = halves
    rng, x = np.random.default_rng(0), other.X.toarray()
    other.X = np.stack([column[rng.permutation(len(column))] for column in x.T], axis=1)
    found = evaluate_generated(real, other, lexicon=bundled, draws=3, listener=ignore)
    assert min(found.shares("all cells").values()) > 0.6


def test_a_copy_of_the_real_cells_is_below_the_floor(halves, bundled):
    real, _ = halves
    found = evaluate_generated(real, real, lexicon=bundled, draws=3, listener=ignore)
    assert means(found)[GENERATED]["w1"] < means(found)[REAL]["w1"]


def test_each_class_is_compared_where_there_are_enough_cells(halves, bundled):
    real, other = halves
    few = other[other.obs[LABEL] != "Dendritic"].copy()
    notes = []
    found = evaluate_generated(real, few, label=LABEL, lexicon=bundled, draws=2, listener=notes.append)
    settings = list(dict.fromkeys(record.setting for record in found.records))
    sizes = real.obs[LABEL].value_counts(), few.obs[LABEL].value_counts()
    enough = [n for n in sorted(sizes[0].index) if sizes[0][n] >= 20 and sizes[1].get(n, 0) >= 10]
    assert settings == ["all cells", *enough]
    assert enough
    assert found.skipped["Dendritic"] == (sizes[0]["Dendritic"], 0)
    said = " ".join(event.text for event in notes if isinstance(event, Note))
    assert f"Dendritic ({sizes[0]['Dendritic']} real, 0 generated)" in said
    # Other classes in place of a class are far from it.
    names = {enough[0]: enough[1], enough[1]: enough[0]}
    few.obs[LABEL] = few.obs[LABEL].astype(str).replace(names)
    swapped = evaluate_generated(real, few, label=LABEL, lexicon=bundled, draws=2, listener=ignore)
    assert means(swapped, enough[0])[GENERATED]["w1"] > 1.1 * means(found, enough[0])[GENERATED]["w1"]


def test_the_same_seed_gives_the_same_numbers_and_files(halves, bundled, tmp_path):
    real, other = halves
    few = other[:, ::2].copy()
    few.X = np.log1p(few.X.toarray())
    options = {"lexicon": bundled, "draws": 2, "cells": 20, "generated_values": "lognorm"}
    notes = []
    first = evaluate_generated(real, few, output=tmp_path, listener=notes.append, **options)
    assert first.records == evaluate_generated(real, few, listener=ignore, **options).records
    assert first.records != evaluate_generated(real, few, seed=1, listener=ignore, **options).records
    assert "genes are in both" in " ".join(event.text for event in notes if isinstance(event, Note))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.json", "scores.csv", "tables.md"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text())))
    assert [float(row["w1"]) for row in rows] == [record.w1 for record in first.records]
    assert "### generative, all cells" in (tmp_path / "tables.md").read_text()
    with pytest.raises(OutputExistsError):
        evaluate_generated(real, few, output=tmp_path, listener=ignore, **options)


def test_what_cannot_be_compared_is_one_sentence(halves, bundled):
    real, other = halves
    with pytest.raises(InputError, match="8 real and 350"):
        evaluate_generated(real[:8].copy(), other, lexicon=bundled, listener=ignore)
    with pytest.raises(InputError, match="'nope'"):
        evaluate_generated(real, other, label="nope", lexicon=bundled, listener=ignore)
    with pytest.raises(InputError, match="at least 10"):
        evaluate_generated(real, other, cells=3, lexicon=bundled, listener=ignore)
    with pytest.raises(InputError, match="genes in common"):
        evaluate_generated(real[:, ::2].copy(), other[:, 1::2].copy(), lexicon=bundled, listener=ignore)
