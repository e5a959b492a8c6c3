"""The GPU benchmark on a machine without one: its data, its bookkeeping, and its steps on the stand-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from bench.gpu import __main__ as gpu
from bench.gpu import apart, plan, speed, steps
from bench.gpu import cells as gpu_cells
from bench.gpu.sizes import FULL
from bench.gpu.steps import Clock, Journal, Outcome, Step

from lexicell.counts import Values, open_counts
from lexicell.embedding import CandidateGenes, fold
from lexicell.lexicon import Lexicon, align_genes
from lexicell_kernels import CsrBlock, GeneTable, cuda

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests/kernels/cuda/standin"
needs_compiler = pytest.mark.skipif(
    not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")),
    reason="no C++ compiler runs the CUDA kernels on the CPU",
)


def python(*arguments: str, path: tuple[Path, ...] = (), **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository as on a machine where nothing of it is installed."""
    found = os.pathsep.join(map(str, (*path, ROOT / "engine", ROOT / "kernels", ROOT)))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": found, **more},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """Where compiled kernels lie, as for the tests of the kernels."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return os.environ.get("LEXICELL_SHIM_CACHE", str(shared / "lexicell-shim"))


@pytest.fixture
def on_stand_in(shim):
    """Run a script where ``import cupy`` finds the stand-in; the last line that it prints is JSON."""

    def run(code: str):
        done = python("-c", code, path=(STAND_IN,), LEXICELL_SHIM_CACHE=shim)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


# Where it runs


def test_importing_it_needs_numpy_alone():
    code = """
import sys
before = set(sys.modules)
import bench.gpu.__main__, bench.gpu.wheels
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new - sys.stdlib_module_names - {"bench", "lexicell_kernels"}))
"""
    done = python("-c", code)
    assert done.stdout.strip() == "['numpy']", done.stdout + done.stderr


def test_without_a_gpu_it_says_so_in_one_sentence_and_records_nothing(tmp_path):
    record = tmp_path / "gpu.jsonl"
    done = python("-m", "bench.gpu", "--json", str(record), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("bench.gpu: ")
    assert done.stderr.count("\n") == 1
    assert not record.exists()


def test_cells_that_are_not_there_are_named_before_anything_runs(capsys, tmp_path):
    assert gpu.main(["--cells", str(tmp_path / "none.npz")]) == 2
    assert "none.npz" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--only", "parties"], ["pack"], ["pack", "cells.npz"], ["step", "speed"]])
def test_what_it_does_not_understand_is_a_usage_error(given, capsys):
    with pytest.raises(SystemExit) as stopped:
        gpu.main(given)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


# Cells


def test_packed_real_cells_are_the_same_block_and_table(data, tmp_path, capsys):
    sources = [data("pbmc3k_raw_labelled.h5ad"), data("baron_h1_pancreas.h5ad")]
    path = tmp_path / "cells.npz"
    assert gpu.main(["pack", str(path), *map(str, sources)]) == 0
    assert "MB" in capsys.readouterr().out
    lexicon = Lexicon.open("human-go-minilm")
    for source, real in zip(sources, gpu_cells.load(path), strict=True):
        assert real.name == source.stem
        with open_counts(source) as counts:
            folded = fold(lexicon, CandidateGenes.of(align_genes(lexicon, counts.var).rows))
            block = folded.genes.counts(counts.read(0, counts.n_cells), Values.COUNTS)
            np.testing.assert_array_equal(real.columns, counts.var.index.to_numpy().astype(str))
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(real.block, name), getattr(block, name), strict=True)
        assert real.block.n_columns == block.n_columns
        np.testing.assert_array_equal(real.table.vectors, folded.table.vectors, strict=True)
        np.testing.assert_array_equal(real.table.rank, folded.table.rank, strict=True)


