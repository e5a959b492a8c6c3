from __future__ import annotations

from dataclasses import replace

import numpy as np
from bench.gpu.cells import random_table
from bench.peers.counts import Counts, first, in_threads, joined, slices

from lexicell_kernels import reference


def _parts(block, *starts):
    """Blocks whose offsets begin with 0, as readers give them."""
    for a, b in zip(starts, [*starts[1:], block.n_rows], strict=True):
        at = slice(block.indptr[a], block.indptr[b])
        yield replace(
            block, data=block.data[at], indices=block.indices[at], indptr=block.indptr[a : b + 1] - at.start
        )


def test_the_first_cells_of_blocks_are_those_of_the_whole(drawn):
    block, _ = drawn
    parts = list(_parts(block, 0, 100, 110))
    for n in (1, 100, 105, 300, 999):
        cut = first(parts, n)
        assert sum(part.n_rows for part in cut) == min(n, 300)
        whole = joined(cut)
        stop = block.indptr[min(n, 300)]
        np.testing.assert_array_equal(whole.indptr, block.indptr[: n + 1])
        np.testing.assert_array_equal(whole.data, block.data[:stop])
        np.testing.assert_array_equal(whole.indices, block.indices[:stop])


def test_described_columns_stand_in_the_lexicons_order(drawn):
    block, table = drawn
    block = first([block], 5)[0]
    shuffled = random_table(table.rank >= 0, 4, "float32", in_order=False)
    counts = Counts(block, shuffled)
    assert counts.described.shape == (5, shuffled.n_genes)
    assert counts.described.has_sorted_indices
    for cell, picks in enumerate(reference.select_topk(block, shuffled, k=4_000).genes):
        genes = counts.described.indices[slice(*counts.described.indptr[cell : cell + 2])]
        np.testing.assert_array_equal(genes, picks[picks >= 0])
    np.testing.assert_allclose(
        counts.described @ counts.vectors, counts.x @ counts.by_column, rtol=1e-3, atol=1e-2
    )
    np.testing.assert_allclose(counts.scale, 1e4 / counts.x.toarray().sum(axis=1), rtol=1e-6)


def test_without_ties_no_two_counts_of_a_cell_are_equal_and_none_passes_a_larger_one(drawn):
    block, table = drawn
    apart = Counts(first([block], 20)[0], table).without_ties().block
    for a, b in zip(apart.indptr[:-1], apart.indptr[1:], strict=True):
        small = apart.data[a:b][apart.data[a:b] < 512]  # beyond, float32 has no room for the fraction
        assert len(np.unique(small)) == len(small)
        np.testing.assert_array_equal(np.floor(apart.data[a:b]), block.data[a:b])


def test_parts_keep_their_order_in_threads():
    cut = slices(10, 4)
    assert [(part.start, part.stop) for part in cut] == [(0, 4), (4, 8), (8, 10)]
    for threads in (1, 2):
        assert in_threads(lambda part: part.stop, cut, threads)() == [4, 8, 10]
