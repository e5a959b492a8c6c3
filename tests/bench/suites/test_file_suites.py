"""Every row of the suites that read and write files, on a few cells; and wrong results, which get no time."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from bench import cells, scenario, workbench
from bench.measure import Taken, measure
from bench.peers import loaders
from bench.process import run_process
from bench.suites import _reading, embed, find, pack, start
from bench.suites._runs import Rounds, ranges
from bench.workbench import Workbench
from tests.bench.conftest import by_group, spoil_vectors

from lexicell.counts import open_counts
from lexicell.embedding import pipeline

pytestmark = pytest.mark.slow

SUITES = ("read", "embed", "pack", "start", "dask")
GROUPS = {(suite, name): rows for suite in SUITES for name, rows in scenario.groups(scenario.load(suite))}
GROUPS["embed", "cells"] = GROUPS["embed", "cells"][-1:]  # ten files; one is in the other groups


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Few cells, drawn once; all tests share files and stores, which nobody waits for to be on the disk.

    One command of a kind is run, however many are asked for, and scanpy's not at all: it takes seconds.
    """
    ended = {}

    def run(line):
        kind = line[1] if "embed" in line else tuple(line)
        if kind not in ended:
            ended[kind] = run_process(line)
        return ended[kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workbench, "TINY", 40)
        patch.setattr(cells, "block", cache(cells.block))
        patch.setattr(os, "fsync", lambda _: None)
        for module in (start, embed):
            patch.setattr(module, "run_process", run)
        patch.setitem(start._SCRIPTS, "scanpy", "import json")
        yield Workbench(tmp_path_factory.mktemp("bench"), tiny=True)


def rows_of(suite, group, *words):
    return [row for row in GROUPS[suite, group] if row.what in words]


def measured(bench, suite, rows):
    with find(suite).cases(rows, bench) as listed:
        return measure(listed, 1)


@pytest.mark.parametrize(("suite", "group"), by_group(GROUPS))
def test_every_row_has_a_time_or_says_why_not_and_ours_are_checked(bench, suite, group):
    rows = GROUPS[suite, group]
    made = measured(bench, suite, rows)
    assert [one.case.scenario for one in made] == rows
    for one in made:
        assert not one.wrong, one.empty
        assert bool(one.case.fairness) == one.case.peer
        if one.empty:
            assert one.case.peer or (one.case.scenario.data != "synthetic" and "LEXICELL_DATA" in one.empty)
        else:
            assert min(one.seconds) > 0
            assert one.case.peer or one.gate or suite == "start", one.case.label


def test_a_run_tells_stages_and_what_it_reaches_of_its_parts(bench):
    run = measured(bench, "embed", rows_of("embed", "packed", "run", "read", "compute"))[0]
    assert run.facts["stages"]["kernel"] > 0
    assert 0 < run.facts["share"] < 1
    assert run.facts["bytes_per_cell_out"] > 2 * 256
    assert "peak_mb" not in run.facts


def test_the_share_leaves_the_first_round_out():
    rounds = Rounds()
    taken = iter([9.0, 2.0, 4.0])
    run = rounds.timed("run", 2, lambda: Taken(next(taken), 0.0))
    for _ in range(3):
        run()
    assert rounds.of("run").tolist() == [1, 2]
    assert len(rounds.of("read")) == 0


def test_a_wrong_kernel_gets_no_time(bench, monkeypatch):
    spoil_vectors(monkeypatch)
    made = measured(bench, "embed", rows_of("embed", "packed", "run", "compute"))
    assert all(one.wrong and "off by" in one.empty and not one.seconds for one in made)


def test_wrong_quality_gets_no_time(bench, monkeypatch):
    right = pipeline.embed_rows

    def wrong(*args, **options):
        made = right(*args, **options)
        return replace(made, n_genes=made.n_genes + 1)

    monkeypatch.setattr(pipeline, "embed_rows", wrong)
    made = measured(bench, "dask", rows_of("dask", "local", "threads"))
    assert made[0].wrong
    assert "n_genes differ" in made[0].empty


def test_other_genes_get_no_time(bench, monkeypatch):
    monkeypatch.setattr("bench.suites._runs.select_topk", lambda *_, **__: pytest.fail("not looked at"))
    with pytest.raises(pytest.fail.Exception, match="not looked at"):
        measured(bench, "embed", rows_of("embed", "packed", "compute"))


