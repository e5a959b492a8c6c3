"""Who is labelled, who is asked, and which genes each side sees."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.errors import InputError
from lexicell.evaluation import Panel
from lexicell.evaluation.cells.splits import (
    batch_splits,
    disjoint_splits,
    few_shot_splits,
    partial_splits,
    transfer_splits,
)

SIZES = {"a": 40, "b": 25, "c": 6}


def make(sizes=SIZES, rows=range(60), batch=None, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(list(sizes), list(sizes.values())))
    counts = sp.csr_array(rng.poisson(rng.gamma(1, 1, (len(labels), len(rows)))).astype(np.float32))
    totals = np.asarray(counts.sum(axis=1), np.float32) + 1
    return Panel(counts, np.asarray(list(rows), np.int32), totals, labels, batch, None)


def test_few_shot_draws_n_of_each_class_and_asks_all_others():
    panel = make()
    splits, skipped = few_shot_splits(panel, (3, 10), 4, 0)
    assert [(split.n, split.draw) for split in splits] == [(n, d) for n in (3, 10) for d in range(4)]
    for split in splits:
        known, asked = split.labels
        names, counts = np.unique(known, return_counts=True)
        assert set(counts) == {split.n}
        kept = list("abc") if split.n == 3 else list("ab")
        assert names.tolist() == kept
        both = np.concatenate(split.cells)
        assert len(np.unique(both)) == len(both) == np.isin(panel.labels, kept).sum()
        np.testing.assert_array_equal(split.query.labels, asked)
    assert [(s.n, s.label, s.cells, s.needed) for s in skipped] == [(10, "c", 6, 11)]
    assert not np.array_equal(splits[0].cells[0], splits[1].cells[0])


def test_a_small_draw_is_part_of_a_large_one_and_the_seed_decides():
    panel = make()
    small, large = (few_shot_splits(panel, (n,), 1, 7)[0][0] for n in (3, 5))
    assert set(small.cells[0]) < set(large.cells[0])
    again, other = (few_shot_splits(panel, (3,), 1, seed)[0][0] for seed in (7, 8))
    np.testing.assert_array_equal(small.cells[0], again.cells[0])
    assert not np.array_equal(small.cells[0], other.cells[0])


def test_a_class_needs_a_cell_to_be_asked():
    assert not few_shot_splits(make({"a": 9, "b": 9, "c": 6}), (5,), 1, 0)[1]
    assert few_shot_splits(make({"a": 9, "b": 9, "c": 5}), (5,), 1, 0)[1][0].label == "c"
    with pytest.raises(InputError, match=r"51 cells.* 40"):
        few_shot_splits(make(), (50,), 1, 0)


def test_disjoint_sides_share_neither_cells_nor_genes():
    panel = make()
    splits, skipped = disjoint_splits(panel, 3, 0, n_genes=40, least=20)
    assert [s.label for s in skipped] == ["c"]
    for split in splits:
        reference, query = split.reference, split.query
        assert not set(reference.rows) & set(query.rows)
        assert len(reference.rows) == len(query.rows) == 20
        assert not set(split.cells[0]) & set(split.cells[1])
        assert reference.classes() == {"a": 20, "b": 13}
        assert query.classes() == {"a": 20, "b": 12}
        np.testing.assert_allclose(reference.totals, reference.counts.sum(axis=1))
        assert not split.same_genes
    assert set(splits[0].genes[0]) != set(splits[1].genes[0])
    seen = [set(split.genes[0]) | set(split.genes[1]) for split in splits]
    assert seen[0] == seen[1] == seen[2]  # the most dispersed ones, whichever side has them


def test_partial_panels_are_as_large_as_asked_and_share_as_many_genes_as_asked():
    panel = make(rows=range(5, 65))
    shares = (0, 0.1, 0.5, 1)
    splits, skipped = partial_splits(panel, 3, 0, n_genes=(20, 40), shares=shares, least=20)
    assert [s.label for s in skipped] == ["c"]
    settings = [
        f"{share:.0%} of {n} {kind}" for n in (20, 40) for share in shares for kind in ("variable", "random")
    ]
    possible = [
        name
        for name in settings
        if name not in {f"{share} of 40 {kind}" for share in ("0%", "10%") for kind in ("variable", "random")}
    ]
    assert [split.setting for split in splits] == [name for name in possible for _ in range(3)]
    for split in splits:
        share, n = split.setting.replace("%", "").split(" of ")
        n = int(n.split()[0])
        reference, query = split.reference, split.query
        assert len(reference.rows) == len(query.rows) == n
        assert len(np.intersect1d(reference.rows, query.rows)) == int(share) * n // 100
        assert set(reference.rows) | set(query.rows) <= set(panel.rows)
        assert not set(split.cells[0]) & set(split.cells[1])
        assert (reference.classes(), query.classes()) == ({"a": 20, "b": 13}, {"a": 20, "b": 12})
        np.testing.assert_allclose(query.totals, query.counts.sum(axis=1))
        assert split.scenario == "partial"


def test_partial_panels_are_of_the_most_variable_genes_or_of_any_that_cells_have():
    panel = make(rows=range(60))
    dense = panel.counts.toarray()
    dense[:, 50:] = 0
    panel = Panel(sp.csr_array(dense), panel.rows, dense.sum(axis=1).astype(np.float32) + 1, panel.labels)
    splits, _ = partial_splits(panel, 4, 0, n_genes=(6,), shares=(0.5,), least=20)
    seen = [set(split.genes[0]) | set(split.genes[1]) for split in splits]
    part = panel.take(np.flatnonzero(panel.labels != "c"))
    most = set(highly_variable_columns(part.counts, part.totals, 9))
    assert seen[:4] == [most] * 4
    assert len(set().union(*seen[4:])) > 20
    assert set().union(*seen) < set(range(50))


def test_partial_draws_are_those_of_the_seed():
    first, again, other = (
        partial_splits(make(), 2, seed, n_genes=(20,), shares=(0.1,))[0] for seed in (3, 3, 4)
    )
    for one, two in zip(first, again, strict=True):
        for side in (0, 1):
            np.testing.assert_array_equal(one.cells[side], two.cells[side])
            np.testing.assert_array_equal(one.genes[side], two.genes[side])
    assert not np.array_equal(first[0].cells[0], other[0].cells[0])
    assert not np.array_equal(first[2].genes[0], other[2].genes[0])
    assert not np.array_equal(first[2].genes[0], first[3].genes[0])
    with pytest.raises(InputError, match=r"300.*60"):
        partial_splits(make(), 1, 0)


def test_each_batch_is_left_out_once():
    panel = make({"a": 40, "b": 25})
    batch = np.where(np.arange(65) < 20, "x", np.where(np.arange(65) < 50, "y", "z"))
    lone = panel.labels.copy()
    lone[:2] = "o"
    panel = Panel(panel.counts, panel.rows, panel.totals, lone, batch, None)
    splits, skipped = batch_splits(panel)
    assert len(splits) == 3
    for split, name in zip(splits, "xyz", strict=True):
        assert set(split.query.batch) == {name}
        assert name not in split.reference.batch
    assert len(splits[0].cells[1]) == 18
    assert [(s.label, s.cells) for s in skipped] == [("o", 2)]
    with pytest.raises(InputError, match="--batch-key"):
        batch_splits(make())


def test_a_transfer_goes_by_common_genes_and_by_none():
    reference = make()
    query = make({"A": 10, "b": 8, "new": 4}, range(30, 90), seed=1)
    splits, skipped = transfer_splits(reference, query, 2, 0, names={"A": "a"})
    assert [(s.label, s.cells) for s in skipped] == [("new", 4)]
    common, alone = splits[:2], splits[2:]
    assert {split.setting for split in common} == {"common genes"}
    for split in splits:
        assert split.query.classes() == {"a": 10, "b": 8}
        assert split.reference.classes() == {"a": 20, "b": 13, "c": 3}
    for split in common:
        assert split.same_genes
        assert split.reference.rows.tolist() == split.query.rows.tolist() == list(range(30, 60))
    for split in alone:
        first, second = set(split.reference.rows.tolist()), set(split.query.rows.tolist())
        assert not first & second
        assert first | second == set(range(90))
        assert first >= set(range(30))
        assert second >= set(range(60, 90))
        assert len(first & set(range(30, 60))) == 15


def test_a_transfer_without_a_common_label_names_both_sides():
    with pytest.raises(InputError, match=r"a, b.*--map"):
        transfer_splits(make(), make({"x": 5, "y": 5}), 1, 0)
