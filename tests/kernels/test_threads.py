"""Many callers at once, forked processes, and the cache of machine code."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lexicell_kernels import cpu, jit, parity

CASE = parity.Case(n_rows=120, longest=300, dim=8)
BLOCK, TABLE = parity.block_of(CASE), parity.table_of(CASE)


def vectors(seed: int = 0) -> np.ndarray:
    return cpu.embed_rows(parity.block_of(replace(CASE, seed=seed)), TABLE, k=32, threads=2).vectors


def test_callers_in_many_threads_get_what_one_gets_alone(monkeypatch):
    monkeypatch.setattr(cpu, "_INLINE_NNZ", 0)
    alone = {seed: vectors(seed) for seed in range(4)}
    with ThreadPoolExecutor(8) as callers:
        for seed, found in zip([0, 1, 2, 3] * 12, callers.map(vectors, [0, 1, 2, 3] * 12), strict=True):
            np.testing.assert_array_equal(found, alone[seed])


FORK = """
import multiprocessing
import numpy as np
from tests.kernels.test_threads import cpu, vectors
cpu._INLINE_NNZ = 0
here = vectors()
with multiprocessing.get_context("fork").Pool(1) as children:
    there = children.apply_async(vectors).get(timeout=60)
np.testing.assert_array_equal(there, here)
print("alike")
"""


@pytest.mark.slow
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_a_forked_child_can_embed_after_its_parent_used_threads(repository):
    """In a process of its own: one that has run other tests may be too large to be copied."""
    command = [sys.executable, "-c", FORK]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "alike", run.stderr


def test_no_more_threads_than_this_process_may_use(monkeypatch):
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert cpu.available_cpus() == 3


def test_the_stamp_of_the_cache_follows_the_source_of_every_helper(tmp_path, monkeypatch):
    source = Path(jit.__file__).parent
    for name in ("jit", "_select", "_order", "_pool", "_entry"):
        shutil.copy(source / f"{name}.py", tmp_path)
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    stamps = [jit.source_stamp("_select", "_order", "_pool", "_entry")]
    for name in ("_select", "_order", "_pool", "_entry", "jit"):
        path = tmp_path / f"{name}.py"
        path.write_text(path.read_text() + "\n# changed\n")
        stamps.append(jit.source_stamp("_select", "_order", "_pool", "_entry"))
    assert len(set(stamps)) == 6


def test_the_entry_points_are_tied_to_all_modules_with_compiled_code():
    """A module with kernels that the stamp forgets would run stale code after a change."""
    folder = Path(jit.__file__).parent
    compiled = {p.stem for p in folder.glob("*.py") if "@kernel(" in p.read_text()}
    entry = (folder / "_entry.py").read_text()
    stamped = entry[entry.index("source_stamp(") :]
    assert compiled
    assert all(f'"{name}"' in stamped for name in compiled)
