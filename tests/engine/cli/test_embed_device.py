"""``--device`` and ``--rapids``, and what the doctor says of GPUs, on a machine without one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import anndata
import pytest

no_cupy = pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
no_cudf = pytest.mark.skipif(importlib.util.find_spec("cudf") is not None, reason="cuDF is installed")


@no_cupy
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_missing_gpu_is_one_sentence_and_a_usage_error(refused, h5ad, more):
    said = refused(h5ad, "--device", "cuda", *more)
    assert said.startswith("lexicell: error: a GPU needs CuPy, which is not installed: pip install")


def test_devices_differ_in_one_line_of_the_plan(lexicell, h5ad, tmp_path):
    plans = [
        json.loads(lexicell("embed", h5ad, tmp_path / "o.h5ad", "--dry-run", "--json", *device).out)
        for device in ((), ("--device", "cpu"))
    ]
    assert plans[0] == plans[1]
    assert plans[0]["device"] == "cpu"
    assert lexicell("embed", h5ad, tmp_path / "o.zarr", "--device", "gpu").code == 2


@no_cupy
def test_the_doctor_says_why_there_is_no_gpu_kernel(lexicell):
    told = json.loads(lexicell("doctor", "--json").out)
    assert told["gpu kernel"].startswith("no: a GPU needs CuPy, which is not installed: pip install")
    assert "GPU" not in told["used for embedding"]
    assert told["extras"]["rapids12 or rapids13"].startswith("missing cudf")


@no_cudf
def test_rapids_that_is_not_installed_is_said_with_the_line_to_install_it(refused, h5ad):
    assert refused(h5ad, "--rapids").endswith('pip install "lexicell[rapids13]"')


FAKE = """
import sys
def install():
    with open({told!r}, "w") as file:
        file.write("late" if "pandas" in sys.modules else "first")
    {then}
"""


@pytest.fixture
def with_cudf(tmp_path, h5ad):
    """Run ``embed --rapids`` in a Python of its own that has a cuDF which tells when it is installed."""

    def run(then="pass", before=""):
        package = tmp_path / "fake" / "cudf"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "pandas.py").write_text(FAKE.format(told=str(tmp_path / "told"), then=then))
        program = (
            f"{before}\nfrom lexicell.cli import main\nmain(['embed', {str(h5ad)!r}, 'out.zarr', '--rapids'])"
        )
        path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        told = tmp_path / "told"
        return done, told.read_text() if told.exists() else "never"

    return run


@pytest.mark.slow
def test_rapids_takes_the_place_of_pandas_before_anything_imports_it(with_cudf, tmp_path):
    done, told = with_cudf()
    assert (done.returncode, told) == (0, "first"), done.stderr
    assert anndata.read_zarr(tmp_path / "out.zarr").n_obs == 120


@pytest.mark.slow
def test_rapids_that_comes_too_late_says_so_and_goes_on(with_cudf, tmp_path):
    done, told = with_cudf(before="import pandas")
    assert (done.returncode, told) == (0, "never"), done.stderr
    assert "--rapids comes too late, pandas is imported already" in done.stderr
    assert (tmp_path / "out.zarr").is_dir()


@pytest.mark.slow
def test_rapids_without_a_gpu_is_one_sentence(with_cudf, tmp_path):
    done, _ = with_cudf(then="raise RuntimeError('no driver')")
    assert done.returncode == 2
    assert done.stderr == (
        "lexicell: error: --rapids: cudf.pandas cannot be used here (no driver); look at `lexicell doctor`\n"
    )
    assert not (tmp_path / "out.zarr").exists()
