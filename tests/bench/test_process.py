import sys

import pytest
from bench.process import run_process

pytestmark = pytest.mark.slow


def test_peak_memory_is_that_of_the_command():
    small = run_process([sys.executable, "-c", "pass"])
    large = run_process([sys.executable, "-c", "b = bytearray(400_000_000); b[::4096] = b[::4096]"])
    assert large.peak_mb > 400
    assert large.peak_mb > small.peak_mb


def test_a_command_that_fails_says_why():
    with pytest.raises(RuntimeError, match="ended with 3: too bad"):
        run_process([sys.executable, "-c", "import sys; print('too bad', file=sys.stderr); sys.exit(3)"])
