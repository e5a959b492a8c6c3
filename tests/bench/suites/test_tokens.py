from __future__ import annotations

import pytest
from bench import scenario, workbench
from bench.measure import measure
from bench.real_data import data_folder
from bench.suites import tokens
from bench.workbench import Workbench
from tests.bench.conftest import by_group

pytestmark = pytest.mark.slow

GROUPS = dict(scenario.groups(scenario.load("tokens")))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workbench, "TINY", 60)
        patch.delenv("LEXICELL_BENCH_SLAF", raising=False)
        yield Workbench(tmp_path_factory.mktemp("bench"), tiny=True)


def _measured(rows, bench):
    with tokens.cases(rows, bench) as cases:
        assert [case.scenario for case in cases] == rows
        return measure(cases, 1)


@pytest.mark.parametrize("group", by_group(GROUPS))
def test_every_row_has_a_time_that_its_gate_lets_count_or_says_why_not(group, bench):
    numbers = set()
    for one in _measured(GROUPS[group], bench):
        assert bool(one.case.fairness) == one.case.peer
        if one.empty:
            assert not one.wrong, one.empty
            assert "slafdb" in one.empty or "LEXICELL_DATA" in one.empty
            continue
        assert len(one.seconds) == 1
        assert one.case.unit == "tokens"
        assert one.gate["max_error"] <= 1e-6
        numbers.add(one.case.n)
    there = group == "synthetic" or (data_folder() / "expr" / "pbmc3k_raw_labelled.h5ad").is_file()
    assert len(numbers) == int(there)


def _fewer(lists):
    return [*lists[:-1], lists[-1][:-1]]


def _in_another_order(lists):
    lists[0][[0, -1]] = lists[0][[-1, 0]]
    return lists


def _repeated(lists):
    lists[0][1] = lists[0][0]
    return lists


@pytest.mark.parametrize("change", [_fewer, _in_another_order, _repeated, lambda lists: lists[::-1]])
def test_wrong_tokens_get_no_time_ours_or_a_peers(bench, monkeypatch, change):
    right = tokens._written
    monkeypatch.setattr(tokens, "_written", lambda *given: change(right(*given)))
    for one in _measured(GROUPS["synthetic"][:2], bench):
        assert one.wrong
        assert not one.seconds


def test_cells_that_are_not_here_leave_rows_without_a_number(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("LEXICELL_DATA", str(tmp_path))
    for one in _measured(GROUPS["pbmc3k"], bench):
        assert "pbmc3k_raw_labelled.h5ad" in one.empty
        assert not one.wrong
