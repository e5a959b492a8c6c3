"""Everything passes on a machine without the real data sets, and says that it ran so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bench.real_data import data_folder


@pytest.mark.slow
@pytest.mark.parametrize("given", ["nowhere", "empty"])
def test_without_the_data_what_needs_them_is_skipped_and_the_head_of_the_run_says_so(
    repository: Path, tmp_path: Path, given: str
) -> None:
    (tmp_path / "empty").mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "data", "tests/engine/lexicon/text"],
        cwd=repository, env=os.environ | {"LEXICELL_DATA": str(tmp_path / given)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert re.search(r"\b4 skipped, \d+ deselected in", ended.stdout)
    head = next(line for line in ended.stdout.splitlines() if line.startswith("real data: "))
    assert str(tmp_path / given) in head
    assert ("none" in head) == (given != "empty")


def test_what_uses_the_data_is_marked(request: pytest.FixtureRequest) -> None:
    real = [item for item in request.session.items if re.search(r"\[.*(pbmc3k|baron)", item.name)]
    assert all(item.get_closest_marker("data") for item in real)


@pytest.mark.parametrize("given", [None, ""])
def test_by_default_the_data_are_looked_for_beside_the_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.delenv("LEXICELL_DATA", raising=False)
    if given is not None:
        monkeypatch.setenv("LEXICELL_DATA", given)
    assert data_folder() == repository.parent / "shared" / "data"


def test_the_data_are_found_in_one_way_only(repository: Path) -> None:
    looks = re.compile(r'environ.*LEXICELL_DATA|shared(/|" / ")data')
    files = [path for folder in ("tests", "bench", "studies") for path in (repository / folder).rglob("*.py")]
    found = [path.relative_to(repository) for path in files if looks.search(path.read_text(encoding="utf-8"))]
    assert sorted(map(str, found)) == ["bench/real_data.py", "tests/test_real_data.py"]


def test_ci_first_runs_the_readmes_command_with_neither_data_nor_a_home(repository: Path) -> None:
    lines = (repository / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    ran = [line for line in lines if "make " in line and not line.startswith(("#", "echo", "make .venv"))]
    targets = [word for line in ran for word in line.partition("make ")[2].split() if word[0] != "-"]
    assert targets == ["test", "test-rest", "lint", "docs", "dist"]
    assert re.search(r'\bHOME="\$newcomer/home" LEXICELL_DATA="\$newcomer/no-data" make test$', ran[0])
