"""Membership is predicted as the benchmark does, the same whatever runs beside it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lexicell.errors import InputError, MissingExtraError
from lexicell.evaluation import (
    CONTROLS,
    MembershipProtocol,
    control_vectors,
    match_gene_sets,
    name_leak,
    predict_membership,
    read_gene_sets,
)
from lexicell.evaluation.genes.membership import draw_split, held_out_auroc
from lexicell.lexicon.gene_sets import MatchedSets, Term

QUICK = MembershipProtocol(costs=(1.0, 100.0))


@pytest.fixture
def sets(clustered, gmt) -> MatchedSets:
    return match_gene_sets(clustered, read_gene_sets(gmt))


def _term(n: int = 40, pool: int = 900, groups: int = 0) -> Term:
    rows = np.arange(n, n + pool, dtype=np.int32)
    return Term(
        "T", "t", np.arange(n, dtype=np.int32), rows, tuple(np.array_split(rows, groups)) if groups else ()
    )


def test_members_are_told_from_others_and_controls_guess(clustered, sets):
    own = clustered.vectors(clustered.rows)
    controls = {name: control_vectors(own, name, seed=0).__getitem__ for name in CONTROLS}
    found = predict_membership(sets, {"ours": clustered.vectors, **controls}, QUICK)
    assert found.tables == ("ours", "shuffled", "random")
    assert found.by_term("ours").min() > 0.9
    for control in ("shuffled", "random"):
        assert abs(found.by_term(control).mean() - 0.5) < 0.1
    assert found.as_dict()["C3"]["positives"] == 60
    assert found.as_dict()["C3"]["negatives"] == 540


def test_the_numbers_do_not_depend_on_threads_order_or_other_sets(clustered, sets):
    def by_id(terms, threads: int) -> dict[str, float]:
        some = MatchedSets("s", tuple(terms), (), 1, 1)
        found = predict_membership(some, {"ours": clustered.vectors}, QUICK, threads=threads)
        return dict(zip((term.id for term in terms), found.auroc[:, 0, 0].tolist(), strict=True))

    everything = by_id(sets.terms, threads=3)
    assert by_id(sets.terms[::-1], threads=1) == everything
    assert by_id(sets.terms[4:6], threads=1).items() <= everything.items()


def test_a_split_holds_ten_negatives_for_each_positive_and_a_fifth_out():
    split = draw_split(_term(47), MembershipProtocol())
    held = split.fold < 0
    assert (split.positive.sum(), (~split.positive).sum()) == (47, 470)
    assert (split.positive[held].sum(), (~split.positive[held]).sum()) == (9, 94)
    assert [int(split.positive[split.fold == fold].sum()) for fold in range(3)] == [13, 13, 12]
    assert [int((~split.positive[split.fold == fold]).sum()) for fold in range(3)] == [126, 125, 125]
    assert len(set(split.rows.tolist())) == len(split.rows)
    assert (split.rows[split.positive] < 47).all()
    assert (split.rows[~split.positive] >= 47).all()


def test_each_seed_repeat_and_term_draws_anew_but_always_the_same():
    def drawn(term: Term, seed: int, repeat: int) -> tuple[int, ...]:
        return tuple(draw_split(term, MembershipProtocol(seed=seed), repeat).rows.tolist())

    one = _term()
    other = Term("U", "u", one.positives, one.pool)
    assert drawn(one, 0, 0) == drawn(one, 0, 0)
    assert len({drawn(one, 0, 0), drawn(one, 0, 1), drawn(one, 1, 0), drawn(other, 0, 0)}) == 4


def test_negatives_come_evenly_from_the_groups_and_the_rest_from_the_pool():
    small, large = np.arange(100, 130, dtype=np.int32), np.arange(130, 1000, dtype=np.int32)
    term = Term("T", "t", np.arange(20, dtype=np.int32), np.concatenate([small, large]), (small, large))
    split = draw_split(term, MembershipProtocol())
    negatives = split.rows[~split.positive]
    assert len(negatives) == 200
    assert np.isin(negatives, small).sum() == 30  # all of the small group: 100 were wanted
    uneven = Term("T", "t", term.positives, term.pool, (large[:400], large[400:]))
    negatives = draw_split(uneven, MembershipProtocol()).rows[20:]
    assert np.isin(negatives, large[:400]).sum() == 100


def test_a_pool_that_is_too_small_is_taken_whole_and_one_without_genes_is_refused():
    assert (~draw_split(_term(40, pool=90), MembershipProtocol()).positive).sum() == 90
    with pytest.raises(InputError, match=r"3 genes.* 40"):
        draw_split(_term(40, pool=3), MembershipProtocol())


def test_large_sets_are_sampled():
    split = draw_split(_term(400, pool=3000), MembershipProtocol(most_genes=100))
    assert split.positive.sum() == 100
    assert split.rows[split.positive].max() > 100


def _plain(vectors: np.ndarray, split, protocol: MembershipProtocol) -> float:
    """The benchmark's way: an RBF SVM of scikit-learn on the vectors themselves."""
    from sklearn.metrics import roc_auc_score
    from sklearn.svm import SVC

    def auroc(cost: float, fitted: np.ndarray, tested: np.ndarray) -> float:
        model = SVC(C=cost, class_weight="balanced").fit(vectors[fitted], split.positive[fitted])
        return roc_auc_score(split.positive[tested], model.decision_function(vectors[tested]))

    folds = range(protocol.folds)
    tried = {
        cost: np.mean([auroc(cost, (split.fold >= 0) & (split.fold != f), split.fold == f) for f in folds])
        for cost in protocol.costs
    }
    return auroc(max(tried, key=tried.get), split.fold >= 0, split.fold < 0)


