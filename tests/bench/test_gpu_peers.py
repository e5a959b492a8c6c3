"""What the GPU kernel is compared with computes the same, shown on the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench.gpu import cells as gpu_cells
from bench.gpu import peers as gpu_peers

from lexicell_kernels import CsrBlock, parity, reference

pytestmark = pytest.mark.slow


def _distinct(block: CsrBlock) -> CsrBlock:
    rng = np.random.default_rng(0)
    return replace(
        block, data=np.concatenate([rng.permutation(n) + 1 for n in np.diff(block.indptr)]).astype(np.float32)
    )


def _few(block: CsrBlock, rows: int) -> CsrBlock:
    stop = int(block.indptr[rows])
    return replace(
        block, data=block.data[:stop], indices=block.indices[:stop], indptr=block.indptr[: rows + 1]
    )


def test_the_sorting_peer_picks_our_genes_also_among_ties(drawn):
    block, table = drawn
    block = _few(block, 20)
    cells = gpu_peers.prepare(block, table)
    picked = {}

    def keep(genes, weights):
        picked["genes"] = np.sort(genes, axis=1)
        return gpu_peers.pool_by_take(table.vectors, np, chunk=7)(genes, weights)

    z = gpu_peers.sorted_topk(cells, 128, keep, np.sort, np)
    np.testing.assert_array_equal(picked["genes"], reference.select_topk(block, table, k=128).genes)
    expected = reference.embed_rows(block, table, k=128)
    assert (expected.n_tied > 1).mean() > 0.9
    assert np.abs(z - expected.vectors).max() < 1e-5


def test_the_sorting_peer_takes_no_gene_of_the_next_row_where_a_row_is_short():
    case = parity.Case(n_rows=6, longest=40, n_columns=300, in_order=True)
    block, table = parity.block_of(case), parity.table_of(case)
    cells = gpu_peers.prepare(block, table)
    with np.errstate(invalid="ignore"):  # a row without a gene has no length
        z = gpu_peers.sorted_topk(cells, 64, gpu_peers.pool_by_take(table.vectors, np), np.sort, np)
    expected = reference.embed_rows(block, table, k=64)
    some = expected.n_genes > 0
    assert np.abs(z[some] - expected.vectors[some]).max() < 1e-5


def test_the_torch_peers_compute_what_we_do_where_nothing_is_tied(drawn):
    torch = pytest.importorskip("torch")
    block, table = drawn
    block = _distinct(_few(block, 30))
    expected = reference.embed_rows(block, table, k=128)
    cells, vectors = gpu_peers.prepare(block, table), torch.from_numpy(table.vectors)
    dense = torch.cat(gpu_peers.dense_topk(cells, vectors, 128, 8, "cpu")()).numpy()
    assert np.abs(dense - expected.vectors).max() < 1e-5

    def sort(keys):
        return torch.sort(torch.from_numpy(keys)).values.numpy()

    z = gpu_peers.sorted_topk(cells, 128, gpu_peers.pool_by_torch(vectors), sort, np).numpy()
    assert np.abs(z - expected.vectors).max() < 1e-5


def test_peers_are_not_prepared_for_what_their_keys_do_not_hold(drawn):
    block, table = drawn
    shuffled = gpu_cells.random_table(table.rank >= 0, 8, "float16", in_order=False)
    with pytest.raises(ValueError, match="65536"):
        gpu_peers.prepare(block, shuffled)
