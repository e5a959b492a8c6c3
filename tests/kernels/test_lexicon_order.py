"""Columns in the order of the lexicon, as a packed atlas has them, take a shorter way to the same bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell_kernels import CsrBlock, GeneTable, Order, embed_rows, select_topk

CELLS, COLUMNS, DESCRIBED, DIM = 40, 700, 450, 24


def block(dense: NDArray[np.float32], dtype: type) -> CsrBlock:
    m = sp.csr_array(dense)
    return CsrBlock(
        data=m.data.astype(dtype),
        indices=m.indices.astype(np.uint16),
        indptr=m.indptr.astype(np.int64),
        n_columns=COLUMNS,
    )


def counts(kind: str) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    dense = rng.negative_binomial(0.3, 0.02, (CELLS, COLUMNS)).astype(np.float32)
    dense[0] = 0  # a cell of nothing, one without candidates, one where all is tied, one beyond a byte
    dense[1, :DESCRIBED] = 0
    dense[2] = 1
    dense[3] = 300 + np.arange(COLUMNS) % 7
    return dense / np.float32(3) if kind == "fractions" else dense


def tables(masked: bool, factors: bool) -> tuple[GeneTable, NDArray[np.int64]]:
    """A table for columns in order, and another order of the columns."""
    rng = np.random.default_rng(4)
    candidate = np.arange(COLUMNS) < DESCRIBED
    if masked:
        candidate[rng.random(COLUMNS) < 0.1] = False
    rank = np.where(candidate, np.cumsum(candidate) - 1, -1).astype(np.int32)
    m = int(candidate.sum())
    vectors = rng.standard_normal((m, DIM), dtype=np.float32)
    factor = rng.uniform(0.1, 3, m).astype(np.float32) if factors else None
    return GeneTable(vectors, rank, factor), rng.permutation(COLUMNS)


@pytest.mark.parametrize("kind", ["counts", "fractions"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("factors", [False, True])
def test_vectors_and_picks_are_those_of_columns_in_any_order(kind, masked, factors):
    dense, (table, order) = counts(kind), tables(masked, factors)
    dtype = np.uint16 if kind == "counts" else np.float32
    straight = block(dense, dtype), table
    mixed = block(dense[:, order], dtype), replace(table, rank=np.ascontiguousarray(table.rank[order]))
    for k in (1, 7, 64, 128, 449, None):
        one, other = (embed_rows(cells, genes, k=k) for cells, genes in (straight, mixed))
        for name in ("vectors", "n_genes", "coverage", "n_tied"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=f"{name}, k={k}")
        for listed in Order:
            here, there = (
                select_topk(cells, genes, k=k or COLUMNS, order=listed) for cells, genes in (straight, mixed)
            )
            for name in ("genes", "scores", "counts", "n_genes", "totals"):
                np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
