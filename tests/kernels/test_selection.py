"""Small cells with answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lexicell_kernels import CsrBlock, GeneTable, Order, Weight, cpu, reference

BACKENDS = pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])


def row(*counts: float, dtype: type = np.float32) -> CsrBlock:
    """One cell, one value for each column."""
    n = len(counts)
    return CsrBlock(
        data=np.array(counts, dtype),
        indices=np.arange(n, dtype=np.int32),
        indptr=np.array([0, n], np.int64),
        n_columns=n,
    )


def table(rank: list[int], factor: list[float] | None = None) -> GeneTable:
    """Genes whose vectors are the axes, so that a vector shows the genes' weights."""
    m = max(rank) + 1
    return GeneTable(
        np.eye(m, dtype=np.float32),
        np.array(rank, np.int32),
        None if factor is None else np.array(factor, np.float32),
    )


def picks(backend, block, genes, k, order=Order.LEXICON) -> list[int]:
    found = backend.select_topk(block, genes, k=k, order=order)
    return found.genes[0, : found.n_genes[0]].tolist()


@BACKENDS
def test_of_equal_counts_the_first_in_the_lexicon_wins_and_not_the_first_column(backend):
    # Columns 0..3 are lexicon rows 3, 2, 1, 0.
    assert picks(backend, row(5, 5, 5, 5), table([3, 2, 1, 0]), 2) == [0, 1]
    assert picks(backend, row(5, 5, 9, 5), table([3, 2, 1, 0]), 2) == [0, 1]
    assert picks(backend, row(5, 9, 5, 1), table([3, 2, 1, 0]), 2) == [1, 2]


@BACKENDS
@pytest.mark.parametrize(
    "scale", [1, 0.3, 300, 70_000], ids=["bytes", "fractions", "beyond a byte", "beyond two"]
)
def test_the_tie_rule_holds_for_every_size_of_counts(backend, scale):
    counts = [x * scale for x in (2, 1, 1, 3, 1)]
    block, genes = row(*counts), table([4, 3, 2, 1, 0])
    assert picks(backend, block, genes, 3) == [0, 1, 4]
    rows = backend.embed_rows(block, genes, k=3, weight=Weight.UNIFORM)
    assert rows.n_tied.tolist() == [3]


@BACKENDS
def test_ties_are_of_scores_and_not_of_counts(backend):
    # 1 * 4 == 2 * 2 == 4 * 1: a tie of three; the largest count has the lowest score.
    block, genes = row(1, 2, 4, 7), table([2, 1, 0, 3], factor=[1, 2, 4, 0.25])
    assert picks(backend, block, genes, 2) == [0, 1]
    assert backend.embed_rows(block, genes, k=2).n_tied.tolist() == [3]


@BACKENDS
def test_counts_that_differ_only_beyond_a_byte_are_not_tied(backend):
    assert picks(backend, row(255, 256, 257, 256), table([0, 1, 2, 3]), 2) == [1, 2]
    assert picks(backend, row(65535, 65536, 65537, 70000), table([0, 1, 2, 3]), 2) == [2, 3]


@BACKENDS
def test_genes_without_a_description_leave_before_k_is_counted(backend):
    assert picks(backend, row(9, 8, 2, 1), table([-1, -1, 1, 0]), 2) == [0, 1]


@BACKENDS
def test_picks_are_listed_by_lexicon_or_by_score(backend):
    block, genes = row(3, 7, 3, 1), table([2, 3, 1, 0])
    assert picks(backend, block, genes, 3, Order.LEXICON) == [1, 2, 3]
    assert picks(backend, block, genes, 3, Order.SCORE) == [3, 1, 2]
    found = backend.select_topk(block, genes, k=5, order=Order.SCORE)
    assert found.genes.tolist() == [[3, 1, 2, 0, -1]]
    assert found.scores.tolist() == [[7, 3, 3, 1, 0]]
    assert found.n_genes.tolist() == [4]


