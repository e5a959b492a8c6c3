from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from bench.peers.sentences import nonzero_medians, rank_values, sentences

X = sp.csr_array(np.array([[1, 0, 5, 2], [3, 3, 0, 0], [0, 0, 0, 7]], np.float32))
TOTALS = np.array([10, 20, 10], np.float32)


def test_a_sentence_has_the_names_of_a_cells_genes_by_decreasing_count():
    assert sentences(X[[0, 2]], ["A", "B", "C", "D"], 3) == ["C D A", "D"]
    assert sentences(X[[0]], ["A", "B", "C", "D"], 2) == ["C D"]


def test_genes_with_equal_counts_stand_in_either_order():
    seen = {sentences(X[[1]], ["A", "B", "C", "D"], 2, seed)[0] for seed in range(20)}
    assert seen == {"A B", "B A"}
    assert sentences(X[[1]], ["A", "B", "C", "D"], 1) in (["A"], ["B"])


def test_medians_are_of_cells_where_a_gene_is_not_zero():
    np.testing.assert_allclose(nonzero_medians(X, TOTALS), [1250, 1500, 5000, 4500])
    assert nonzero_medians(X[[1]], TOTALS[[1]]).tolist() == [1500, 1500, 1, 1]


def test_rank_values_put_genes_first_that_are_high_for_them():
    medians, tokens = np.array([100, 1500, 50_000, 4500], np.float32), np.array([40, 30, 20, 10])
    found = rank_values(X, TOTALS, medians, tokens, 2)
    assert [cell.tolist() for cell in found] == [[40, 10], [40, 30], [10]]
    assert rank_values(X, TOTALS, medians, tokens, 9)[0].tolist() == [40, 10, 20]
