"""A profile tells where the time of a run went, of whichever kind the run is, and changes nothing of it."""

from __future__ import annotations

import json
from itertools import pairwise

import anndata
import pytest
from tests.torture.campaign import content

import lexicell
from lexicell import _trace
from lexicell.embedding import Committed, Options, make_plan
from lexicell.embedding.inputs import Inputs, Output
from lexicell.embedding.profile import STAGES, Profile, profiled
from lexicell.embedding.run import run_to_store
from lexicell.errors import InputError, OutputExistsError, WriteError

WORK = ("read", "decode", "copy", "kernel", "write")


@pytest.fixture(scope="module")
def stored(many, tmp_path_factory):
    """The 14,000 cells as a gzip h5ad and packed."""
    folder = tmp_path_factory.mktemp("stored")
    many.write_h5ad(folder / "many.h5ad", compression="gzip")
    lexicell.pack([folder / "many.h5ad"], folder / "many.zarr")
    return folder


def run(path, output, **how):
    """Profile of a run of four shards."""
    profile, inputs = Profile(), Inputs((str(path),))
    with inputs.open() as source:
        plan = make_plan(source, Options(top_k=40))
        run_to_store(plan, Output(str(output)), inputs, profile=profile, **how)
    return profile


def check_trace(path):
    """Events by name of thread, each as Chrome's format wants it."""
    told = json.loads(path.read_text())
    assert set(told) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert told["displayTimeUnit"] == "ms"
    names, spans = {}, {}
    for event in told["traceEvents"]:
        assert isinstance(event["name"], str)
        assert event["pid"] == 1
        assert type(event["tid"]) is int
        if event["ph"] == "M":
            assert event["name"] in {"process_name", "thread_name", "thread_sort_index"}
            assert len(event["args"]) == 1
            if event["name"] == "thread_name":
                names[event["tid"]] = event["args"]["name"]
        elif event["ph"] == "X":
            assert type(event["ts"]) is type(event["dur"]) is int
            assert event["ts"] >= 0
            assert event["dur"] >= 0
            spans.setdefault(names[event["tid"]], []).append(event)
        else:
            assert (event["ph"], event["s"]) == ("i", "t")
    for of in spans.values():
        assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in pairwise(of))  # nothing overlaps
    return spans, told["otherData"]


@pytest.mark.parametrize("name", ["many.zarr", "many.h5ad"])
def test_stages_of_each_thread_add_up_to_its_time(stored, tmp_path, name):
    profile = run(stored / name, tmp_path / "out.zarr", workers=2)
    main, *threads = profile.workers().values()
    assert list(profile.workers()) == ["main", "worker 0", "worker 1"]
    together = [sum(stages.values()) for stages in threads]
    assert together[0] == pytest.approx(together[1])
    assert 0 < together[0] <= profile.seconds
    assert sum(main.values()) == pytest.approx(profile.seconds)
    assert min(main["plan"], main["finish"], main["write"]) > 0
    stages = profile.stages()
    assert all(stages[stage] > 0 for stage in WORK)
    assert stages["wait"] == pytest.approx(sum(of["wait"] for of in threads))
    assert stages["decode"] == pytest.approx(sum(of["decode"] for of in threads))
    assert set(stages) == {*STAGES, "plan", "finish"}


def test_a_profiled_run_writes_the_same_bytes(stored, tmp_path):
    run(stored / "many.zarr", tmp_path / "a.zarr", workers=2)
    lexicell.embed(stored / "many.zarr", tmp_path / "b.zarr", top_k=40)
    assert content(tmp_path / "a.zarr") == content(tmp_path / "b.zarr")


def test_an_h5ad_is_read_by_one_thread_and_embedded_by_another(stored, tmp_path):
    workers = run(stored / "many.h5ad", tmp_path / "out.h5ad").workers()
    assert list(workers) == ["main", "embed", "read"] or list(workers) == ["main", "read", "embed"]
    assert {stage for stage in WORK if workers["read"][stage]} == {"read", "decode"}
    assert {stage for stage in WORK if workers["embed"][stage]} == {"copy", "kernel", "write"}
    assert workers["main"]["finish"] > 0


@pytest.mark.slow
def test_processes_of_a_cluster_send_what_they_did(stored, tmp_path):
    pytest.importorskip("distributed")
    profile = run(stored / "many.zarr", tmp_path / "out.zarr", workers=1, scheduler="local")
    main, worker = profile.workers().values()
    assert list(profile.workers())[1].startswith("tcp://127.0.0.1:")
    assert all(worker[stage] > 0 for stage in (*WORK, "wait"))
    assert worker["plan"] > 0  # it opens the input
    assert main["plan"] > 0
    header, (row,) = profile.table()
    assert header == ["worker", "plan", *STAGES, "on CPU"]
    shares = [int(cell.rpartition(" ")[2].removesuffix("%")) for cell in row[1:-1]]
    assert sum(shares) == pytest.approx(100, abs=len(shares) / 2)
    profile.write(tmp_path / "trace.json")
    spans, _ = check_trace(tmp_path / "trace.json")
    assert {event["cat"] for of in spans.values() for event in of} >= {*WORK, "plan", "finish"}


