"""``python -m bench.gpu`` with the stand-in for CuPy: a script, so that its steps are processes as on a GPU.

``DRY_CRASH`` and ``DRY_HANG`` name a step that ends its process at once, or never comes back; ``DRY_LIMIT``
is how long it may take. With ``DRY_BARE`` it finds no package but what `bench.gpu.carry` brings or expects.
"""

from __future__ import annotations

import os
import re
import sys
import time
import tomllib
from importlib import machinery

from bench import machine
from bench.gpu import __main__ as program
from bench.gpu import carry, steps, timing
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


class BareFinder:
    """Finds no package that lexicell names in its requirements and extras, but those that are carried."""

    def __init__(self):
        project = tomllib.loads((steps.ROOT / "pyproject.toml").read_text())["project"]
        named = [*project["dependencies"], *(x for y in project["optional-dependencies"].values() for x in y)]
        names = {carry.normal(re.split(r"[^\w.-]", one)[0]) for one in named}
        # torch brings jinja2; Zarr loads zarrs wherever it is installed.
        brought = {*carry.NEEDED, *carry.THERE, "jinja2", "lexicell", "zarrs"}
        self.hidden = {MODULES.get(name, name.replace("-", "_")) for name in names - brought}

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in self.hidden
        return None if hidden else machinery.PathFinder.find_spec(name, path, target)

    invalidate_caches = staticmethod(machinery.PathFinder.invalidate_caches)
    find_distributions = staticmethod(machinery.PathFinder.find_distributions)


MODULES = {"scikit-learn": "sklearn", "umap-learn": "umap"}
if "DRY_BARE" in os.environ:
    sys.meta_path[sys.meta_path.index(machinery.PathFinder)] = BareFinder()
steps.PROGRAM = (__file__,)
timing.elapsed = elapsed
timing._kernel = lambda name: lambda *args: None  # of CUDA's own functions, which the shim does not have
machine.gpu = lambda: STAND_IN
program.steps = with_faults
if __name__ == "__main__":
    sys.exit(program.main())
