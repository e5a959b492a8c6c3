"""The engine with CuPy, whose stand-in runs the real kernels on the CPU; in a process of its own.

anndata and Dask look for CuPy when they are imported, so it cannot come and go as in the kernels' own tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_engine_passes_its_gpu_tests_with_the_stand_in(repository: Path, tmp_path_factory) -> None:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    path = os.pathsep.join([str(repository / "tests/kernels/cuda/standin"), os.environ.get("PYTHONPATH", "")])
    environment = {"LEXICELL_SHIM_CACHE": str(shared / "lexicell-shim"), **os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/engine/on_gpu"]
    run = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode:
        pytest.fail(run.stdout + run.stderr, pytrace=False)
    assert " skipped" not in run.stdout