@BACKENDS
def test_picks_come_with_their_counts_and_the_cells_total(backend):
    block = row(1, 2, 4, 7, 5, 0)  # one without a description
    found = backend.select_topk(
        block, table([2, 1, 0, 3, -1, 4], factor=[1, 2, 4, 0.25, 1]), k=5, order=Order.SCORE
    )
    assert found.genes.tolist() == [[0, 1, 2, 3, -1]]
    assert found.scores.tolist() == [[4, 4, 4, 1.75, 0]]
    assert found.counts.tolist() == [[4, 2, 1, 7, 0]]
    assert found.totals.tolist() == [19]
    found = backend.select_topk(block, table([2, 1, 0, 3, -1, 4]), k=5)
    assert found.counts.tolist() == found.scores.tolist() == [[4, 2, 1, 7, 0]]
    assert (found.counts.dtype, found.totals.dtype) == (np.float32, np.float64)


@BACKENDS
@pytest.mark.parametrize(("k", "n_tied"), [(1, 1), (2, 3), (3, 3), (4, 3), (5, 0), (6, 0), (None, 0)])
def test_n_tied_is_the_group_at_the_boundary_and_0_where_nothing_is_cut(backend, k, n_tied):
    # Candidates 9, 2, 2, 2, 1: five; the group of the last one taken is counted whole.
    rows = backend.embed_rows(row(2, 9, 2, 1, 2, 5), table([0, 1, 2, 3, 4, -1]), k=k)
    assert rows.n_tied.tolist() == [n_tied]


@BACKENDS
def test_coverage_is_the_described_share_of_all_counts_whatever_k_is(backend):
    rows = backend.embed_rows(row(6, 1, 1, 2), table([0, 1, -1, -1]), k=1)
    assert rows.coverage[0] == pytest.approx(0.7)
    assert rows.n_genes.tolist() == [1]


@BACKENDS
def test_the_four_weights_are_what_the_design_says(backend):
    counts = np.array([8, 4, 4, 1, 3])
    block, genes = row(*counts), table([2, 1, 0, -1, -1])
    x = np.array([4, 4, 8])  # by lexicon row
    expected = {
        Weight.LOG1P: np.log1p(1e4 * x / 20),
        Weight.COUNT: 1e4 * x / 20,
        Weight.UNIFORM: np.ones(3),
        Weight.RANK: np.array([2, 1, 3]) / 3,  # of the tie the first in the lexicon is higher
    }
    for weight, w in expected.items():
        mean = backend.embed_rows(block, genes, k=3, weight=weight, normalise=False).vectors[0]
        np.testing.assert_allclose(mean, w / w.sum(), rtol=1e-6)
        unit = backend.embed_rows(block, genes, k=3, weight=weight).vectors[0]
        np.testing.assert_allclose(unit, w / np.linalg.norm(w), rtol=1e-6)


@BACKENDS
def test_a_bias_is_added_once_before_the_length_is_taken(backend):
    genes = GeneTable(np.eye(2, dtype=np.float32), np.arange(2, dtype=np.int32), None, np.array([1, 0], "f4"))
    unit = backend.embed_rows(row(3, 3), genes, k=2).vectors[0]
    np.testing.assert_allclose(unit, np.array([1.5, 0.5]) / np.hypot(1.5, 0.5), rtol=1e-6)


@BACKENDS
def test_a_cell_without_a_candidate_is_zero_and_flagged_even_with_a_bias(backend):
    genes = GeneTable(np.ones((1, 3), "f4"), np.array([0, -1], np.int32), None, np.ones(3, np.float32))
    block = CsrBlock(
        data=np.array([4, 0], np.float32),
        indices=np.array([1, 0], np.int32),
        indptr=np.array([0, 0, 1, 2], np.int64),
        n_columns=2,
    )
    rows = backend.embed_rows(block, genes, k=2)
    assert not rows.vectors.any()
    assert not rows.n_genes.any()
    assert not rows.coverage.any()
    assert not rows.n_tied.any()


@BACKENDS
def test_a_block_of_no_cells_gives_no_rows(backend):
    block = CsrBlock(
        data=np.empty(0, "f4"), indices=np.empty(0, np.int32), indptr=np.zeros(1, np.int64), n_columns=4
    )
    rows = backend.embed_rows(block, table([0, 1, 2, 3]), k=2)
    assert rows.vectors.shape == (0, 4)
    assert backend.select_topk(block, table([0, 1, 2, 3]), k=2).genes.shape == (0, 2)


