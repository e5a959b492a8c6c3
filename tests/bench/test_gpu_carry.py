"""The folder for a machine without a network: what is in it, how large it may be, how it is unpacked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from bench.gpu import __main__ as gpu
from bench.gpu import carry
from bench.gpu.wheels import CarriedError, unpack

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def wheel(folder, name, *needs, files=()):
    """Write a wheel that has `files`, and needs others."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as made:
        lines = [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            "Version: 1.0",
            *(f"Requires-Dist: {need}" for need in needs),
        ]
        made.writestr(f"{name}-1.0.dist-info/METADATA", "\n".join(lines) + "\n")
        for file in (f"{name}/__init__.py", *files):
            made.writestr(file, "x = 1\n")
    return path


def test_versions_are_those_that_are_tested_with_for_the_machines_python():
    for python in ("3.11", "3.12"):
        versions = carry.pins(ROOT / "constraints.txt", python)
        assert set(carry.NEEDED) <= set(versions)
    old, new = (carry.pins(ROOT / "constraints.txt", python) for python in ("3.11", "3.12"))
    assert old["anndata"].startswith("0.12.")
    assert new["anndata"].startswith("0.13.")
    assert new["cuda-bindings"]  # the machine runs Linux, whatever this one does


def test_all_that_the_package_requires_is_carried_expected_or_left_out_on_purpose():
    named = {carry.normal(re.split(r"[^\w.-]", one)[0]) for one in PROJECT["dependencies"]}
    left_out = {"onnx", "rich", "typer", "urllib3"}  # building lexicons, the command line, downloads
    assert named - set(carry.NEEDED) - set(carry.THERE) == left_out


def test_pip_fetches_wheels_for_the_other_machine_without_what_they_need():
    line = carry.download_command(["zarr==3.4.2"], "3.12", Path("wheels"))
    assert {"--no-deps", "--only-binary=:all:", "manylinux2014_x86_64", "zarr==3.4.2"} <= set(line)
    assert line[line.index("--python-version") + 1] == "3.12"


def test_a_folder_that_is_too_large_names_the_largest_files(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "large.whl").write_bytes(bytes(900))
    (tmp_path / "cells.npz").write_bytes(bytes(100))
    assert carry.check_size(tmp_path, 1_000) == 1_000
    with pytest.raises(CarriedError, match=r"0 MB.*large\.whl.*cells\.npz"):
        carry.check_size(tmp_path, 999)
    assert carry.LIMIT == 60_000_000


def test_what_is_not_needed_is_taken_out_of_large_wheels_only(tmp_path):
    needed = ("pyarrow/libarrow.so.2600", "pyarrow/libarrow_substrait.so.2600", "pyarrow/parquet/core.py")
    large = ("pyarrow/libarrow_flight.so.2600", "pyarrow/include/arrow/api.h", "pyarrow/tests/test_array.py")
    path = wheel(tmp_path, "pyarrow", files=(*needed, *large))
    carry.slim(path)
    with ZipFile(path) as held:
        assert set(needed) <= set(held.namelist())
        assert not set(large) & set(held.namelist())
        assert held.testzip() is None
    other = wheel(tmp_path, "zarr", files=("zarr/tests/a.py",))
    before = other.read_bytes()
    carry.slim(other)
    assert other.read_bytes() == before


def test_what_the_wheels_need_and_nobody_has_is_named(tmp_path):
    wheels = [
        wheel(
            tmp_path, "zarr", "numcodecs>=0.16", "numpy", 'old; python_version < "3.12"', 'x; extra == "all"'
        ),
        wheel(tmp_path, "typing_extensions"),
        wheel(tmp_path, "pydantic", "typing-extensions", "pydantic-core==2"),
    ]
    assert carry.lacking(wheels, "3.12") == ["numcodecs", "pydantic-core"]
    assert carry.lacking(wheels, "3.12", ["Numcodecs"]) == ["pydantic-core"]
    assert carry.lacking(wheels, "3.11", ["numcodecs"]) == ["old", "pydantic-core"]


@pytest.fixture
def pip(monkeypatch):
    """A pip that writes small wheels instead of fetching large ones."""
    asked = []

    def download(line, **_):
        asked.extend(word for word in line if "==" in word)
        into = Path(line[line.index("--dest") + 1])
        for word in asked:
            wheel(into, word.partition("==")[0].replace("-", "_"))
        return subprocess.CompletedProcess(line, 0, "", "")

    monkeypatch.setattr(carry.subprocess, "run", download)
    return asked


def test_a_folder_has_wheels_cells_and_the_command_and_is_unpacked_without_pip(pip, cells, tmp_path, capsys):
    cells.write_h5ad(tmp_path / "blood.h5ad")
    folder = tmp_path / "carried"
    wanted = ["--there", "pyarrow", "--data", str(tmp_path / "blood.h5ad")]
    assert carry.main([str(folder), "--python", HERE, *wanted]) == 0
    command = "python -m bench.gpu --carried carried"
    assert command in capsys.readouterr().out
    assert command in (folder / "README.txt").read_text()
    assert not [word for word in pip if word.startswith("pyarrow")]
    facts = json.loads((folder / "carried.json").read_text())
    assert facts["python"] == HERE
    assert "pyarrow" in facts["there"]
    assert set(facts["wheels"]) == {path.name for path in (folder / "wheels").iterdir()}
    site = unpack(folder, tmp_path / "site")
    assert (site / "zarr" / "__init__.py").is_file()
    versions = {held.name: held.version for held in distributions(path=[str(site)])}
    assert versions["lexicell"] == PROJECT["version"]
    assert carry.main([str(folder)]) == 1
    assert "is not empty" in capsys.readouterr().err


def test_a_folder_that_can_not_be_used_is_told_before_anything_runs(tmp_path, capsys):
    assert gpu.main(["--carried", str(tmp_path)]) == 2
    assert "is no folder from `python -m bench.gpu.carry`" in capsys.readouterr().err
    (tmp_path / "carried.json").write_text('{"python": "2.7"}')
    assert gpu.main(["--carried", str(tmp_path)]) == 2
    assert f"is for Python 2.7, and this is {HERE}" in capsys.readouterr().err


@pytest.mark.skipif(not os.environ.get("LEXICELL_CARRY"), reason="fetches 60 MB: set LEXICELL_CARRY=1")
def test_the_real_folder_is_small_enough(tmp_path):
    assert carry.main([str(tmp_path / "carried")]) == 0
