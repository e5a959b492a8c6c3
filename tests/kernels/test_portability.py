"""The kernel on a CPU without any of the instructions that newer ones have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_PARITY = """
import numpy as np
from lexicell_kernels import cpu, parity
parity.check(cpu, parity.Case(vectors=np.float16, pattern="heavy", n_rows=8, dim=150))
print("agrees")
"""

_HALVES = """
import numpy as np
from numba import njit
from lexicell_kernels.jit import as_float32

@njit
def read(halves, out):
    for i in range(halves.size):
        out[i] = as_float32(halves[i])

bits = np.arange(1 << 16, dtype=np.uint16)
out = np.empty(bits.size, np.float32)
read(bits, out)
expected = bits.view(np.float16).astype(np.float32)
finite = np.isfinite(expected)
assert (out.view(np.uint32)[finite] == expected.view(np.uint32)[finite]).all()
print("equal")
"""


_NO_CACHE = """
from numba.core import caching
caching.CacheImpl._locator_classes = []
from lexicell_kernels import cpu, parity, reference
case = parity.Case(n_rows=4)
block, table = parity.block_of(case), parity.table_of(case)
found, expected = (module.embed_rows(block, table, k=case.k) for module in (cpu, reference))
assert found.n_genes.tolist() == expected.n_genes.tolist()
assert abs(found.vectors - expected.vectors).max() < 1e-5
print("agrees")
"""


def on_a_plain_cpu(code: str, cache: Path) -> str:
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(cache),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_kernel_agrees_with_the_reference_on_a_plain_cpu(tmp_path: Path) -> None:
    assert "agrees" in on_a_plain_cpu(_PARITY, tmp_path)


def test_every_half_is_read_exactly_without_an_instruction_for_it(tmp_path: Path) -> None:
    assert "equal" in on_a_plain_cpu(_HALVES, tmp_path)


def test_the_kernel_runs_where_no_cache_can_be_written() -> None:
    done = subprocess.run([sys.executable, "-c", _NO_CACHE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "agrees" in done.stdout
