"""``python -m bench.gpu`` with the stand-in for CuPy: a script, so that its steps are processes as on a GPU.

``DRY_CRASH`` and ``DRY_HANG`` name a step that ends its process at once, or never comes back.
"""

from __future__ import annotations

import os
import sys
import time

from bench import machine
from bench.gpu import __main__ as program
from bench.gpu import steps, timing
from bench.gpu.plan import steps as planned

STAND_IN = {"name": "stand-in", "memory_gib": 1.0, "as_found": {}}


def elapsed(queue):
    """By the host's clock: the stand-in works on the spot."""
    start = time.perf_counter()
    queue()
    return time.perf_counter() - start


def with_faults(*args):
    def crash(_):
        os._exit(7)

    def hang(_):
        time.sleep(600)

    found = planned(*args)
    for name, run in ((os.environ.get("DRY_CRASH"), crash), (os.environ.get("DRY_HANG"), hang)):
        if name:
            found[name] = steps.Step("faulty", float(os.environ.get("DRY_LIMIT", "60")), 1.0, run)
    return found


steps.PROGRAM = (__file__,)
timing.elapsed = elapsed
timing._kernel = lambda name: lambda *args: None  # of CUDA's own functions, which the shim does not have
machine.gpu = lambda: STAND_IN
program.steps = with_faults
if __name__ == "__main__":
    sys.exit(program.main())
