"""Lists of genes by score in 64 bits, against `np.lexsort` and the reference."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicell_kernels import CsrBlock, GeneTable, InvalidCountsError, cpu, reference

COLUMNS, GENES = 60, 40


def block_of(rows):
    matrix = sp.csr_array(np.asarray(rows, np.float32))
    return CsrBlock(
        data=matrix.data,
        indices=matrix.indices.astype(np.int32),
        indptr=matrix.indptr.astype(np.int64),
        n_columns=matrix.shape[1],
    )


def table_of(columns, genes, seed):
    """Columns are genes in any order, and some are none."""
    rng = np.random.default_rng(seed)
    rank = np.full(columns, -1, np.int32)
    rank[rng.permutation(columns)[:genes]] = rng.permutation(genes)
    return GeneTable(np.empty((genes, 0), np.float32), rank)


def check(block, table, k, divisor, threads=1):
    """Each row by `np.lexsort`, with totals as they came, which the parity suite holds."""
    found = cpu.rank_genes(block, table, k=k, divisor=divisor, threads=threads)
    for row in range(block.n_rows):
        a, b = block.indptr[row : row + 2]
        x, genes = block.data[a:b], table.rank[block.indices[a:b]]
        x, genes = x[(genes >= 0) & (x > 0)], genes[(genes >= 0) & (x > 0)]
        scores = x.astype(np.float64)
        if divisor is not None:
            scores = scores / found.totals[row] * 10_000 / divisor[genes]
        order = np.lexsort((genes, -scores))
        listed = order[:k]
        here = slice(*found.indptr[row : row + 2])
        assert found.genes[here].tolist() == genes[listed].tolist()
        assert found.counts[here].tolist() == x[listed].tolist()
        left = scores[order[len(listed)]] if len(listed) < len(order) else None
        assert found.n_tied[row] == (scores[listed] == left).sum()
    return found


numbers = st.one_of(
    st.just(0.0),
    st.integers(1, 4).map(float),
    st.integers(1, 2**30).map(float),
    st.floats(2.0**-149, 2.0**-126, width=32),
    st.floats(0, 2.0**100, width=32),
)
divisors = st.sampled_from(["none", "ones", "spread", "near", "far"])


def divisor_of(kind, genes, seed):
    rng = np.random.default_rng(seed)
    return {
        "none": lambda: None,
        "ones": lambda: np.ones(genes),
        "spread": lambda: np.exp(rng.normal(1, 2, genes)),
        "near": lambda: 1 + rng.integers(0, 3, genes) * 2.0**-50,
        # One score so far off that all others have the same first bits.
        "far": lambda: np.append(np.full(1, 1e-200), 1 + rng.permutation(genes - 1) * 2.0**-45),
    }[kind]()


@settings(max_examples=5 * settings.default.max_examples // 2)
@given(
    rows=st.lists(st.lists(numbers, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=4),
    k=st.sampled_from([None, 1, 5, GENES - 1, GENES, 10_000]),
    kind=divisors,
    seed=st.integers(0, 100),
)
def test_rows_are_listed_as_lexsort_orders_them(rows, k, kind, seed):
    check(block_of(rows), table_of(COLUMNS, GENES, seed), k, divisor_of(kind, GENES, seed))


@pytest.mark.parametrize("kind", ["none", "ones", "spread", "near", "far"])
@pytest.mark.parametrize("draw", ["ones", "counts", "fractions", "denormal", "wide"])
@pytest.mark.parametrize("k", [None, 100, 3_000])
def test_long_rows(kind, draw, k):
    rng = np.random.default_rng(7)
    made = {
        "ones": np.ones,
        "counts": lambda n: np.minimum(rng.geometric(0.3, n) ** 2, 70_000),
        "fractions": rng.random,
        "denormal": lambda n: rng.random(n) * 1e-42,
        "wide": lambda n: np.exp(rng.normal(0, 20, n)),
    }[draw]
    x = np.zeros((5, 4_000))
    for row, many in enumerate((3_900, 2_800, 0, 1, 800)):
        x[row, rng.permutation(4_000)[:many]] = made(many)
    table = table_of(4_000, 3_000, 1)
    check(block_of(x), table, k, divisor_of(kind, 3_000, 2))


@pytest.mark.parametrize("divided", [False, True])
def test_counts_are_listed_as_the_reference_has_them(divided):
    rng = np.random.default_rng(3)
    block = block_of(rng.poisson(rng.gamma(0.3, 3, 300), (200, 300)))
    table = table_of(300, 220, 4)
    divisor = np.exp(rng.normal(0, 1, 220)) if divided else None
    for k in (None, 1, 30, 500):
        expected = reference.rank_genes(block, table, k=k, divisor=divisor)
        found = cpu.rank_genes(block, table, k=k, divisor=divisor)
        for name in ("genes", "counts", "indptr", "totals", "n_tied"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)


@pytest.mark.parametrize("divided", [False, True])
def test_neither_threads_nor_the_order_of_columns_change_a_list(monkeypatch, divided):
    monkeypatch.setattr(cpu, "_INLINE_NNZ", 0)
    rng = np.random.default_rng(5)
    x = rng.poisson(0.7, (90, COLUMNS))
    table = table_of(COLUMNS, GENES, 6)
    divisor = np.exp(rng.normal(0, 1, GENES)) if divided else None
    ids = rng.permutation(GENES).astype(np.int32) + 1000
    one = cpu.rank_genes(block_of(x), table, k=9, divisor=divisor, ids=ids, threads=1)
    other = rng.permutation(COLUMNS)
    moved = GeneTable(table.vectors, table.rank[other])
    for threads in (1, 3, 8):
        same = cpu.rank_genes(block_of(x[:, other]), moved, k=9, divisor=divisor, ids=ids, threads=threads)
        for name in ("genes", "counts", "indptr", "totals", "n_tied"):
            np.testing.assert_array_equal(getattr(same, name), getattr(one, name), name)
    assert one.genes.min() >= 1000
    assert len(one) == 90


def test_rows_in_disorder_are_put_in_order_and_what_is_no_count_is_named():
    table = GeneTable(np.empty((3, 0), np.float32), np.arange(3, dtype=np.int32))
    data, indices = np.array([1, 2, 4, 1], np.float32), np.array([2, 0, 2, 1], np.int32)
    block = CsrBlock(data=data, indices=indices, indptr=np.array([0, 3, 4]), n_columns=3)
    found = cpu.rank_genes(block, table, k=None, divisor=np.ones(3))
    assert found.genes.tolist() == [2, 0, 1]
    assert found.counts.tolist() == [5, 2, 1]
    data[0] = -1
    with pytest.raises(InvalidCountsError, match="row 0, column 2"):
        cpu.rank_genes(block, table, k=1, divisor=np.ones(3))
    indices[3] = 7
    data[0] = 1
    with pytest.raises(ValueError, match="row 1"):
        cpu.rank_genes(block, table, k=1)
