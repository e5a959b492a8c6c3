"""Machine code on disk is used where it is whole, and never stops a start where it is not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numba.core import config

from lexicell_kernels import _machine_code
from lexicell_kernels.jit import kernel

SOURCE = """
from lexicell_kernels.jit import kernel

def twice(x):
    return 2 * x

if __name__ == "__main__":
    print(kernel(cache=True)(twice)(21))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(config, "CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def start(
    program: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[int, bool, list[str]]]:
    """Do what a new process does: the result, whether its code came from disk, and what was said."""
    spec = importlib.util.spec_from_file_location("program", program)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "program", module)  # where Numba looks for what the code belongs to
    spec.loader.exec_module(module)

    def started(value: Any = 21) -> tuple[Any, bool, list[str]]:
        twice = kernel(cache=True)(module.twice)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            result = twice(value)
        return result, bool(twice.stats.cache_hits), [str(line.message) for line in said]

    return started


def test_the_first_start_says_that_it_compiles(start, caplog):
    with caplog.at_level("INFO", logger="lexicell_kernels"):
        start()
        assert "compiling" in caplog.text
        caplog.clear()
        start()
        assert not caplog.text


def files(cache: Path, suffix: str) -> list[Path]:
    return sorted(cache.rglob(f"*{suffix}"))


def test_whole_code_is_used_again(start, cache):
    assert start() == (42, False, [])
    assert start() == (42, True, [])
    assert start(1.5) == (3.0, False, [])
    assert (start(1.5), start()) == ((3.0, True, []), (42, True, []))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "one byte": lambda data: data[:1],
    "cut in the checksum": lambda data: data[:7],
    "cut after the checksum": lambda data: data[:16],
    "half": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda _: b"no machine code",
    "longer": lambda data: data + b"x",
    "first bit flipped": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "middle bit flipped": lambda data: data[:200] + bytes([data[200] ^ 4]) + data[201:],
    "last bit flipped": lambda data: data[:-1] + bytes([data[-1] ^ 128]),
}


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_deleted_compiled_anew_and_told(start, cache, suffix, damage):
    start()
    (file,) = files(cache, suffix)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    result, hit, said = start()
    assert (result, hit, len(said)) == (42, False, 1)
    assert str(cache) in said[0]
    assert start() == (42, True, [])


def test_missing_files_are_no_damage(start, cache):
    for suffix in (".nbi", ".nbc"):
        start()
        (file,) = files(cache, suffix)
        file.unlink()
        assert start() == (42, False, [])
        assert start() == (42, True, [])


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_what_cannot_be_replaced_is_done_without(start, cache, suffix):
    start()
    (file,) = files(cache, suffix)
    file.unlink()
    file.mkdir()
    (file / "mine").write_bytes(b"")
    for _ in range(2):
        result, hit, said = start()
        assert (result, hit) == (42, False)
        assert said
        assert all(str(cache) in line for line in said)


def test_a_disk_that_is_full_is_told_and_nothing_else(start, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_machine_code._CheckedFiles, "_save_data", full)
    result, _, said = start()
    assert result == 42
    assert "No space left on device" in said[0]


def test_code_under_the_name_of_another_signature_is_not_run(start, cache):
    """Two processes that start together may give both signatures one name."""
    start()
    start(1.5)
    whole, fraction = files(cache, ".nbc")
    whole.write_bytes(fraction.read_bytes())
    assert start()[:2] == (42, False)
    assert start(1.5)[0] == 3.0


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["whole", "damaged", "below a file"])
def test_a_new_process_starts_whatever_its_cache_is(program, tmp_path, folder):
    (tmp_path / "file").write_bytes(b"")
    cache = tmp_path / ("file/below" if folder == "below a file" else "kept")
    paths = os.pathsep.join(sys.path)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": paths}

    def run() -> str:
        command = [sys.executable, str(program)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "42\n"
        return done.stderr

    assert run() == ""
    if folder == "damaged":
        for file in (*files(cache, ".nbi"), *files(cache, ".nbc")):
            file.write_bytes(file.read_bytes()[:20])
        assert str(cache) in run()
    assert run() == ""
