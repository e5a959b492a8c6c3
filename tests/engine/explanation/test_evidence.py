"""What is told of contributions: planted markers, texts that agree, donors, and adjusted p-values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import kstest, ttest_rel
from tests.engine.explanation.conftest import MARKERS

import lexicell
from lexicell.embedding.events import ignore
from lexicell.errors import InputError
from lexicell.explanation.evidence import Contrast, Donors, adjusted, like_expression, shuffled_within
from lexicell.explanation.sums import _SQUARE_UNIT, _UNIT, GroupSums


def explained(adata, **options):
    given = {"group": "kind", "sets": None, "permutations": 200, "listener": ignore} | options
    return lexicell.explain(adata, **given)


def test_planted_markers_contribute_most(donors):
    found = explained(donors)
    assert found.groups.index.tolist() == ["B", "myeloid", "other"]
    for name, genes in MARKERS.items():
        first = found.genes[found.genes["group"] == name].head(10)
        assert set(genes) <= set(first[first["share_of_cells"] > first["share_of_rest"]]["gene"])
    for _, part in found.genes.groupby("group"):
        assert part["more"].is_monotonic_decreasing
        assert part[part["more"]]["contribution"].is_monotonic_decreasing
        assert part[~part["more"]]["contribution"].is_monotonic_decreasing
        assert ((part["in_group"].abs() > part["in_rest"].abs()) == part["more"])[
            part["contribution"] != 0
        ].all()


def test_two_groups_are_compared_with_each_other_only(donors):
    found = explained(donors, contrast=("B", "myeloid"))
    assert found.groups.index.tolist() == ["B"]
    assert found.facts["reference"] == "myeloid"
    without = donors[donors.obs["kind"].isin(["B", "myeloid"])].copy()
    alone = explained(without)
    mine = alone.genes[alone.genes["group"] == "B"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.genes, mine)
    turned = explained(donors, contrast=("myeloid", "B"))
    assert turned.groups.loc["myeloid", "score"] == pytest.approx(found.groups.loc["B", "score"])


def sums_of(means, sizes, scale=1.0):
    """Sums as of cells that all have the same values."""
    means, sizes = np.asarray(means, np.float64), np.asarray(sizes)
    whole = np.rint(means * sizes[:, None] / _UNIT).astype(np.int64)
    squares = np.rint(means**2 * sizes[:, None] / _SQUARE_UNIT).astype(np.int64)
    counts = np.where(means > 0, sizes[:, None], 0)
    return GroupSums(
        sizes, 0 * sizes, np.rint(sizes / _UNIT).astype(np.int64),
        *(sp.csr_array(part) for part in (counts, whole, squares)), scale=scale,
    )  # fmt: skip


def test_p_values_tell_texts_that_agree_from_texts_that_do_not():
    """Genes of one module have like rows; their p-values are small, those of the others even."""
    rng = np.random.default_rng(0)
    m, p, module = 400, 64, 30
    table = rng.standard_normal((m, p)).astype(np.float32)
    table[:module] = table[0] + rng.standard_normal((module, p)) * 0.7
    means = np.stack([rng.uniform(0.01, 0.02, m), np.full(m, 0.015)])
    means[:, :module] += [[0.005], [-0.005]]
    contrast = Contrast.between(sums_of(means, [100, 200]), table, np.zeros(p))
    found = contrast.p_values(400, seed=1)
    assert np.median(found[:module]) < 0.02
    assert kstest(found[module:], "uniform").statistic < 0.12
    even = rng.standard_normal((m, p)).astype(np.float32)
    none = Contrast.between(sums_of(means, [100, 200]), even, np.zeros(p)).p_values(400, seed=1)
    assert kstest(none, "uniform").statistic < 0.12  # that sides express genes differently is no evidence
    long = even * np.linspace(0.2, 5, m)[rng.permutation(m), None].astype(np.float32)
    none = Contrast.between(sums_of(means, [100, 200]), long, np.zeros(p)).p_values(400, seed=1)
    assert kstest(none[np.linalg.norm(long, axis=1) > 30], "uniform").statistic < 0.2  # nor is a long row
    np.testing.assert_array_equal(found, contrast.p_values(400, seed=1))
    assert (found != contrast.p_values(400, seed=2)).any()


def test_agreement_is_what_is_left_without_a_genes_own_row():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((50, 8)).astype(np.float32)
    bias = rng.standard_normal(8)
    means = rng.uniform(0.01, 0.1, (2, 50))
    contrast = Contrast.between(sums_of(means, [10, 20]), table, bias)
    difference = means[0] - means[1]
    whole = difference @ table
    others = whole - difference[:, None] * table
    expected = difference * np.einsum("ij,ij->i", table, others) / np.linalg.norm(whole)
    np.testing.assert_allclose(contrast.agreement, expected, atol=1e-7)
    given = Contrast(contrast.sides, contrast.vector, table, bias)
    np.testing.assert_array_equal(given.agreement, given.contributions)


def test_genes_that_few_cells_use_are_not_tested(donors):
    found = explained(donors).genes
    rare = found[["share_of_cells", "share_of_rest"]].max(axis=1) < 0.05
    assert rare.any()
    assert (found["p_value"].isna() == rare).all()
    for _, part in found.groupby("group"):
        known = part["p_value"].dropna().to_numpy()
        order = np.argsort(known)
        by_hand = np.minimum.accumulate((known[order] * len(known) / np.arange(1, len(known) + 1))[::-1])[
            ::-1
        ]
        np.testing.assert_allclose(part["p_adjusted"].dropna().to_numpy()[order], by_hand.clip(max=1))


def test_shuffles_keep_bins_of_like_expression():
    mean = np.random.default_rng(0).exponential(size=230)
    bins = like_expression(mean)
    assert sorted(np.concatenate(bins).tolist()) == list(range(230))
    assert min(map(len, bins)) >= 20
    assert max(mean[bins[0]]) <= min(mean[bins[1]])
    batches = list(shuffled_within(bins, 530, 0))
    assert [len(batch) for batch in batches] == [500, 30]
    for part in bins:
        assert (np.sort(batches[1][:, part], axis=1) == part).all()
    assert (batches[0] != np.arange(230)).mean() > 0.9


def test_donors_are_the_samples(donors, notes):
    """A donor's whim is no evidence: cells by the hundred would make it one."""
    rng = np.random.default_rng(0)
    x = donors.X.toarray()
    at = donors.var_names.get_loc("FCER1A")
    odd = ((donors.obs["donor"] == "d2") & (donors.obs["kind"] == "B")).to_numpy()
    x[:, at] = 0
    x[odd, at] = rng.poisson(40, odd.sum()) + 5
    donors.X = sp.csr_matrix(x)
    found = explained(donors, donor="donor", listener=notes)
    assert found.groups.loc["B", "inference"] == "paired t-test of 6 donors"
    assert found.groups.loc["B", ["donors", "donors_rest"]].tolist() == [6, 6]
    mine = found.genes[found.genes["group"] == "B"].set_index("gene")
    assert mine.loc["CD79A", "donor_p_adjusted"] < 1e-3
    assert mine.loc["FCER1A", "contribution"] > 0
    assert mine.loc["FCER1A", "donor_p_value"] > 0.2
    assert not any("without inference" in text for text in notes)