@pytest.mark.parametrize("term", [0, 7, 20])
def test_the_score_is_that_of_a_plain_svm_on_real_vectors(bundled, term):
    term = match_gene_sets(bundled, read_gene_sets("go-bp")).terms[term]
    split = draw_split(term, MembershipProtocol())
    vectors = bundled.vectors(split.rows)
    found = held_out_auroc(vectors, split, MembershipProtocol())
    assert 0.6 < found < 1
    assert found == pytest.approx(_plain(vectors.astype(float), split, MembershipProtocol()), abs=1e-3)


def test_vectors_that_are_all_the_same_score_as_a_guess():
    split = draw_split(_term(), MembershipProtocol())
    assert held_out_auroc(np.ones((len(split.rows), 4), np.float32), split, QUICK) == 0.5


def test_names_in_texts_are_counted_whatever_their_case(clustered, sets):
    leak = name_leak(clustered, sets)
    np.testing.assert_allclose(leak.positives, 0.5)
    np.testing.assert_allclose(leak.negatives, 0)
    np.testing.assert_allclose(leak.auroc, 0.75)
    assert leak.matters


def test_texts_that_name_nothing_or_are_not_there_give_nothing_away(make_lexicon, gmt):
    silent = make_lexicon(np.random.default_rng(0).standard_normal((600, 2)).astype("f4"), name="silent")
    leak = name_leak(silent, match_gene_sets(silent, read_gene_sets(gmt)))
    assert not leak.matters
    np.testing.assert_allclose(leak.auroc, 0.5)
    bare = make_lexicon(silent.vectors(silent.rows), [None] * 600, name="bare")
    assert name_leak(bare, match_gene_sets(bare, read_gene_sets(gmt))) is None


def test_the_bundled_lexicon_is_known_to_hold_the_names_of_go_terms(bundled):
    leak = name_leak(bundled, match_gene_sets(bundled, read_gene_sets("go-bp")))
    assert leak.matters
    assert leak.positives.mean() > 0.3
    assert leak.negatives.mean() < 0.01


def test_progress_ends_with_all_terms(clustered, sets):
    calls: list[tuple[int, int]] = []
    protocol = MembershipProtocol(costs=(1.0,), repeats=2)
    found = predict_membership(
        sets, {"ours": clustered.vectors}, protocol, progress=lambda *call: calls.append(call)
    )
    assert calls[-1] == (10, 10)
    assert calls == sorted(calls)
    assert found.auroc.shape == (10, 1, 2)
    np.testing.assert_allclose(found.by_term("ours"), found.auroc[:, 0].mean(axis=1))


def test_no_set_to_predict_is_an_error_that_names_the_largest(clustered, gmt):
    none = match_gene_sets(clustered, read_gene_sets(gmt), least=61)
    with pytest.raises(InputError, match="the largest has 60"):
        predict_membership(none, {"ours": clustered.vectors})


def test_a_missing_extra_gives_the_pip_line(monkeypatch, clustered, sets):
    for name in [m for m in sys.modules if m.partition(".")[0] == "sklearn"] or ["sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lexicell\[evaluate\]"'):
        predict_membership(sets, {"ours": clustered.vectors})
