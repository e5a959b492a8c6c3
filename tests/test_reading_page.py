"""Every rule of docs/reading.md names the tests that hold it, and they exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "reading.md").read_text(encoding="utf-8")
RULES = [" ".join(rule.split()) for rule in re.findall(r"(?ms)^\* (.*?)(?=^\* |^#|\Z)", PAGE)]


@pytest.mark.parametrize("rule", RULES, ids=[rule[:40] for rule in RULES])
def test_a_rule_is_held_by_tests(repository: Path, rule: str) -> None:
    tests = re.findall(r"<!-- (\S+)::(\w+) -->", rule)
    assert tests
    for file, name in tests:
        assert re.search(rf"^def {name}\(", (repository / file).read_text(encoding="utf-8"), re.MULTILINE)
