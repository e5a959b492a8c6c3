from __future__ import annotations

import numpy as np
import pytest
from bench.peers import dense_topk
from bench.peers.counts import Counts, first

from lexicell_kernels import reference

PEERS = [dense_topk.topk_by_argpartition, dense_topk.topk_by_argsort, dense_topk.topk_by_torch]


@pytest.fixture(scope="module")
def counts(drawn):
    block, table = drawn
    return Counts(first([block], 70)[0], table)


@pytest.mark.parametrize("peer", PEERS)
def test_the_largest_counts_are_picked_and_without_ties_our_genes(counts, peer):
    if peer is dense_topk.topk_by_torch:
        pytest.importorskip("torch")
    values = np.concatenate([part.values for part in peer(counts, 64, 2)()])
    defined = reference.select_topk(counts.block, counts.table, k=64)
    np.testing.assert_array_equal(np.sort(values), np.sort(defined.scores))
    apart = counts.without_ties()
    z = np.concatenate([part.vectors for part in peer(apart, 64, 1)()])
    assert np.abs(z - reference.embed_rows(apart.block, apart.table, k=64).vectors).max() < 1e-5


@pytest.mark.parametrize("peer", PEERS[:2])
def test_k_may_be_all_genes(counts, peer):
    few = Counts(first([counts.block], 3)[0], counts.table)
    (part,) = peer(few, counts.table.n_genes, 1)()
    assert part.values.shape == (3, counts.table.n_genes)
    assert np.abs(part.vectors - reference.embed_rows(few.block, few.table, k=None).vectors).max() < 1e-5
