from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench import scenario
from bench.measure import measure
from bench.suites import ranking
from bench.workbench import Workbench
from tests.bench.conftest import by_group

pytestmark = pytest.mark.slow

GROUPS = dict(scenario.groups(scenario.load("ranking")))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Workbench(tmp_path_factory.mktemp("bench"), tiny=True)


def _measured(rows, bench):
    with ranking.cases(rows, bench) as cases:
        return {one.case.scenario.what: one for one in measure(cases, 1)}


@pytest.mark.parametrize("group", by_group(GROUPS))
def test_every_row_has_a_time_that_its_gate_lets_count_or_says_why_not(group, bench):
    with ranking.cases(GROUPS[group], bench) as cases:
        assert [case.scenario for case in cases] == GROUPS[group]
        assert all(case.fairness for case in cases)
        for one in measure(cases, 1):
            if one.empty:
                assert "LEXICELL_DATA" in one.empty
                continue
            assert len(one.seconds) == 1
            assert one.gate["cells"] == 20
            assert one.gate["max_error"] <= (1e-6 if one.case.peer else 0)


@pytest.mark.parametrize("group", ["sentences", "tokens"])
def test_a_kernel_that_orders_genes_otherwise_gets_no_time_and_peers_keep_theirs(group, bench, monkeypatch):
    select = ranking.cpu.select_topk

    def wrong(*given, **options):
        picks = select(*given, **options)
        picks.genes[2, :2] = picks.genes[2, 1::-1]
        return picks

    monkeypatch.setattr(ranking.cpu, "select_topk", wrong)
    for one in _measured(GROUPS[group], bench).values():
        assert one.wrong != one.case.peer
        assert bool(one.seconds) == one.case.peer


def _swapped(lists):
    """The first gene and the last of a list change places."""
    words = lists[5].split() if isinstance(lists[5], str) else list(lists[5])
    words[0], words[-1] = words[-1], words[0]
    lists[5] = " ".join(words) if isinstance(lists[5], str) else np.array(words)
    return lists


def _repeated(lists):
    """The last gene of a list is there twice."""
    words = lists[5].split() if isinstance(lists[5], str) else list(lists[5])
    words[-2] = words[-1]
    lists[5] = " ".join(words) if isinstance(lists[5], str) else np.array(words)
    return lists


@pytest.mark.parametrize("change", [_swapped, _repeated])
@pytest.mark.parametrize(("group", "loop"), [("sentences", "sentences"), ("tokens", "rank_values")])
def test_a_loop_with_other_genes_gets_no_time(group, loop, change, bench, monkeypatch):
    right = getattr(ranking, loop)
    monkeypatch.setattr(ranking, loop, lambda *given: change(right(*given)))
    for one in _measured(GROUPS[group], bench).values():
        assert one.wrong == one.case.peer


def test_rows_that_this_machine_lacks_something_for_are_empty(bench, monkeypatch, tmp_path):
    row = GROUPS["sentences"][0]
    assert "4096 threads" in _measured([replace(row, threads="4096")], bench)[row.what].empty
    monkeypatch.setenv("LEXICELL_DATA", str(tmp_path))
    for one in _measured(GROUPS["tokens-pbmc3k"], bench).values():
        assert "pbmc3k_raw_labelled.h5ad" in one.empty


def test_a_row_of_an_unknown_kind_is_an_error(bench):
    row = replace(GROUPS["sentences"][0], what="lexicel")
    with pytest.raises(ValueError, match="no 'lexicel'"), ranking.cases([row], bench):
        pass
