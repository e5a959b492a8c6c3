"""On a GPU, copies and waiting for the kernel are stages of the thread that decodes."""

from __future__ import annotations

import pytest

from lexicell.embedding import Options, make_plan
from lexicell.embedding.inputs import Inputs, Output
from lexicell.embedding.profile import Profile
from lexicell.embedding.run import run_to_store

cupy = pytest.importorskip("cupy", reason="test_on_gpu.py runs this with the stand-in for CuPy")

pytestmark = pytest.mark.gpu


def test_copies_and_the_kernel_are_told_apart(cells, tmp_path):
    cells[:40].copy().write_h5ad(tmp_path / "cells.h5ad")
    profile, inputs = Profile(), Inputs((str(tmp_path / "cells.h5ad"),))
    with inputs.open() as source:
        plan = make_plan(source, Options(top_k=40, device="cuda"))
        run_to_store(plan, Output(str(tmp_path / "out.zarr")), inputs, profile=profile, workers=1)
    stages = profile.workers()["worker 0"]
    assert all(stages[stage] > 0 for stage in ("read", "decode", "copy", "kernel", "write"))
