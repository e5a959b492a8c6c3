"""A whole run of the GPU benchmark on the stand-in, and what becomes of it where a step or the time ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench.gpu import plan, steps
from bench.gpu.cells import pack
from bench.gpu.steps import Clock, Outcome

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "gpu_on_stand_in.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")),
        reason="no C++ compiler runs the CUDA kernels on the CPU",
    ),
]


@pytest.fixture
def program(tmp_path_factory, tmp_path):
    """Start the benchmark with small sizes; its record is ``gpu.jsonl`` in `tmp_path`."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folders = (ROOT / "tests/kernels/cuda/standin", ROOT / "engine", ROOT / "kernels", ROOT)
    environment = {
        "LEXICELL_SHIM_CACHE": str(shared / "lexicell-shim"),
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
    }
    record = str(tmp_path / "gpu.jsonl")

    def start(*arguments, **more):
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), "--small", "--json", record, *arguments],
            env={**environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def finished(process, timeout=100):
    out, _ = process.communicate(timeout=timeout)
    return process.returncode, out


def records(tmp_path):
    """All lines; each of them is JSON, and the last one is a whole line."""
    text = (tmp_path / "gpu.jsonl").read_text()
    assert text.endswith("\n")
    return {line["step"]: line for line in map(json.loads, text.splitlines())}


def test_all_of_it_runs_with_what_is_carried_and_tells_what_it_could_not_do(program, tmp_path, cells):
    cells.write_h5ad(tmp_path / "blood.h5ad")
    pack(tmp_path / "cells.npz", [tmp_path / "blood.h5ad"], 50)
    status, out = finished(program("--cells", str(tmp_path / "cells.npz"), DRY_BARE="1"), 200)
    assert status == 0, out
    lines = records(tmp_path)
    assert list(lines) == ["device", *plan.steps(None)]
    stati = {step: line["status"] for step, line in lines.items()}
    assert {step for step, status in stati.items() if status != "ok"} == {"sanitizer", "training"}
    assert lines["sanitizer"]["reason"] == "compute-sanitizer is not on PATH"
    assert lines["training"]["reason"] == "torch finds no GPU; these are steps of the CPU"
    assert lines["training"]["rows"]["batch 32, cpu"]["steps_per_s"] > 0
    assert lines["device"]["expected_seconds"]["engine"] > 0
    assert lines["real cells"]["blood"] == {"cells": 30, "genes": 739, "dim": 384}
    assert lines["memory"]["roofline"]["copy_cells_per_s"] > 0
    engine = lines["engine"]
    assert (engine["k"], engine["checked_cells"]) == (128, 60)
    assert 0 <= engine["max_error"] < 1e-5
    assert [row["cells"] for row in engine["rows"].values()] == [120, 120, 120, 60]


def test_a_step_that_crashes_and_one_that_hangs_lose_themselves_only(program, tmp_path):
    status, out = finished(
        program(
            "--only", "headline", "memory", "large", DRY_CRASH="headline", DRY_HANG="memory", DRY_LIMIT="3"
        )
    )
    assert status == 1, out
    lines = records(tmp_path)
    assert (lines["headline"]["status"], lines["headline"]["reason"]) == (
        "failed",
        "ended without an answer, exit status 7",
    )
    assert (lines["memory"]["status"], lines["memory"]["reason"]) == ("timed out", "no answer in 3 s: ended")
    assert lines["memory"]["seconds"] == pytest.approx(3, abs=1)
    assert lines["large"]["status"] == "ok"


def test_the_end_of_the_time_ends_a_step_and_skips_those_after_it(program, tmp_path):
    start = time.monotonic()
    status, out = finished(
        program("--seconds", "6", "--only", "headline", "memory", "start", DRY_HANG="headline")
    )
    assert status == 1, out
    assert time.monotonic() - start < 6 + 5  # of which Python takes some to begin
    lines = records(tmp_path)
    assert lines["headline"]["status"] == "timed out"
    for step in ("memory", "start"):
        assert (lines[step]["status"], lines[step]["reason"]) == ("skipped", "no time was left for it")


def _steps_below(pid):
    return [one for one in steps._below(pid) if Path(f"/proc/{one}").exists()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_ends_the_run_loses_the_running_step_and_leaves_no_process(program, tmp_path, number):
    process = program("--only", "start", "threads", DRY_HANG="threads")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        record = tmp_path / "gpu.jsonl"
        if record.exists() and record.read_text().count("\n") == 2 and _steps_below(process.pid):
            break
        time.sleep(0.05)
    time.sleep(1.5)  # until the step has asked to end with its parent
    below = _steps_below(process.pid)
    assert below
    process.send_signal(number)
    status, out = finished(process, 20)
    lines = records(tmp_path)
    assert (lines["device"]["status"], lines["start"]["status"]) == ("ok", "ok")
    if number == signal.SIGKILL:
        assert "threads" not in lines
    else:
        assert status == 130, out
        assert (lines["threads"]["status"], lines["threads"]["reason"]) == ("failed", "interrupted")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_alive(one) for one in below):
        time.sleep(0.05)
    assert not any(_alive(one) for one in below)


def _alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_session_that_a_step_began_ends_with_the_step(tmp_path):
    pid = tmp_path / "pid"
    line = ["/bin/sh", "-c", f"setsid sleep 60 & echo $! > {pid}; wait"]
    with pytest.raises(subprocess.TimeoutExpired):
        steps.run(line, 1.0, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _alive(pid.read_text().strip()):
        time.sleep(0.05)
    assert not _alive(pid.read_text().strip())


def test_steps_fit_into_the_time_together_and_those_that_matter_come_first():
    planned = plan.steps(None)
    assert sum(step.expected for step in planned.values()) <= plan.BUDGET
    assert list(planned)[:8] == [
        "real cells", "instantiations", "headline", "memory", "peers", "sanitizer", "engine", "training",
    ]  # fmt: skip
    assert all(step.expected < step.seconds for step in planned.values())


def test_what_a_status_is_and_why():
    assert (Outcome().status, Outcome().reason, Outcome().fine) == ("ok", "", True)
    late = Outcome(complete=False)
    assert (late.status, late.fine) == ("timed out", False)
    assert late.reason == "time was over before all of it was done"
    wrong = Outcome(problems=["a", "b"], missing="c", complete=False)
    assert (wrong.status, wrong.reason, wrong.fine) == ("failed", "a; b", False)
    assert (Outcome(missing="c").status, Outcome(missing="c").fine) == ("skipped", True)
    assert not Outcome(missing="no time was left for it", complete=False).fine
    assert Clock(time.monotonic() - 1)()
