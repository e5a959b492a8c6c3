"""The wording of errors: the only test that a changed sentence should break."""

from __future__ import annotations

from pathlib import Path

import pytest

from .wording import GOLDEN, say


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_errors_are_worded_as_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    said = say(tmp_path / "here")
    assert said == GOLDEN.read_text(encoding="utf-8"), "if it should be so: python -m tests.messages"
