"""Where HDF5 runs in circles, somebody says so and Ctrl-C ends the process; a slow one goes on."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="needs POSIX"),
]

_OPEN = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
from lexicell.counts import open_counts
from lexicell.containers import h5watch
h5watch._TICK = 0.1
print("ready", flush=True)
"""


@pytest.fixture
def h5ad(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "cells.h5ad", "w") as file:
        for name, n in (("obs", 3), ("var", 2)):
            table = file.create_group(name)
            table.attrs.update(
                {"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"}
            )
            table.attrs["column-order"] = np.zeros(0)
            names = [f"{name}{i}" for i in range(n)]
            table.create_dataset("_index", data=names, dtype=h5py.string_dtype())
            table["_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
        file["X"] = np.ones((3, 2), np.float32)
    return tmp_path / "cells.h5ad"


@pytest.fixture
def circular(h5ad: Path) -> Path:
    """Names in a heap whose free space has a length of 0: HDF5 looks for what follows it for ever."""
    data = bytearray(h5ad.read_bytes())
    heap = data.index(b"GCOL")
    place = heap + 16
    while True:
        number, _, _, size = struct.unpack_from("<HHIQ", data, place)
        if number == 0:
            break
        place += 16 + -(-size // 8) * 8
    struct.pack_into("<Q", data, place + 8, 0)
    h5ad.write_bytes(data)
    return h5ad


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python in a process group of its own, as a terminal does, and wait for the imports."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *args: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _OPEN + code, *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_file_that_hdf5_does_not_come_back_from_is_told_and_ended_by_ctrl_c(
    start: Callable[..., subprocess.Popen[str]], circular: Path
) -> None:
    process = start("open_counts(sys.argv[1])", circular)
    assert process.stderr is not None
    said = process.stderr.readline()
    if "Traceback" in said or not said:
        pytest.skip("this HDF5 notices")
    assert f"{circular}: HDF5 has not come back for 2 s; the file may be damaged" in said
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert process.stderr.read() == ""  # and whoever told it is gone too


def test_a_process_that_lives_hears_nothing_and_ends_as_ever(
    start: Callable[..., subprocess.Popen[str]], h5ad: Path
) -> None:
    process = start(
        "s = open_counts(sys.argv[1]); time.sleep(3); print('slept', flush=True); time.sleep(60)", h5ad
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "slept\n"
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert "HDF5" not in said
    assert said.endswith("KeyboardInterrupt\n")
