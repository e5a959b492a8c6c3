"""Real counts, real genes: the tie rule where it matters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lexicell.counts import Values, open_counts
from lexicell.embedding import fold
from lexicell.embedding.candidates import CandidateGenes
from lexicell.lexicon import align_genes
from lexicell_kernels import CsrBlock, GeneTable, Order, Weight, cpu, parity, reference


def rows_of(block: CsrBlock, rows: np.ndarray) -> CsrBlock:
    """Some rows of a block."""
    parts = [np.arange(block.indptr[r], block.indptr[r + 1]) for r in rows]
    at = np.concatenate(parts)
    indptr = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64)
    return CsrBlock(data=block.data[at], indices=block.indices[at], indptr=indptr, n_columns=block.n_columns)


def shuffled(block: CsrBlock, table: GeneTable) -> tuple[CsrBlock, GeneTable]:
    """The same cells with columns in another order, as another file would have them (rows stay sorted)."""
    new_place = np.random.default_rng(3).permutation(block.n_columns)
    indices, data = new_place[block.indices].astype(np.int32), block.data.copy()
    for a, b in zip(block.indptr[:-1], block.indptr[1:], strict=True):
        order = np.argsort(indices[a:b])
        indices[a:b], data[a:b] = indices[a:b][order], data[a:b][order]
    rank = np.empty_like(table.rank)
    rank[new_place] = table.rank
    return replace(block, data=data, indices=indices), replace(table, rank=rank)


@pytest.fixture(scope="module", params=["pbmc3k", "baron"])
def problem(request, data, bundled):
    adata = request.getfixturevalue(request.param)
    with open_counts(adata) as source:
        folded = fold(bundled, CandidateGenes.of(align_genes(bundled, source.var).rows))
        return folded.genes.counts(source.read(0, source.n_cells), Values.COUNTS), folded.table


@pytest.mark.parametrize("k", [16, 64, 128, 1024])
def test_both_backends_pick_the_same_genes_in_every_cell_and_any_column_order(problem, k):
    block, table = problem
    expected = reference.select_topk(block, table, k=k)
    for case in ((block, table), shuffled(block, table)):
        found = cpu.select_topk(*case, k=k)
        for field in expected.__slots__:
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=field)


@pytest.mark.parametrize("k", [16, 64, 128, 1024, None])
def test_vectors_are_the_references_and_bit_equal_in_any_column_order(problem, k):
    block, table = problem
    some = rows_of(block, np.sort(np.random.default_rng(0).permutation(block.n_rows)[:150]))
    for weight in (Weight.LOG1P, Weight.RANK):
        parity.check_block(cpu, some, table, k=k, weight=weight)
        here = cpu.embed_rows(some, table, k=k, weight=weight)
        there = cpu.embed_rows(*shuffled(some, table), k=k, weight=weight)
        for field in here.__slots__:
            np.testing.assert_array_equal(getattr(there, field), getattr(here, field), err_msg=field)


def test_most_cells_are_cut_through_a_group_of_equal_counts(problem):
    """Why the tie rule is part of the definition; without it these picks would be anyone's."""
    block, table = problem
    rows = cpu.embed_rows(block, table, k=128)
    assert (rows.n_tied > 1).mean() > 0.9
    picks = cpu.select_topk(block, table, k=128, order=Order.SCORE)
    last = picks.scores[:, -1:]
    np.testing.assert_array_equal((picks.scores >= last).all(axis=1), picks.n_genes == 128)
