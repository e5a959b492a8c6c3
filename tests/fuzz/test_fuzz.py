"""Some hundred of the cases that `make fuzz` runs by the thousand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.fuzz.campaign import run_cases
from tests.fuzz.edits import edit
from tests.fuzz.inputs import INPUTS, write_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("fuzz") / "inputs")


@pytest.mark.parametrize("cases", [range(40), pytest.param(range(40, 140), marks=pytest.mark.slow)], ids=str)
def test_damage_is_told_in_a_sentence_and_never_read_past_a_checksum(inputs: Path, cases: range) -> None:
    results = list(run_cases(cases, inputs))
    assert [result for result in results if result["fault"] is not None] == []
    assert len({result["end"] for result in results}) > 2
    assert len(cases) < 90 or {result["input"] for result in results} == set(INPUTS)


@pytest.mark.parametrize("name", ["mtx", "lexicon", "v2.zarr", "projection"])
def test_a_case_is_a_number(name: str, inputs: Path, tmp_path: Path) -> None:
    for seed in range(5):
        told, contents = [], []
        for again in ("one", "two"):
            path = tmp_path / f"{seed}{again}" / name
            shutil.copytree(inputs / name, path)
            told.append(edit(np.random.default_rng(seed), path))
            files = sorted(file for file in path.rglob("*") if file.is_file())
            contents.append([(file.relative_to(path), file.read_bytes()) for file in files])
        assert told[0] == told[1]
        assert contents[0] == contents[1]
