"""Whether the kernel is right on this device: parity, real cells, a million cells, the sanitizer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from subprocess import PIPE, TimeoutExpired
from typing import Any

import numpy as np

from bench.gpu import steps
from bench.gpu.cells import RealCells, load, narrow, random_table, synthetic
from bench.gpu.sizes import Sizes
from bench.gpu.steps import Clock, Outcome, run, said, without_paths
from lexicell_kernels import CsrBlock, Rows, Weight, cuda, parity, reference

__all__ = [
    "all_instantiations",
    "bad_rows",
    "check_cases",
    "check_real",
    "instantiations",
    "large",
    "parity_cases",
    "part",
    "rows_of",
    "upload",
]

#: Widths: one with padding, and those that `bench.gpu.speed` times, whose kernels are then compiled already.
_DIMS = (100, 128, 256, 512)
_REAL = (
    (64, Weight.LOG1P),
    (128, Weight.LOG1P),
    (1024, Weight.COUNT),
    (256, Weight.RANK),
    (None, Weight.LOG1P),
)


def parity_cases(every: int = 1) -> Callable[[Clock], Outcome]:
    """Hold every case of `lexicell_kernels.parity`, or each `every`-th, against the reference."""
    return lambda clock: check_cases(list(parity.cases())[::every], clock)


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


def all_instantiations(sizes: Sizes, arguments: Sequence[str] = ()) -> Callable[[Clock], Outcome]:
    """Hold each compiled form of the kernels against the reference, and what they say of unusable rows.

    Compiling takes a second or two for each, so several processes share the forms; later ones find what
    these have compiled on disk.

    Parameters
    ----------
    sizes
        How many forms, and how many processes.
    arguments
        Of ``python -m bench.gpu part``, behind the number of the part.
    """

    def step(clock: Clock) -> Outcome:
        n = min(sizes.processes, len(os.sched_getaffinity(0)))
        if n == 1:
            total = part(sizes, 0, 1, clock)
        else:
            with ThreadPoolExecutor(n) as pool:
                found = list(pool.map(lambda i: _part_apart(i, n, arguments, clock), range(n)))
            total = Outcome({"processes": n, "cases": 0, "checked": 0, "wrong": 0})
            for outcome in found:
                total.problems += outcome.problems
                total.complete &= outcome.complete
                for name in ("cases", "checked", "wrong"):
                    total.details[name] += outcome.details.get(name, 0)
        total.problems.extend(bad_rows())
        return total

    return step


def part(sizes: Sizes, i: int, n: int, clock: Clock) -> Outcome:
    """Check the `i`-th of `n` parts of the compiled forms in this process."""
    return check_cases(list(instantiations())[:: sizes.every][i::n], clock)


def _part_apart(i: int, n: int, arguments: Sequence[str], clock: Clock) -> Outcome:
    """The same, in a process of its own."""
    line = [sys.executable, *steps.PROGRAM, "part", str(i), str(n), "--until", str(clock.end), *arguments]
    try:
        ran = run(line, max(clock.left, 1), stdout=PIPE, stderr=PIPE)
    except TimeoutExpired:
        return Outcome(complete=False)
    if ran.returncode:
        told = without_paths(" ".join(ran.stderr.splitlines()[-3:]))
        return Outcome(problems=[f"part {i}: exit {ran.returncode}: {told}"[:600]])
    return Outcome(**json.loads(ran.stdout.splitlines()[-1]))


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


def check_real(path: Path | None, sizes: Sizes) -> Callable[[Clock], Outcome]:
    """Hold packed real cells against the reference: the genes of all of them, the vectors of some."""

    def step(clock: Clock) -> Outcome:
        if path is None:
            return Outcome(missing="no packed cells; make them by `python -m bench.gpu pack`, give --cells")
        total = Outcome()
        for real in load(path):
            if clock():
                total.complete = False
                break
            few = replace(real, block=rows_of(real.block, np.arange(min(sizes.real, real.block.n_rows))))
            total.problems += _differences(few, min(sizes.real_vectors, few.block.n_rows))
            total.details[real.name] = {
                "cells": few.block.n_rows,
                "genes": few.table.n_genes,
                "dim": few.table.dim,
            }
        return total

    return step


def _differences(real: RealCells, vectors: int) -> list[str]:
    """Say what the kernel does otherwise than the reference."""
    import cupy

    table, problems = real.table, []
    expected = reference.select_topk(real.block, table, k=128)
    for counts, block in (("float32", real.block), ("uint16", narrow(real.block))):
        picks = cuda.select_topk(upload(block), table, k=128)
        genes, scores = cupy.asnumpy(picks.genes), cupy.asnumpy(picks.scores)
        differ = np.flatnonzero((genes != expected.genes).any(axis=1))
        if len(differ):
            row = int(differ[0])
            only = _names(real, np.setdiff1d(genes[row], expected.genes[row]))
            problems.append(
                f"{real.name}, {counts} counts: {len(differ)} cells with other genes; "
                f"the first is {row}, with {only} instead"
            )
        elif not np.array_equal(scores, expected.scores):
            problems.append(f"{real.name}, {counts} counts: other scores")
        some = rows_of(block, np.linspace(0, block.n_rows - 1, vectors).astype(int))
        for k, weight in _REAL:
            try:
                parity.check_block(
                    cuda, some, table, k=k, weight=weight, to_device=cupy.asarray, to_host=cupy.asnumpy
                )
            except AssertionError as error:
                problems.append(f"{real.name}, {counts} counts, k = {k}, {weight}: {said(error)}")
    return problems


def large(cells: int = 1_000_000, drawn: int = 20_000) -> Callable[[Clock], Outcome]:
    """Embed many cells at once, `drawn` ones over and over: each copy has the same bits, and is right.

    They are more than 2**31 values where memory suffices, so that an offset of 32 bits shows.
    """

    def step(_: Clock) -> Outcome:
        import cupy

        host, described = synthetic(drawn)
        table = random_table(described, 256, "float16", in_order=False)
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


def _names(real: RealCells, genes: Any) -> str:
    column = np.flatnonzero(np.isin(real.table.rank, genes[genes >= 0]))
    return ", ".join(real.columns[column[:5]]) or "none"
