"""The CPU backend against the definition."""

import pytest

from lexicell_kernels import cpu, parity


@pytest.mark.parametrize("case", list(parity.cases()), ids=str)
def test_cpu_agrees_with_the_reference(case: parity.Case) -> None:
    parity.check(cpu, case)
