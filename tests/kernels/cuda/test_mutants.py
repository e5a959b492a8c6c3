"""Kernels with something taken out are noticed."""

from __future__ import annotations

import pytest

from lexicell_kernels.cuda.source import joined_source

from .mutants import killed_by, mutants

pytestmark = pytest.mark.slow


def test_the_kernels_as_they_are_pass() -> None:
    assert killed_by(joined_source()) is None


@pytest.mark.parametrize("name", mutants())
def test_a_mutant_is_killed(name: str) -> None:
    assert killed_by(mutants()[name]) is not None, f"survived: {name}"


def test_a_mutant_whose_text_is_gone_is_an_error() -> None:
    with pytest.raises(ValueError, match="up to date"):
        killed_by(None)


def test_a_mutant_that_does_not_compile_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        killed_by(joined_source() + "nonsense")