@pytest.mark.parametrize(
    "change",
    [
        lambda block: replace(
            block,
            data=block.data[:-1],
            indices=block.indices[:-1],
            indptr=np.minimum(block.indptr, len(block.data) - 1),
        ),
        lambda block: replace(block, data=block.data + np.ones(1, block.data.dtype)),
        lambda block: replace(block, indices=block.indices[::-1] ^ 1),
        lambda block: replace(block, indptr=np.r_[block.indptr[:1], block.indptr[2:], block.indptr[-1:]]),
    ],
    ids=["fewer values", "other values", "other genes", "other cells"],
)
def test_counts_that_are_read_wrongly_get_no_time(bench, monkeypatch, change):
    path = bench.path("synthetic", "packed", 40)
    with open_counts(path) as source:
        kind = type(source)
    right = kind.read
    monkeypatch.setattr(kind, "read", lambda *args: change(right(*args)))
    for suite, words in (("read", ["lexicell"]), ("embed", ["read"])):
        (one,) = measured(bench, suite, rows_of(suite, "packed", *words))
        assert one.wrong, suite


def test_a_peer_that_reads_less_gets_no_time(bench, monkeypatch):
    less = replace(loaders.LOADERS["read_zarr"], load=lambda path: (x[:-1] for x in loaders._read_zarr(path)))
    monkeypatch.setitem(loaders.LOADERS, "read_zarr", less)
    (one,) = measured(bench, "read", rows_of("read", "packed", "read_zarr"))
    assert one.wrong


def test_a_peer_whose_package_is_missing_says_which(bench, monkeypatch):
    needing = replace(loaders.LOADERS["sparse_dataset-zarrs"], needs="no_such_package")
    monkeypatch.setitem(loaders.LOADERS, "sparse_dataset-zarrs", needing)
    (one,) = measured(bench, "read", rows_of("read", "packed", "sparse_dataset-zarrs"))
    assert one.empty == "needs the package no_such_package: pip install no_such_package"
    assert not one.wrong


def test_a_part_of_a_package_that_is_missing_is_named_as_pip_knows_it(bench, monkeypatch):
    needing = replace(loaders.LOADERS["scdl"], needs="no_such_package.part")
    monkeypatch.setitem(loaders.LOADERS, "scdl", needing)
    (one,) = measured(bench, "read", rows_of("read", "h5ad-plain", "scdl"))
    assert one.empty == "needs the package no_such_package.part: pip install no_such_package-part"


@pytest.mark.parametrize("suite", ["read", "embed"])
def test_real_cells_that_are_not_here_leave_a_row_without_a_number(bench, monkeypatch, tmp_path, suite):
    monkeypatch.setenv("LEXICELL_DATA", str(tmp_path))
    for one in measured(bench, suite, GROUPS[suite, "pbmc3k"]):
        assert "LEXICELL_DATA" in one.empty or one.case.peer
        assert one.empty
        assert not one.wrong


def test_an_atlas_with_another_count_gets_no_time(bench, monkeypatch):
    def wrong(row, bench):
        x = Workbench.matrix(bench, row).copy()
        x.data[-1] += 1
        return x

    monkeypatch.setattr(bench, "matrix", lambda row: wrong(row, bench))
    (one, *_) = measured(bench, "pack", GROUPS["pack", "packed"][:1])
    assert one.wrong
    assert "data of cells from 0 on" in one.empty


def test_a_damaged_atlas_gets_no_time(bench, monkeypatch):
    right = pack.pack

    def damaging(paths, out, **options):
        right(paths, out, **options)
        shard = next(file for file in (out / "X/data/c").rglob("*") if file.is_file())
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)

    monkeypatch.setattr(pack, "pack", damaging)
    (one,) = measured(bench, "pack", GROUPS["pack", "packed"][:1])
    assert one.wrong
    assert "not as written" in one.empty


def test_rows_that_follow_one_another_are_ranges():
    assert ranges([3, 4, 5, 9, 11, 12]) == [(3, 6), (9, 10), (11, 13)]


def test_sums_tell_cells_in_another_order_apart():
    x = cells.block(0)[:50]
    there, back = _reading.sums(0, x), _reading.sums(0, x[::-1])
    assert there[:3].tolist() == back[:3].tolist()
    assert there[3] != back[3]
    parts = _reading.sums(0, x[:20]) + _reading.sums(20, x[20:])
    assert parts.tolist() == there.tolist()
