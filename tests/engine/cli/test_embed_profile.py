"""``embed --profile``: a table beside the result, a trace in a file."""

from __future__ import annotations

import json

import pytest


def test_the_table_is_beside_the_result_and_the_trace_in_its_file(lexicell, h5ad, tmp_path):
    ended = lexicell("embed", h5ad, tmp_path / "o.zarr", "--profile", tmp_path / "t.json", "--workers", 1)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("120 cells x 384 -> ")
    assert ended.out.count("\n") == 1
    *_, header, line, worker, main, last = ended.err.splitlines()
    assert header.split("  ")[0] == "worker"
    assert header.split()[1:] == ["read", "decode", "copy", "kernel", "write", "wait", "on", "CPU"]
    assert set(line) == {"-", " "}
    assert worker.startswith("worker 0  ")
    assert worker.count("%") == 7
    assert main.startswith("main: plan ")
    assert ", finish " in main
    assert last.startswith("120 cells in ")
    assert last.endswith(f"cells/s) -> {tmp_path / 't.json'}")
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]


def test_several_workers_have_a_line_each_and_one_for_all(lexicell, h5ad, tmp_path):
    ended = lexicell("embed", h5ad, tmp_path / "o.h5ad", "--profile", tmp_path / "t.json")
    names = [line.split()[0] for line in ended.err.splitlines()[-5:-2]]
    assert sorted(names[:2]) == ["embed", "read"]
    assert names[2] == "all"


def test_json_has_the_same_for_machines(lexicell, h5ad, tmp_path):
    ended = lexicell("embed", h5ad, tmp_path / "o.zarr", "--profile", tmp_path / "t.json", "--json")
    told = json.loads(ended.out)
    assert told["cells"] == 120
    assert told["profile"].pop("trace") == str(tmp_path / "t.json")
    assert told["profile"] == json.loads((tmp_path / "t.json").read_text())["otherData"]
    assert "worker 0" not in ended.err


def test_one_trace_holds_the_runs_of_all_inputs(lexicell, h5ad, tmp_path):
    (tmp_path / "b.h5ad").write_bytes(h5ad.read_bytes())
    given = (h5ad, tmp_path / "b.h5ad", tmp_path / "out", "--each", "--profile", tmp_path / "t.json")
    told = json.loads(lexicell("embed", *given, "--json").out)
    assert len(told["outputs"]) == 2
    assert list(told["profile"]["workers"]) == ["main", "worker 0"]


def test_an_existing_trace_is_replaced_as_an_output_is(lexicell, refused, h5ad, tmp_path):
    trace = tmp_path / "t.json"
    trace.write_text("mine")
    assert refused(h5ad, "--profile", trace).endswith(f"{trace} exists; choose another name or overwrite it.")
    assert trace.read_text() == "mine"
    for how in ("--overwrite", "--resume"):
        trace.write_text("mine")
        assert lexicell("embed", h5ad, tmp_path / "o.zarr", "--profile", trace, how).code == 0
        assert "traceEvents" in trace.read_text()


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("trace.txt", 2, "trace.txt: a trace is a .json; give it this ending"),
        ("file/t.json", 1, "t.json cannot be written (Not a directory); make room or choose another place"),
    ],
)
def test_a_trace_that_can_not_be_is_refused_before_anything_is_done(
    refused, h5ad, tmp_path, name, code, said
):
    (tmp_path / "file").touch()
    assert refused(h5ad, "--profile", tmp_path / name, code=code).endswith(said)


def test_a_dry_run_writes_no_trace(lexicell, h5ad, tmp_path):
    ended = lexicell("embed", h5ad, tmp_path / "o.h5ad", "--profile", tmp_path / "t.json", "--dry-run")
    assert ended.code == 0
    assert not (tmp_path / "t.json").exists()
