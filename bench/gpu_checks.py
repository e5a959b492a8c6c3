"""Whether the kernel is right on this device: parity, real cells, a million cells, the sanitizer."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from subprocess import PIPE, TimeoutExpired
from typing import Any

import numpy as np

from bench import gpu_cells
from bench.gpu_steps import Clock, Outcome, run, said
from bench.gpu_timing import per_call
from lexicell_kernels import CsrBlock, Rows, Weight, cuda, parity, reference

__all__ = [
    "all_instantiations",
    "bad_rows",
    "check_cases",
    "check_real",
    "first_result",
    "instantiations",
    "large",
    "parity_cases",
    "rows_of",
    "sanitizers",
    "small",
    "small_cases",
    "time_to_first",
    "upload",
]

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
_FOUND = 86  # exit status that the sanitizer is asked for
_DIMS = (100, 256)
_REAL = (
    (64, Weight.LOG1P),
    (128, Weight.LOG1P),
    (1024, Weight.COUNT),
    (256, Weight.RANK),
    (None, Weight.LOG1P),
)


def parity_cases(clock: Clock) -> Outcome:
    """Hold every case of `lexicell_kernels.parity` against the reference."""
    return check_cases(parity.cases(), clock)


def check_cases(cases: Iterable[parity.Case], clock: Clock) -> Outcome:
    """Hold cases against the reference on the device, each also run twice."""
    import cupy

    cases = list(cases)
    problems, done = [], 0
    for case in cases:
        if clock():
            break
        try:
            parity.check(cuda, case, to_device=cupy.asarray, to_host=cupy.asnumpy)
        except Exception as error:  # all that fail are told
            problems.append(f"{case}: {said(error)}")
        done += 1
        if done % 20 == 0:
            print(f"   {done} of {len(cases)}, {len(problems)} wrong", flush=True)
    details = {"cases": len(cases), "checked": done, "wrong": len(problems)}
    return Outcome(details, problems, complete=done == len(cases))


def instantiations() -> Iterator[parity.Case]:
    """All types of counts, columns and tables, both orders of columns, tables with and without padding."""
    kinds = product(("uint16", "float32"), ("uint16", "int32"), ("float16", "float32"), (True, False), _DIMS)
    for values, columns, vectors, in_order, dim in kinds:
        yield parity.Case(
            pattern="heavy", values=values, columns=columns, vectors=vectors, in_order=in_order, dim=dim,
            bias=True, n_rows=12, seed=21,
        )  # fmt: skip


def all_instantiations(clock: Clock) -> Outcome:
    """Hold each compiled form of the kernels against the reference, and what they say of unusable rows."""
    outcome = check_cases(instantiations(), clock)
    outcome.problems.extend(bad_rows())
    return outcome


def bad_rows() -> list[str]:
    """Look whether rows that can't be used are flagged, and the rows between them are not."""
    import cupy

    case = parity.Case(n_rows=7, longest=300, seed=22)
    block, table = parity.block_of(case), parity.table_of(case)
    start = block.indptr
    block.data[start[2] + 5] = -1
    block.data[start[3] + 7] = np.nan
    block.indices[start[5] - 1] = block.n_columns + 40
    block.indices[start[5] + 3] = block.indices[start[5] + 2]
    wanted = {2: -1, 3: -1, 4: -2, 5: -3}
    there = upload(block)
    found = []
    used = cupy.asnumpy(cuda.embed_rows(there, table, k=64).n_genes)
    count = cupy.asnumpy(cuda.select_topk(there, table, k=64).n_genes)
    for row in range(block.n_rows):
        for name, flags in (("embed_rows", used), ("select_topk", count)):
            flag = min(int(flags[row]), 0)
            if flag != wanted.get(row, 0):
                found.append(f"{name} flags row {row} with {flag}, not {wanted.get(row, 0)}")
    return found


def check_real(path: Path | None) -> Callable[[Clock], Outcome]:
    """Hold packed real cells against the reference: the genes of all cells, the vectors of some."""

    def step(clock: Clock) -> Outcome:
        import cupy

        if path is None:
            return Outcome(missing="no packed cells; make them by `python -m bench.gpu pack`, give --cells")
        total = Outcome()
        for real in gpu_cells.load(path):
            if clock():
                total.complete = False
                break
            table = real.table
            expected = reference.select_topk(real.block, table, k=128)
            for counts, block in (("float32", real.block), ("uint16", gpu_cells.narrow(real.block))):
                picks = cuda.select_topk(upload(block), table, k=128)
                genes, scores = cupy.asnumpy(picks.genes), cupy.asnumpy(picks.scores)
                differ = np.flatnonzero((genes != expected.genes).any(axis=1))
                if len(differ):
                    row = int(differ[0])
                    only = _names(real, np.setdiff1d(genes[row], expected.genes[row]))
                    total.problems.append(
                        f"{real.name}, {counts} counts: {len(differ)} cells with other genes; "
                        f"the first is {row}, with {only} instead"
                    )
                elif not np.array_equal(scores, expected.scores):
                    total.problems.append(f"{real.name}, {counts} counts: other scores")
                some = rows_of(block, np.linspace(0, block.n_rows - 1, 200).astype(int))
                for k, weight in _REAL:
                    try:
                        parity.check_block(
                            cuda,
                            some,
                            table,
                            k=k,
                            weight=weight,
                            to_device=cupy.asarray,
                            to_host=cupy.asnumpy,
                        )
                    except AssertionError as error:
                        what = f"{real.name}, {counts} counts, k = {k}, {weight}"
                        total.problems.append(f"{what}: {said(error)}")
            total.details[real.name] = {"cells": real.block.n_rows, "genes": table.n_genes, "dim": table.dim}
        return total

    return step