@pytest.mark.parametrize(("value", "column"), [(0.5, 3), (70_000.0, 3), (1.0, 65_536)])
def test_cells_that_16_bits_would_change_are_not_packed(value, column, tmp_path):
    block = CsrBlock(
        data=np.array([value], np.float32),
        indices=np.array([column], np.int32),
        indptr=np.array([0, 1]),
        n_columns=65_537,
    )
    table = GeneTable(np.ones((1, 4), np.float16), np.full(65_537, -1, np.int32))
    real = gpu_cells.RealCells("odd", block, table, np.zeros(1, np.int32), np.array(["a"]))
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(ValueError, match="odd has counts or columns beyond 16 bits"),
    ):
        gpu_cells.save(tmp_path / "cells.npz", [real])


def test_synthetic_cells_are_like_those_of_the_other_benchmarks(drawn):
    block, table = drawn
    assert len(block.data) / block.n_rows == pytest.approx(2_800, rel=0.06)
    assert (block.data == 1).mean() == pytest.approx(0.63, abs=0.03)
    assert table.n_genes / table.n_columns == pytest.approx(0.65, abs=0.02)
    again, _ = gpu_cells.synthetic(300)
    np.testing.assert_array_equal(again.data, block.data)
    first = np.diff(block.indices)[np.setdiff1d(np.arange(len(block.data) - 1), block.indptr[1:-1] - 1)]
    assert first.min() > 0


def test_bytes_are_those_of_the_rows_of_the_launch():
    block = CsrBlock(
        data=np.zeros(100, np.uint16),
        indices=np.zeros(100, np.int32),
        indptr=np.array([10, 14, 30]),
        n_columns=50,
    )
    moved = gpu_cells.traffic(block, used=7, dim=256, itemsize=2)
    assert moved.read == 20 * (2 + 4) + 3 * 8
    assert moved.gathered == 7 * 512
    assert moved.written == 2 * (256 * 4 + 4 + 4 + 4)
    assert moved.memory == moved.read + moved.written


# Steps and the record


def _answers(**outcomes):
    found = {
        "device": Outcome({"machine": {"gpu": {"name": "NVIDIA Something", "memory_gib": 80.0}}}),
        **outcomes,
    }
    return lambda name, seconds, command: found.get(name, Outcome())


def _missing():
    return Outcome(missing="compute-sanitizer is not on PATH")


def test_each_step_is_a_line_and_one_that_fails_hides_no_other(monkeypatch, tmp_path, capsys):
    row = {"cells_per_s": 2e7, "memory_bytes_per_cell": 24_000.0, "gathered_bytes_per_cell": 65_536.0}
    answers = _answers(
        memory=Outcome({"copy_bytes_per_s": 3e12, "gather_bytes_per_s": 5e12}),
        headline=Outcome({"rows": {speed.HEADLINE: row}}),
        parity=Outcome(problems=["default: other genes"]),
        sanitizer=_missing(),
    )
    monkeypatch.setattr(gpu, "ask", answers)
    monkeypatch.setattr(steps, "ask", answers)
    record, out = tmp_path / "gpu.jsonl", tmp_path / "out"
    assert gpu.main(["--json", str(record), "--out", str(out)]) == 1
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["step"] for line in lines] == ["device", *plan.steps(None)]
    for line in lines:
        assert line.keys() >= {"time", "run", "seconds", "problems", "reason"}
        assert (line["bench"], line["format"], line["device"]) == ("gpu", 2, "NVIDIA Something")
    assert {line["run"] for line in lines} == {lines[0]["run"]}
    assert lines[0]["prediction"] == plan.PREDICTION
    by_step = {line["step"]: line["status"] for line in lines}
    assert (by_step["parity"], by_step["sanitizer"], by_step["start"]) == ("failed", "skipped", "ok")
    assert (out / "gpu.jsonl").read_text() == record.read_text()
    shown = capsys.readouterr().out
    assert "WRONG: default: other genes" in shown
    headline = next(line for line in shown.splitlines() if line.endswith(f"  {speed.HEADLINE}"))
    assert headline.split()[:4] == ["20.000", "40.000", "16%", "26%"]


