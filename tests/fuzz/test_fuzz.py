"""Some hundred of the cases that `make fuzz` runs by the thousand."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz.campaign import run_cases
from tests.fuzz.inputs import write_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("fuzz") / "inputs")


@pytest.mark.parametrize("first", range(0, 240, 120))
def test_damage_is_told_in_a_sentence_and_never_read_past_a_checksum(first: int, inputs: Path) -> None:
    results = list(run_cases(range(first, first + 120), inputs))
    assert [result for result in results if result["fault"] is not None] == []
    assert len({result["end"] for result in results}) > 2


def test_a_case_is_a_number(inputs: Path) -> None:
    told = [[(result["input"], result["edit"]) for result in run_cases([7], inputs)] for _ in range(2)]
    assert told[0] == told[1]