def test_the_trace_holds_each_span_and_the_sums(stored, tmp_path):
    profile = run(stored / "many.zarr", tmp_path / "out.zarr", workers=2)
    profile.write(tmp_path / "trace.json")
    spans, facts = check_trace(tmp_path / "trace.json")
    assert facts == json.loads(json.dumps(profile.facts()))
    assert set(spans) == {"main", "worker 0", "worker 1"}
    for name, stages in facts["workers"].items():
        for stage in {*stages} - {"wait"}:
            shown = sum(event["dur"] for event in spans[name] if event["cat"] == stage) / 1e6
            assert shown == pytest.approx(stages[stage], abs=1e-6 * len(spans[name]))
    assert {"write: encode", "write: hash", "write: fsync"} <= {event["name"] for event in spans["worker 0"]}


def test_a_trace_says_once_for_each_worker_what_it_leaves_out(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(_trace, "MOST_SPANS", 5)
    profile = run(stored / "many.zarr", tmp_path / "out.zarr", workers=1)
    profile.write(tmp_path / "trace.json")
    told = json.loads((tmp_path / "trace.json").read_text())
    said = [event["name"] for event in told["traceEvents"] if event["ph"] == "i"]
    assert len(said) == sum(worker.lost > 0 for worker in profile._all()) == 2
    assert all(text.endswith("only in the sums (otherData)") for text in said)
    assert told["otherData"]["spans_left_out"] == profile.lost > 5


def test_runs_after_one_another_add_up(stored, tmp_path):
    profile, inputs = Profile(), Inputs((str(stored / "many.zarr"),))
    with inputs.open() as source:
        plan = make_plan(source, Options(top_k=40))
        for name in "ab":
            output = Output(str(tmp_path / f"{name}.zarr"))
            run_to_store(plan, output, inputs, profile=profile, workers=1)
    assert list(profile.workers()) == ["main", "worker 0"]
    lived = [worker.lived for worker in profile._crew]
    assert len(lived) == 2
    assert sum(profile.workers()["worker 0"].values()) == pytest.approx(sum(lived))
    assert profile.seconds > sum(lived)


def test_python_writes_a_trace_from_opening_to_the_end(many_file, tmp_path):
    lexicell.embed(many_file, tmp_path / "out.zarr", top_k=40, profile=tmp_path / "new" / "trace.json")
    spans, facts = check_trace(tmp_path / "new" / "trace.json")
    assert spans["main"][0]["cat"] == "plan"
    assert min(facts["stages"]["plan"], facts["stages"]["finish"]) > 0
    with pytest.raises(OutputExistsError, match=r"trace\.json"):
        lexicell.embed(many_file, tmp_path / "again.zarr", profile=tmp_path / "new" / "trace.json")
    assert not (tmp_path / "again.zarr").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_run_that_is_ended_leaves_the_trace_of_what_happened(stored, tmp_path, error):
    trace = tmp_path / "t.json"

    def listener(event):
        if isinstance(event, Committed):
            raise error

    with pytest.raises(error):
        lexicell.embed(
            stored / "many.zarr", tmp_path / "out.zarr", workers=1, listener=listener, profile=trace
        )
    spans, facts = check_trace(trace)
    assert {event["cat"] for event in spans["worker 0"]} == set(WORK)
    assert facts["stages"]["finish"] == 0
    lexicell.embed(stored / "many.zarr", tmp_path / "out.zarr", resume=True, profile=trace)
    assert check_trace(trace)[1]["stages"]["finish"] > 0


def test_what_fails_before_a_run_begins_leaves_no_trace(cells, tmp_path):
    with pytest.raises(InputError):
        lexicell.embed(cells, tmp_path / "out.zarr", obs_columns=["absent"], profile=tmp_path / "t.json")
    assert not list(tmp_path.iterdir())


def test_a_trace_that_can_not_be_written_is_said_before_anything_is_done(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match=r"t\.json.*\(Not a directory\)"):
        profiled(tmp_path / "file" / "t.json", replace=False).__enter__()
    with pytest.raises(InputError, match=r"out\.zarr.*\.json"):
        profiled(tmp_path / "out.zarr", replace=True).__enter__()


def test_cells_in_memory_have_nothing_to_read(cells, tmp_path):
    profile = Profile()
    with lexicell.counts.open_counts(cells) as source:
        plan = make_plan(source, Options(top_k=40))
        run_to_store(plan, Output(str(tmp_path / "o.zarr")), None, profile=profile)
    stages = profile.stages()
    assert stages["read"] == 0
    assert stages["kernel"] > 0
    assert anndata.read_zarr(tmp_path / "o.zarr").n_obs == 120