def test_donors_means_are_compared_by_a_paired_test():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((30, 4)).astype(np.float32)
    first, second = rng.uniform(0.05, 0.1, (5, 30)), rng.uniform(0.05, 0.1, (5, 30))
    sides = sums_of(np.stack([first.mean(axis=0), second.mean(axis=0)]), [100, 100])
    contrast = Contrast.between(sides, table, np.zeros(4))
    both = [sums_of(side, np.full(5, 20)) for side in (first, second)]
    found = Donors.of(contrast, *both)
    np.testing.assert_allclose(found.p_values, ttest_rel(first, second).pvalue, rtol=1e-3)
    six, sizes = np.vstack([first, second[:1]]), np.array([20, 20, 20, 0, 0, 0])
    apart = sums_of(six, sizes), sums_of(six, sizes[::-1])
    assert Donors.of(contrast, *apart).inference == "Welch's t-test of 3 and 3 donors"
    some = sums_of(first, np.full(5, 20)), sums_of(second, np.array([20, 20, 20, 0, 0]))
    assert Donors.of(contrast, *some).inference == (
        "paired t-test of 3 donors, without 2 that have cells on one side only"
    )


def test_donors_of_whom_a_few_are_on_both_sides_are_not_taken_for_independent():
    table = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    means = np.random.default_rng(1).uniform(0.05, 0.1, (6, 30))
    contrast = Contrast.between(sums_of(means[:2], [100, 100]), table, np.zeros(4))
    sizes = np.array([20, 20, 20, 20, 0, 0])
    found = Donors.of(contrast, sums_of(means, sizes), sums_of(means, sizes[::-1]))
    assert found.inference == "no inference: 2 donors have cells on both sides, too few to pair"
    assert np.isnan(found.p_values).all()


def test_cells_of_no_donor_are_left_out(donors, notes):
    whose = donors.obs["donor"].to_numpy(object).copy()
    whose[:60] = np.nan
    donors.obs["donor"] = whose
    found = explained(donors, donor="donor", listener=notes)
    alone = explained(donors[60:].copy(), donor="donor")
    pd.testing.assert_frame_equal(found.groups, alone.groups)
    assert "60 cells have no donor; they are left out" in notes


def test_groups_whose_cells_have_no_donor_are_refused(donors):
    donors.obs["donor"] = np.where(donors.obs["kind"] == "B", donors.obs["donor"], None)
    for options in ({}, {"contrast": ("B", "other")}):
        with pytest.raises(InputError, match="with a donor"):
            explained(donors, donor="donor", **options)


@pytest.mark.parametrize("few", ["donors", "cells"])
def test_fewer_than_three_donors_a_side_say_nothing(donors, notes, few):
    if few == "donors":
        donors.obs["donor"] = np.where(donors.obs["donor"].isin(["d0", "d1", "d2"]), "one", "two")
    else:  # nine cells of a donor are not enough
        donors.obs["donor"] = [f"d{i // 27}" for i in range(360)]
    found = explained(donors, donor="donor", listener=notes)
    assert found.genes["donor_p_value"].isna().all()
    assert found.groups["inference"].str.startswith("no inference").all()
    assert any("3 of 3 groups are without inference" in text for text in notes)
    assert found.genes["contribution"].notna().all()


def test_adjusted_p_values_leave_out_what_was_not_tested():
    p = np.array([0.01, np.nan, 0.04, 0.03])
    np.testing.assert_allclose(adjusted(p), [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(adjusted(np.full(3, np.nan))).all()