@BACKENDS
def test_a_k_beyond_all_genes_is_all_genes(backend):
    block, genes = row(3, 1, 2), table([2, 0, 1])
    everything = backend.embed_rows(block, genes, k=None).vectors
    for k in (3, 4, 1000):
        np.testing.assert_array_equal(backend.embed_rows(block, genes, k=k).vectors, everything)


@BACKENDS
def test_scores_beyond_float32_are_tied_at_infinity(backend):
    genes = table([0, 1, 2, 3], factor=[1e-3, 3e38, 3e38, 3e38])
    block = row(1000, 2, 5, 3)
    assert picks(backend, block, genes, 2) == [1, 2]
    assert backend.embed_rows(block, genes, k=2).n_tied.tolist() == [3]


@BACKENDS
def test_scores_that_vanish_in_float32_are_tied_at_zero_and_stay_candidates(backend):
    genes = table([0, 1, 2, 3], factor=[1e-30, 1e-30, 1, 1e-30])
    block = row(1e-20, 2e-20, 1, 3e-20)
    assert picks(backend, block, genes, 2) == [0, 2]
    rows = backend.embed_rows(block, genes, k=2)
    assert (rows.n_tied.tolist(), rows.n_genes.tolist()) == ([3], [2])
    assert backend.embed_rows(block, genes, k=None).n_genes.tolist() == [4]


@pytest.mark.parametrize(
    "backend",
    [
        cpu,
        reference,
    ],
    ids=["cpu", "reference"],
)
def test_a_weight_that_vanishes_beside_a_huge_total_gives_no_nan(backend):
    rows = backend.embed_rows(row(1e-12, 1e-12, 1e38), table([0, 1, -1]), k=2)
    assert np.isfinite(rows.vectors).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("beyond", [0, 3, 40])
@pytest.mark.parametrize("k", [1, 30, 250, 700, 1_400, 2_000])
def test_levels_that_many_genes_have_are_listed_in_order_of_scores(dtype, beyond, k):
    rng = np.random.default_rng(k)
    counts = rng.geometric(0.6, 1_500)
    counts[rng.permutation(1_500)[:beyond]] = rng.integers(254, 300, beyond)
    block, genes = row(*counts, dtype=dtype), table(rng.permutation(1_500).tolist())
    found, defined = (b.select_topk(block, genes, k=k, order=Order.SCORE) for b in (cpu, reference))
    np.testing.assert_array_equal(found.genes, defined.genes)
    np.testing.assert_array_equal(found.counts, defined.counts)


@pytest.mark.parametrize("low", [1, 3])
def test_a_gene_with_counts_in_two_columns_is_listed_once(low):
    # Not a block that the kernel takes; what it does with one is to be harmless.
    rank = [*range(300), *range(300)]
    counts = [low] * 300 + [1] * 299 + [300]
    for k in (1, 299, 300, 450, 600):
        found = cpu.select_topk(row(*counts), table(rank), k=k, order=Order.SCORE)
        listed = found.genes[0, : found.n_genes[0]]
        assert len(np.unique(listed)) == len(listed) <= 300
        assert ((listed >= 0) & (listed < 300)).all()
    ranked = cpu.rank_genes(row(*counts), table(rank), k=None, divisor=np.ones(300))
    assert len(ranked.genes) == 600


def test_read_only_arrays_are_not_compiled_for_again():
    """Numba has a type of its own for them, and machine code for each takes seconds."""
    genes = GeneTable(np.eye(5, dtype=np.float32), np.arange(5, dtype=np.int32))
    arrays = np.ones(4, np.float32), np.array([0, 2, 1, 3], np.int32), np.array([0, 2, 4])
    results, signatures = [], []
    for writeable in (True, False):
        for array in (*arrays, genes.vectors, genes.rank):
            array.setflags(write=writeable)
        block = CsrBlock(data=arrays[0], indices=arrays[1], indptr=arrays[2], n_columns=5)
        results.append(cpu.embed_rows(block, genes, k=2).vectors)
        signatures.append(len(cpu.embed.signatures))
    assert signatures[0] == signatures[1]
    np.testing.assert_array_equal(*results)
