"""Factors are what texts foretell of dispersion, on blood for pancreas too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lexicell.embedding.gene_statistics import GeneStatistics, standardised_dispersion
from lexicell.errors import InputError
from lexicell.learn.gene_scales import predict_gene_scales
from lexicell.lexicon import gene_scales


@pytest.fixture(scope="module")
def varied():
    """300 genes whose dispersion is in their first dimension."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((400, 6)).astype(np.float32)
    mean = rng.uniform(0.5, 2, 300)
    some = np.ones(300)
    variance = mean * np.exp(vectors[:300, 0] + 0.1 * rng.standard_normal(300))
    rows = np.arange(300, dtype=np.int32)
    return GeneStatistics(rows, 50, mean, some, some, mean, variance), vectors


def test_genes_that_nobody_measured_get_what_their_text_foretells(varied):
    statistics, vectors = varied
    found = predict_gene_scales([statistics], vectors, ridge=1.0)
    assert found.dtype == np.float32
    assert np.corrcoef(found[300:], vectors[300:, 0])[0, 1] > 0.8
    assert (found >= 0.05).all()
    assert (found <= 4).all()


def test_genes_in_few_cells_do_not_count(varied):
    statistics, vectors = varied
    rare = replace(statistics, detected=np.full(300, 0.001))
    with pytest.raises(InputError, match="genes that at least"):
        predict_gene_scales([rare], vectors)
    np.testing.assert_array_equal(
        predict_gene_scales([statistics, rare], vectors), predict_gene_scales([statistics], vectors)
    )


def test_a_gene_without_variance_has_no_dispersion():
    score = standardised_dispersion(np.array([1.0, 1.0, 1.0, 0.0]), np.array([2.0, 4.0, 0.0, 0.0]))
    assert np.isneginf(score[2:]).all()
    assert score[1] > score[0]


def test_what_marks_a_type_counts_more_than_housekeeping_in_the_factors_that_come_along(bundled):
    symbols = bundled.genes.column("symbol").to_pylist()
    factors = dict(zip(symbols, gene_scales(bundled), strict=True))
    markers = [factors[name] for name in ("CD79A", "IL7R", "CXCL10", "COL1A1", "CD14")]
    house = [factors[name] for name in ("EEF1A1", "ACTB", "RPLP0", "TUBB", "PSMB1")]
    assert np.mean(markers) > 2 * np.mean(house)