def test_a_check_that_time_did_not_suffice_for_is_no_success(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "ask", _answers())
    monkeypatch.setattr(steps, "ask", _answers(parity=Outcome({"checked": 3}, complete=False)))
    assert gpu.main(["--json", str(tmp_path / "gpu.jsonl"), "--only", "memory"]) == 0
    assert gpu.main(["--json", str(tmp_path / "gpu.jsonl"), "--only", "parity"]) == 1
    assert gpu.main(["--json", str(tmp_path / "gpu.jsonl"), "--only", "memory", "--seconds", "0"]) == 1


def test_every_prediction_is_of_a_case_that_is_timed():
    ours = [case for case in plan.PREDICTED if case.startswith("k = ")]
    timed = {
        speed.name_of(k, p, vectors, counts, in_order=in_order)
        for k, p in FULL.kp
        for vectors in ("float16", "float32")
        for counts in (speed.WIDE, speed.NARROW, speed.FRACTIONS)
        for in_order in (True, False)
    }
    assert set(ours) <= timed
    assert plan.PREDICTED[speed.HEADLINE] >= plan.GOAL["cells_per_s"]


def test_a_step_that_hangs_or_dies_is_ended_and_told(monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.touch(mode=0o755)
    monkeypatch.setattr(steps.sys, "executable", str(program))
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    hung = steps.ask("parity", 1.0, [])
    assert (hung.status, hung.reason) == ("timed out", "no answer in 1 s: ended")
    program.write_text("#!/bin/sh\nexit 3\n")
    assert steps.ask("parity", 5, []).problems == ["ended without an answer, exit status 3"]


def test_what_a_step_started_ends_with_it(tmp_path):
    pid = tmp_path / "pid"
    with pytest.raises(subprocess.TimeoutExpired):
        steps.run(["/bin/sh", "-c", f"sleep 30 & echo $! > {pid}; wait"], 1.0, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and Path(f"/proc/{pid.read_text().strip()}").exists():
        time.sleep(0.05)
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_each_tool_of_the_sanitizer_is_told_from_the_others(monkeypatch, tmp_path):
    program = tmp_path / "compute-sanitizer"
    program.write_text("""#!/bin/sh
echo "========= COMPUTE-SANITIZER"
[ $2 = racecheck ] && echo "========= Error: race" && echo "=========     at /x/k.cu" && exit 86
[ $2 = synccheck ] && exec sleep 30
echo "========= ERROR SUMMARY: 0 errors"
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = apart.sanitizers(Clock(time.monotonic() + 6))
    assert found.problems == ["racecheck: exit 86: ========= Error: race"]
    assert (found.details["memcheck"]["exit_code"], found.details["synccheck"]) == (0, "no time")
    assert (found.status, found.complete) == ("failed", False)
    monkeypatch.setenv("PATH", "")
    assert apart.sanitizers(Clock(time.monotonic() + 6)).status == "skipped"


def test_what_a_step_raises_is_its_answer(tmp_path):
    def broken(_):
        msg = "an illegal\n  memory access"
        raise RuntimeError(msg)

    steps.answer(Step("broken", 1, 1, broken), time.monotonic() + 1, tmp_path / "answer.json")
    found = Outcome(**json.loads((tmp_path / "answer.json").read_text()))
    assert found.problems == ["RuntimeError: an illegal memory access"]
    assert found.status == "failed"


def test_a_record_has_no_paths_of_the_machine(tmp_path):
    done = python("-m", "bench.gpu", "step", "device", "--answer", str(tmp_path / "a.json"))
    assert done.returncode == 0, done.stderr
    Journal([tmp_path / "r.jsonl"], "now", "none").write(
        "device", Outcome(**json.loads((tmp_path / "a.json").read_text())), 0.1
    )
    assert str(ROOT) not in (tmp_path / "r.jsonl").read_text()


# The kernel, on the stand-in


@needs_compiler
def test_the_parity_step_passes_the_kernel_and_tells_where_another_is_wrong(on_stand_in):
    found = on_stand_in("""
import json, time
from dataclasses import asdict
from bench.gpu import checks as gpu_checks
from bench.gpu.steps import Clock
from lexicell_kernels import cuda, parity
few = [parity.Case(n_rows=4, longest=80, n_columns=300, dim=16, vectors=v) for v in ("float32", "float16")]
clock = Clock(time.monotonic() + 600)
right = gpu_checks.check_cases(few, clock)
flags = gpu_checks.bad_rows()
late = gpu_checks.check_cases(few, Clock(time.monotonic() - 1))
embed = cuda.embed_rows
def wrong(*args, **options):
    rows = embed(*args, **options)
    rows.vectors[-1] += 0.01
    return rows
cuda.embed_rows = wrong
off = gpu_checks.check_cases(few, clock)
def unflagged(*args, **options):
    rows = embed(*args, **options)
    rows.n_genes[5] = 3
    return rows
cuda.embed_rows = unflagged
print(json.dumps([asdict(right), flags, late.status, asdict(off), gpu_checks.bad_rows()]))
""")
    right, flags, late, off, unflagged = found
    assert (right["problems"], right["details"]) == ([], {"cases": 2, "checked": 2, "wrong": 0})
    assert flags == []
    assert late == "timed out"
    assert len(off["problems"]) == 2
    assert "Mismatched elements" in off["problems"][0]
    assert unflagged == ["embed_rows flags row 5 with 0, not -3"]


@needs_compiler
def test_speed_peers_and_many_cells_run_to_their_end_on_few_cells(on_stand_in):
    """All but the clock, which is the host's, and torch."""
    found = on_stand_in("""
import json, time
from dataclasses import asdict
from bench import machine
from bench.gpu import checks, speed, timing
from bench.gpu.sizes import SMALL
from bench.gpu.steps import Clock
from lexicell_kernels import cuda
def elapsed(queue):
    start = time.perf_counter()
    queue()
    return time.perf_counter() - start
timing.elapsed, machine.gpu = elapsed, lambda: {"as_found": {}}
clock = Clock(time.monotonic() + 600)
steps = {"speed": speed.speed(SMALL), "peers": speed.peers(SMALL), "threads": speed.threads(SMALL),
         "large": checks.large(24, 12)}
outcomes = {name: asdict(step(clock)) for name, step in steps.items()}
embed = cuda.embed_rows
def wrong(*args, **options):
    rows = embed(*args, **options)
    rows.vectors[3] += 0.01
    return rows
cuda.embed_rows = wrong
outcomes["wrong"] = asdict(speed.speed(SMALL)(clock))
outcomes["wrong, large"] = asdict(checks.large(24, 12)(clock))
print(json.dumps(outcomes))
""")
    for name in ("speed", "peers", "threads", "large"):
        assert (found[name]["problems"], found[name]["complete"]) == ([], True), name
    row = found["speed"]["details"]["rows"][speed.HEADLINE]
    assert row["cells"] == 12
    assert 0 <= row["max_error"] < 1e-3
    assert 15_000 < row["memory_bytes_per_cell"] < 40_000
    assert row["gathered_bytes_per_cell"] == 128 * 256 * 2
    assert found["peers"]["details"]["rows"][speed.HEADLINE]["ratio"] == 1
    assert {"sort of keys by CuPy, take", "SpMM by CuPy, all genes"} <= found["peers"]["details"][
        "rows"
    ].keys()
    assert found["threads"]["details"]["rows"].keys() == {"as chosen", "96 threads"}
    assert found["large"]["details"]["cells"] == 24
    assert speed.HEADLINE not in found["wrong"]["details"]["rows"]
    assert "its time does not count" in found["wrong"]["problems"][0]
    assert any("differs between places" in problem for problem in found["wrong, large"]["problems"])


def test_other_numbers_of_threads_are_used_inside_only():
    wanted = ("lexicell_embed", "float32", "int32", True, "float16", 256)
    with speed.threads_of_a_row(96):
        changed = cuda.Instantiation(*wanted)
        assert changed.threads == 96
        assert ", 96, true)" in changed.source
    usual = cuda.Instantiation(*wanted)
    assert usual.threads == 128
    assert usual != changed
