"""Kernels built with AddressSanitizer and UBSan: correct ones run clean, faults are found.

Global memory is the heap, so that reading a byte too many is found as by compute-sanitizer on a GPU; shared
memory has red zones, too.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

from .build import compiler
from .stand_in import run_script

pytestmark = pytest.mark.slow

PARITY = """
import sys
import numpy as np
import cupy
from lexicell_kernels import cuda, parity
from tests.kernels.cuda.mutants import CHUNK, problems

cuda.CHUNK = CHUNK
given = [p for p in problems() if p.block.data.dtype == sys.argv[1]]
for block, table, options in given:
    parity.check_block(cuda, block, table, to_device=cupy.asarray, to_host=cupy.asnumpy, **options)
assert cupy.testing_counters.launches == 4 * len(given) > 0
print("clean")
"""

#: All faults are kernels of one source, so that there is one to compile.
PLANTED = """
import ctypes
import sys
import numpy as np
from cupy._raw import build

given, out = np.arange(128, dtype=np.int32), np.zeros(128, np.int32)
arguments = [ctypes.c_void_p(a.ctypes.data) for a in (given, out)]
entry = build.load(sys.argv[1], build.SANITIZERS).entry(sys.argv[2])
for seed in (0, 1):
    entry.launch(2, 512, seed, arguments)
assert (out == given[::-1]).all()
print("clean")
"""

KERNEL = """
__global__ void body{number}(const int* in, int* out) {{
  LEXICELL_SHARED(Numbers, fixed);
  LEXICELL_DYNAMIC_SHARED(memory);
  int* const x = reinterpret_cast<int*>(memory);
  const int t = int(threadIdx.x);
  fixed[t] = x[t] = in[t];
  __syncthreads();
  {body}
}}
LEXICELL_ENTRY(kernel{number}, (body{number}), 128)
"""

FAULTS = {
    "global memory, read": ("out[t] = in[t + (t == 127)];", "heap-buffer-overflow"),
    "global memory, written": ("out[t + (t == 127)] = in[t];", "heap-buffer-overflow"),
    "dynamic shared memory": ("out[t] = x[t + (t == 127)];", "heap-buffer-overflow"),
    "static shared memory": (
        "int i = t; if (t == 127) i += in[1]; out[t] = (&fixed[0])[i];",
        "insufficient space|global-buffer-overflow",
    ),
    "an array's bounds": ("out[t] = fixed[t + (t == 127)];", "out of bounds"),
    "a stack's array": (
        "int y[4] = {1, 2, 3, 4}; int* p = y; out[t] = p[in[t] % 5];",
        "insufficient space|stack-buffer-overflow",
    ),
    "a shift": ("out[t] = 1 << (in[t] & 32 ? 32 : 1);", "shift exponent 32"),
    "signed overflow": ("out[t] = in[t] + 0x7fffff81;", "signed integer overflow"),
    "16 bytes from an odd address": (
        "out[t] = int(reinterpret_cast<const uint4*>(in + 1)[t / 8].x);",
        "misaligned address",
    ),
}  # fmt: skip


@cache
def preloaded() -> str:
    """The sanitizers' libraries, which have to be there before Python is."""
    names = ("libasan.so", "libubsan.so", "libstdc++.so")
    found = [
        subprocess.run([compiler(), f"-print-file-name={n}"], capture_output=True, text=True, check=True)
        for n in names
    ]
    paths = [Path(f.stdout.strip()) for f in found]
    if not all(p.is_absolute() and p.exists() for p in paths):
        pytest.skip(f"{compiler()} comes without {', '.join(names)}")
    return " ".join(str(p.resolve()) for p in paths)


def run(code: str, *arguments: str, seed: int = 0) -> str:
    return run_script(
        code,
        *arguments,
        LD_PRELOAD=preloaded(),
        ASAN_OPTIONS="detect_leaks=0",
        UBSAN_OPTIONS="print_stacktrace=0",
        LEXICELL_SHIM_SANITIZE="1",
        LEXICELL_SHIM_SEED=str(seed),
        PYTHONMALLOC="malloc",
    )


@pytest.mark.parametrize("values", ["float32", "uint16"])
def test_the_kernels_run_clean(values: str) -> None:
    assert "clean" in run(PARITY, values, seed=1)


def planted(number: int) -> str:
    bodies = ["out[t] = fixed[127 - t];", *(body for body, _ in FAULTS.values())]
    kernels = "".join(KERNEL.format(number=i, body=body) for i, body in enumerate(bodies))
    return run(PLANTED, f"typedef int Numbers[128];{kernels}", f"kernel{number}")


def test_a_correct_kernel_runs_clean() -> None:
    assert "clean" in planted(0)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    with pytest.raises(AssertionError, match=FAULTS[fault][1]):
        planted(1 + list(FAULTS).index(fault))
