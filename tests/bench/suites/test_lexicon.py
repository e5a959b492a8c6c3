from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench import scenario
from bench.measure import measure
from bench.suites import lexicon
from bench.workbench import Workbench

pytestmark = pytest.mark.slow

GROUPS = dict(scenario.groups(scenario.load("lexicon")))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Workbench(tmp_path_factory.mktemp("bench"), tiny=True)


@pytest.fixture
def cache(encoder_cache, monkeypatch, tmp_path):
    """Empty but for the exported models that all tests share."""
    (encoder_cache / "encoders").mkdir(parents=True, exist_ok=True)
    (tmp_path / "encoders").symlink_to(encoder_cache / "encoders")
    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path))
    return tmp_path


def _measured(rows, bench):
    with lexicon.cases(rows, bench) as cases:
        return measure(cases, 1)


@pytest.mark.parametrize("group", GROUPS)
def test_every_row_has_a_time_that_its_gate_lets_count(group, bench, cache):
    pytest.importorskip("torch")
    measured = _measured(GROUPS[group], bench)
    assert [one.case.scenario for one in measured] == GROUPS[group]
    for one in measured:
        assert one.seconds, one.empty
        assert 0 <= one.gate["max_error"] < 1e-4
        assert one.case.unit == group.replace("fold", "tables")
        assert one.case.fairness or not one.case.peer
    assert not (cache / "vectors").exists()


def test_wrong_vectors_get_no_time_ours_or_a_peers(bench, cache, monkeypatch):
    pytest.importorskip("torch")
    load = lexicon.transformer.load
    monkeypatch.setattr(
        lexicon.transformer, "load", lambda *, sort: lambda texts: np.roll(load(sort=sort)(texts), 1, axis=0)
    )
    build = lexicon.build_lexicon

    def other_order(table, out, **options):
        built = build(table, out, **options)

        class Wrong:
            rows = built.rows

            def vectors(self, rows):
                return built.vectors(rows[::-1])

        return Wrong()

    monkeypatch.setattr(lexicon, "build_lexicon", other_order)
    for one in _measured(GROUPS["texts"][:2], bench):
        assert one.wrong
        assert "cosine" in one.empty
        assert not one.seconds


def test_without_the_models_packages_the_rows_are_empty(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(lexicon.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("LEXICELL_CACHE", str(tmp_path))

    def absent(_):
        raise lexicon.LexicellError("Encoding gene texts needs packages")

    monkeypatch.setattr(lexicon, "load_encoder", absent)
    ours, *peers = _measured(GROUPS["texts"], bench)
    assert "needs packages" in ours.empty
    assert all("pip install" in peer.empty for peer in peers)


def test_a_wrong_fold_gets_no_time(bench, monkeypatch):
    right = lexicon.fold

    def wrong(*given):
        folded = right(*given)
        table = folded.table
        return replace(folded, table=replace(table, vectors=np.roll(table.vectors, 1, axis=0)))

    monkeypatch.setattr(lexicon, "fold", wrong)
    folds = [row for row in GROUPS["fold"] if row.what == "fold"]
    assert all(one.wrong for one in _measured(folds, bench))


def test_a_wrong_alignment_gets_no_time(bench, monkeypatch):
    right = lexicon.align_genes

    def wrong(*given):
        alignment = right(*given)
        return replace(alignment, rows=np.where(alignment.rows >= 0, alignment.rows[::-1], -1))

    monkeypatch.setattr(lexicon, "align_genes", wrong)
    (one,) = _measured([row for row in GROUPS["fold"] if row.what == "align"], bench)
    assert "wrong gene, or none" in one.empty


def test_a_row_of_an_unknown_kind_is_an_error(bench):
    row = replace(GROUPS["fold"][0], what="folds")
    with pytest.raises(ValueError, match="no 'folds'"), lexicon.cases([row], bench):
        pass
