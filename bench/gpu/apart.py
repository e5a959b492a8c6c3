"""Checks that need processes of their own: compute-sanitizer, and the time to a first result."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from subprocess import PIPE, TimeoutExpired

from bench.gpu import steps
from bench.gpu.checks import bad_rows, check_cases, upload
from bench.gpu.steps import Clock, Outcome, run, without_paths
from bench.gpu.timing import per_call
from lexicell_kernels import Weight, cuda, parity

__all__ = ["TOOLS", "first_result", "sanitizers", "small", "small_cases", "time_to_first"]

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
_FOUND = 86  # exit status that the sanitizer is asked for


def small_cases() -> Iterator[parity.Case]:
    """A few cells for every path through the kernels; the sanitizer is a hundred times slower."""
    few = parity.Case(n_rows=6, longest=300, k=40, seed=23)
    for in_order in (True, False):
        yield replace(few, in_order=in_order, dim=100, vectors="float16", bias=True)
    yield replace(few, weight=Weight.RANK, rank_factor=True, pattern="fractions", k=None)
    yield replace(few, values="uint16", columns="uint16", pattern="huge", dim=1536)


def small() -> int:
    """Check `small_cases` and unusable rows; each array an allocation of its own, which memcheck watches."""
    import cupy

    cupy.cuda.set_allocator(None)
    outcome = check_cases(small_cases(), Clock(time.monotonic() + 600))
    problems = outcome.problems + bad_rows()
    print(json.dumps({"wrong": problems}), flush=True)
    return 1 if problems else 0


def sanitizers(clock: Clock) -> Outcome:
    """Run `small` under each tool of compute-sanitizer."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return Outcome(missing="compute-sanitizer is not on PATH")
    outcome = Outcome()
    for tool in TOOLS:
        if clock.left < 5:
            outcome.complete = False
            outcome.details[tool] = "no time"
            continue
        line = [program, "--tool", tool, "--error-exitcode", str(_FOUND), sys.executable, *steps.PROGRAM,
                "small"]  # fmt: skip
        start = time.monotonic()
        try:
            ran = run(line, clock.left, stdout=PIPE, stderr=PIPE)
        except TimeoutExpired:
            outcome.complete = False
            outcome.details[tool] = "no time"
            continue
        report = [x for x in ran.stdout.splitlines() if x.startswith("=====") and "/" not in x]
        outcome.details[tool] = {
            "exit_code": ran.returncode,
            "seconds": round(time.monotonic() - start, 1),
            "said": report[-1] if report else "",
        }
        print(f"   {tool}: exit {ran.returncode}, {report[-1] if report else 'no report'}", flush=True)
        if ran.returncode:
            told = " ".join(report[1:12]) or " ".join(ran.stderr.splitlines()[-3:])
            outcome.problems.append(f"{tool}: exit {ran.returncode}: {without_paths(told)}"[:600])
    return outcome


def first_result() -> int:
    """Print how long a new process takes to its first result; the caches are the caller's."""
    times = {}
    start = time.perf_counter()

    def tick(name: str) -> None:
        times[name] = round(time.perf_counter() - start, 3)

    import cupy

    tick("cupy_imported")
    cupy.zeros(1).get()
    tick("device_ready")
    case = parity.Case(vectors="float16", dim=256, in_order=True)
    block, table = upload(parity.block_of(case)), parity.table_of(case)
    for name in ("first_result", "second_result"):
        cupy.asnumpy(cuda.embed_rows(block, table, k=64).vectors)
        tick(name)
    print(json.dumps(times), flush=True)
    return 0


def time_to_first(clock: Clock) -> Outcome:
    """Start two processes on an empty cache of compiled kernels; then what a launch costs."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as cache:
        for name in ("compiling", "compiled before"):
            environment = {**os.environ, "CUPY_CACHE_DIR": cache, "CUDA_CACHE_DISABLE": "1"}
            line = [sys.executable, *steps.PROGRAM, "first"]
            ran = run(line, max(clock.left, 1), env=environment, stdout=PIPE, stderr=PIPE)
            if ran.returncode:
                outcome.problems.append(without_paths(ran.stderr[-300:]))
                break
            outcome.details[name] = json.loads(ran.stdout.splitlines()[-1])
            print(f"   {name}: {outcome.details[name]}", flush=True)
    case = parity.Case(vectors="float16", dim=256, in_order=True, n_rows=1)
    block, table = upload(parity.block_of(case)), parity.table_of(case)
    outcome.details["launch"] = per_call(lambda: cuda.embed_rows(block, table, k=64))
    print(f"   a launch: {outcome.details['launch']}", flush=True)
    return outcome