def large(cells: int = 1_000_000, drawn: int = 20_000) -> Callable[[Clock], Outcome]:
    """Embed many cells at once, `drawn` ones over and over: each copy has the same bits, and is right.

    They are more than 2**31 values where memory suffices, so that an offset of 32 bits shows.
    """

    def step(_: Clock) -> Outcome:
        import cupy

        host, described = gpu_cells.synthetic(drawn)
        table = gpu_cells.random_table(described, 256, "float16", in_order=False)
        per_cell = host.nbytes / host.n_rows + 3 * 4 * (table.dim + 3)
        room = int(cupy.cuda.Device().mem_info[0] * 0.8 / per_cell)
        copies = max(1, min(cells, room) // host.n_rows)
        block = upload(host, copies)
        first = cuda.embed_rows(block, table, k=128)
        again = cuda.embed_rows(block, table, k=128)
        problems = []
        for name in Rows.__slots__:
            one, other = getattr(first, name), getattr(again, name)
            if not bool((one == other).all()):
                problems.append(f"{name}: two runs are not bit-equal")
            by_copy = one.reshape(copies, host.n_rows, *one.shape[1:])
            if not bool((by_copy == by_copy[:1]).all()):
                problems.append(f"{name}: the same cell differs between places in the block")
        rows = np.random.default_rng(0).choice(host.n_rows, min(400, host.n_rows), replace=False)
        expected = reference.embed_rows(rows_of(host, rows), table, k=128)
        at = cupy.asarray(rows + (copies - 1) * host.n_rows)
        off = float(np.abs(cupy.asnumpy(first.vectors[at]) - expected.vectors).max())
        if not off <= parity.TOLERANCE[table.vectors.dtype]:
            problems.append(f"off by {off}")
        problems += [
            f"other {name} than the reference"
            for name in ("n_genes", "n_tied")
            if not np.array_equal(cupy.asnumpy(getattr(first, name)[at]), getattr(expected, name))
        ]
        details = {
            "cells": block.n_rows,
            "values": int(block.data.size),
            "beyond_32_bits": int(block.data.size) > 2**31,
            "max_error": off,
        }
        return Outcome(details, problems)

    return step


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
        line = [program, "--tool", tool, "--error-exitcode", str(_FOUND), sys.executable, "-m", "bench.gpu",
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
            outcome.problems.append(f"{tool}: exit {ran.returncode}: {_without_paths(told)}"[:600])
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
            line = [sys.executable, "-m", "bench.gpu", "first"]
            ran = run(line, max(clock.left, 1), env=environment, stdout=PIPE, stderr=PIPE)
            if ran.returncode:
                outcome.problems.append(_without_paths(ran.stderr[-300:]))
                break
            outcome.details[name] = json.loads(ran.stdout.splitlines()[-1])
            print(f"   {name}: {outcome.details[name]}", flush=True)
    case = parity.Case(vectors="float16", dim=256, in_order=True, n_rows=1)
    block, table = upload(parity.block_of(case)), parity.table_of(case)
    outcome.details["launch"] = per_call(lambda: cuda.embed_rows(block, table, k=64))
    print(f"   a launch: {outcome.details['launch']}", flush=True)
    return outcome


def upload(block: CsrBlock, copies: int = 1) -> CsrBlock:
    """Put a block on the device, `copies` times over."""
    import cupy

    n = len(block.data)

    def repeated(array: Any) -> Any:
        once = cupy.asarray(array)
        if copies == 1:
            return once
        there = cupy.empty(copies * n, once.dtype)
        for i in range(copies):
            there[i * n : (i + 1) * n] = once
        return there

    starts = block.indptr[:-1] + np.arange(copies, dtype=np.int64)[:, None] * n
    indptr = np.append(starts.ravel(), copies * n)
    return replace(
        block, data=repeated(block.data), indices=repeated(block.indices), indptr=cupy.asarray(indptr)
    )


def rows_of(block: CsrBlock, rows: Any) -> CsrBlock:
    """Some rows of a block of NumPy arrays."""
    parts = [np.arange(block.indptr[r], block.indptr[r + 1]) for r in rows]
    at = np.concatenate(parts)
    indptr = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64)
    return CsrBlock(data=block.data[at], indices=block.indices[at], indptr=indptr, n_columns=block.n_columns)


def _names(real: gpu_cells.RealCells, genes: Any) -> str:
    column = np.flatnonzero(np.isin(real.table.rank, genes[genes >= 0]))
    return ", ".join(real.columns[column[:5]]) or "none"


def _without_paths(text: str) -> str:
    return " ".join(word if "/" not in word else word.rsplit("/", 1)[-1] for word in text.split())
