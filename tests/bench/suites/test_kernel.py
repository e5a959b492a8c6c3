from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench import scenario
from bench.measure import measure
from bench.suites import kernel
from bench.workbench import Workbench
from tests.bench.conftest import by_group

pytestmark = pytest.mark.slow

ROWS = scenario.load("kernel")
GROUPS = dict(scenario.groups(ROWS))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Workbench(tmp_path_factory.mktemp("bench"), tiny=True)


def _measured(rows, bench):
    with kernel.cases(rows, bench) as cases:
        return {one.case.scenario.what: one for one in measure(cases, 1)}


def _rows(*names):
    return [next(row for row in GROUPS["synthetic"] if row.what == name) for name in names]


@pytest.mark.parametrize("group", by_group(GROUPS))
def test_every_row_has_a_time_that_its_gate_lets_count_or_says_why_not(group, bench):
    with kernel.cases(GROUPS[group], bench) as cases:
        assert [case.scenario for case in cases] == GROUPS[group]
        assert all(case.fairness for case in cases)
        for one in measure(cases, 1):
            if one.empty:
                assert not one.wrong
                assert any(word in one.empty for word in ("CUDA", "LEXICELL_DATA", "threads", "pip install"))
            else:
                assert len(one.seconds) == 1
                assert one.gate["max_error"] < 2e-3
                assert one.gate["cells"] == 20


def test_a_kernel_with_wrong_vectors_gets_no_time_and_peers_keep_theirs(bench, monkeypatch):
    def wrong(block, table, *, k, threads):
        rows = kernel.reference.embed_rows(block, table, k=k)
        rows.vectors[3, 5] += 0.01
        return rows

    monkeypatch.setattr(kernel, "embed_rows", wrong)
    measured = _measured(_rows("lexicell", "argpartition"), bench)
    assert measured["lexicell"].wrong
    assert not measured["lexicell"].seconds
    assert "a vector is off by 0.01" in measured["lexicell"].empty
    assert measured["argpartition"].seconds


def test_a_kernel_that_selects_other_genes_gets_no_time(bench, monkeypatch):
    select = kernel.select_topk

    def wrong(block, table, *, k):
        picks = select(block, table, k=k)
        picks.genes[7, 0] = picks.genes[7, 1] - 1
        return picks

    monkeypatch.setattr(kernel, "select_topk", wrong)
    one = _measured(_rows("lexicell"), bench)["lexicell"]
    assert one.wrong
    assert "other genes" in one.empty


def test_a_kernel_that_counts_other_genes_gets_no_time(bench, monkeypatch):
    embed = kernel.embed_rows

    def wrong(*given, **options):
        rows = embed(*given, **options)
        rows.n_genes[-1] += 1
        return rows

    monkeypatch.setattr(kernel, "embed_rows", wrong)
    assert "number of genes" in _measured(_rows("lexicell"), bench)["lexicell"].empty


@pytest.mark.parametrize("what", ["scipy", "genept-scipy", "genept-dense", "onnx"])
def test_a_peer_with_wrong_vectors_gets_no_time(what, bench, monkeypatch):
    peer = kernel._PEERS[what]

    def make(counts, k, threads):
        run = peer.make(counts, k, threads)

        def wrong():
            parts = run()
            parts[0][4] = parts[0][3]
            return parts

        return wrong

    monkeypatch.setitem(kernel._PEERS, what, replace(peer, make=make))
    one = _measured(_rows(what), bench)[what]
    assert one.wrong
    assert not one.seconds


def test_a_peer_that_misses_a_large_count_gets_no_time(bench, monkeypatch):
    def make(counts, k, threads):
        run = kernel.topk_by_argsort(counts, k + 1, threads)
        return lambda: [part._replace(values=part.values[:, 1:]) for part in run()]

    monkeypatch.setitem(kernel._PEERS, "argsort", replace(kernel._PEERS["argsort"], make=make))
    one = _measured(_rows("argsort"), bench)["argsort"]
    assert one.wrong
    assert "largest counts" in one.empty


def test_a_peer_whose_vectors_are_of_other_genes_than_its_counts_gets_no_time(bench, monkeypatch):
    def make(counts, k, threads):
        run = kernel.topk_by_argsort(counts, k, threads)
        return lambda: [part._replace(vectors=np.roll(part.vectors, 1, axis=0)) for part in run()]

    monkeypatch.setitem(kernel._PEERS, "argsort", replace(kernel._PEERS["argsort"], make=make))
    assert "a vector is off" in _measured(_rows("argsort"), bench)["argsort"].empty


def test_rows_that_this_machine_lacks_something_for_are_empty(bench, monkeypatch):
    (row,) = _rows("lexicell")
    many = replace(row, threads="4096")
    assert "4096 threads" in _measured([many], bench)["lexicell"].empty
    monkeypatch.setattr(kernel.importlib.util, "find_spec", lambda _: None)
    one = _measured(_rows("torch-topk"), bench)["torch-topk"]
    assert "pip install torch" in one.empty
    assert one.case.peer


def test_a_missing_data_set_leaves_all_rows_empty(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("LEXICELL_DATA", str(tmp_path))
    for one in _measured(GROUPS["baron"], bench).values():
        assert "baron_h1_pancreas.h5ad" in one.empty
        assert not one.wrong


def test_a_row_of_an_unknown_kind_is_an_error(bench):
    with (
        pytest.raises(ValueError, match=r"'scpy'.*lexicell, scipy"),
        kernel.cases([replace(ROWS[0], what="scpy")], bench),
    ):
        pass


def test_rows_share_the_cells_of_the_largest(bench):
    large = kernel.Blocks(GROUPS["synthetic"], bench)
    small = replace(ROWS[0], cells="40")
    cut, whole = large.of(small)[0], large.of(ROWS[0])[0]
    assert cut.n_rows == 40
    assert np.shares_memory(cut.data, whole.data)
    np.testing.assert_array_equal(cut.indptr, whole.indptr[:41])
