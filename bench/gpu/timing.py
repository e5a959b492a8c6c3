"""Times on a CUDA device, and what its memory can do at most.

A time is taken between two events behind a kernel that only waits, so that the queue is never empty and
what Python needs for a launch is not counted; that cost is measured on its own. Cases take turns in rounds,
so that whatever the clocks do hits all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Timed", "copy_bandwidth", "elapsed", "gather_bandwidth", "measure", "per_call"]

_WAIT_CYCLES = 2_000_000  # about a millisecond: more than Python needs for what is queued behind it

_SOURCE = r"""
extern "C" __global__ void wait(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {}
}

// What pooling reads, and nothing else: block b reads k rows of a table in 16-byte pieces, 128 threads side
// by side, several rows in flight for each. The result goes nowhere, but the compiler can't know that.
extern "C" __global__ void __launch_bounds__(128)
gather(const uint4* table, const int* rows, int k, int pieces, uint4* out) {
  const int slices = blockDim.x / pieces, piece = threadIdx.x % pieces;
  const int* mine = rows + (size_t)blockIdx.x * k + threadIdx.x / pieces;
  uint4 x = {0u, 0u, 0u, 0u};
  for (int j = 0; j < k; j += 8 * slices) {
    uint4 q[8];
    #pragma unroll
    for (int u = 0; u < 8; ++u) q[u] = table[(size_t)mine[j + u * slices] * pieces + piece];
    #pragma unroll
    for (int u = 0; u < 8; ++u) { x.x ^= q[u].x; x.y ^= q[u].y; x.z ^= q[u].z; x.w ^= q[u].w; }
  }
  if (x.x == 0x9e3779b9u && x.y == 0x7f4a7c15u && x.z == 0xf39cc060u) out[0] = x;
}
"""


@dataclass(frozen=True)
class Timed:
    """One row of a table.

    Attributes
    ----------
    name
        Unique among the cases.
    cells
        That one run embeds.
    run
        Queue one run; the argument is the number of the round, so that inputs rotate.
    """

    name: str
    cells: int
    run: Callable[[int], object]


def elapsed(queue: Callable[[], object]) -> float:
    """Seconds that the device needs for what `queue` queues on the current stream."""
    import cupy

    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    _kernel("wait")((1,), (1,), (np.int64(_WAIT_CYCLES),))
    start.record()
    queue()
    stop.record()
    stop.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, stop)) / 1e3


def measure(
    cases: Sequence[Timed],
    rounds: int,
    out_of_time: Callable[[], bool],
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Time all cases in turns, after two runs of each that do not count (the first compiles).

    Returns
    -------
    dict
        Case name -> ``cells`` of a run, ``seconds`` of each run, ``cells_per_s`` and its quartiles. Cases
        are left out that time did not suffice to prepare; rounds are fewer where it did not for all.
    """
    import cupy

    ready: list[Timed] = []
    for case in cases:
        if out_of_time():
            break
        for i in range(2):
            case.run(i)
        ready.append(case)
    tell(f"{len(ready)} of {len(cases)} cases are ready")
    cupy.cuda.get_current_stream().synchronize()
    seconds: dict[str, list[float]] = {case.name: [] for case in ready}
    for i in range(rounds):
        if i and out_of_time():
            break
        for case in ready:
            seconds[case.name].append(elapsed(lambda case=case, i=i: case.run(i)))  # type: ignore[misc]
    rows = {case.name: _row(case.cells, seconds[case.name]) for case in ready}
    for name, row in rows.items():
        tell(f"{row['cells_per_s'] / 1e6:10.3f} M cells/s  {name}")
    return rows


def _row(cells: int, seconds: list[float]) -> dict[str, Any]:
    low, middle, high = np.quantile(cells / np.array(seconds), [0.25, 0.5, 0.75])
    return {
        "cells": cells,
        "seconds": [round(s, 7) for s in seconds],
        "cells_per_s": round(middle),
        "quartiles": [round(low), round(high)],
    }


def per_call(call: Callable[[], object], times: int = 200) -> dict[str, float]:
    """Microseconds that the caller needs to queue `call`, and until its result is there."""
    import cupy

    stream = cupy.cuda.get_current_stream()
    queued, done = [], []
    for _ in range(times):
        stream.synchronize()
        start = time.perf_counter()
        call()
        queued.append(time.perf_counter() - start)
        stream.synchronize()
        done.append(time.perf_counter() - start)
    return {
        "queued_us": round(float(np.median(queued)) * 1e6, 1),
        "done_us": round(float(np.median(done)) * 1e6, 1),
    }


def copy_bandwidth(most: int = 4 << 30, repeats: int = 12) -> dict[str, float]:
    """Copy `most` bytes, or as many as fit, within device memory: bytes read plus bytes written a second."""
    import cupy

    size = min(most, int(cupy.cuda.Device().mem_info[0]) // 4)
    source = cupy.full(size // 4, 1.5, cupy.float32)
    target = cupy.empty_like(source)
    seconds = [elapsed(lambda: cupy.copyto(target, source)) for _ in range(repeats)][2:]
    return {"bytes": float(size), "bytes_per_s": round(2 * source.nbytes / float(np.median(seconds)))}


def gather_bandwidth(vectors: Any, rows: Any, repeats: int = 12) -> float:
    """Bytes a second of table rows read by lists of them, out of whatever caches hold the table.

    Parameters
    ----------
    vectors
        ``[m, p]`` on the device; the 16-byte pieces of a row divide 128.
    rows
        ``[blocks, k]`` int32 on the device; k is a multiple of 1024 over the pieces of a row.

    Raises
    ------
    ValueError
        `vectors` or `rows` have another shape.
    """
    import cupy

    pieces = vectors.shape[1] * vectors.itemsize // 16
    if 128 % pieces or rows.shape[1] % (1024 // pieces):
        msg = f"no gather of {rows.shape[1]} rows of {pieces} pieces each"
        raise ValueError(msg)
    out = cupy.zeros(4, cupy.uint32)
    arguments = (vectors, rows, np.int32(rows.shape[1]), np.int32(pieces), out)
    gather = _kernel("gather")
    seconds = [elapsed(lambda: gather((rows.shape[0],), (128,), arguments)) for _ in range(repeats)][2:]
    return float(round(rows.size * pieces * 16 / np.median(seconds)))


def _kernel(name: str) -> Any:
    import cupy

    return cupy.RawKernel(_SOURCE, name)
