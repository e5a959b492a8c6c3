"""Compiles CUDA source with g++ against the shim, and starts its kernels.

A source is compiled once: shared objects lie in a folder of the system's temporary one, or that which
``LEXICELL_SHIM_CACHE`` names, under a hash of everything they are made of. They get there by a rename, so
that several processes can build at once, and go when nobody has used them for a week.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["SANITIZERS", "CompileError", "Entry", "Library", "ShimError", "build", "load"]

SHIM = Path(__file__).parent / "shim"
_COMMON = ("-std=c++17", "-fPIC", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-g1")
_SCHEDULER = (*_COMMON, "-O2", "-Wall", "-Wextra", "-Werror")
# No fused multiply-adds and no assumptions about types in memory: sums come out alike with every compiler.
# To g++ `#pragma unroll kNumber` is unknown, and no use of the number.
_KERNEL = (*_COMMON, "-O1", "-fno-strict-aliasing", "-ffp-contract=off", "-fstack-clash-protection", "-Wall",
           "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-variable")  # fmt: skip
#: Extra flags of a build that finds accesses out of bounds and undefined behaviour.
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer")

_KEPT = 7 * 24 * 3600  # seconds


class CompileError(RuntimeError):
    """The compiler refused the source; its messages are the text."""


class ShimError(RuntimeError):
    """A kernel did what a GPU would hang on or answer with nonsense."""


def build(source: str, flags: Sequence[str] = ()) -> Path:
    """Compile `source`, whose kernels are named by ``LEXICELL_ENTRY``, to a shared object."""
    scheduler = _made(_scheduler_text(), ".o", (*_SCHEDULER, "-c", "-I", str(SHIM), *flags))
    options = (*_KERNEL, "-shared", "-include", str(SHIM / "cuda.h"), *flags)
    return _made(source, ".so", options, str(scheduler))


def load(source: str, flags: Sequence[str] = ()) -> Library:
    """Compile and load `source`."""
    return Library(build(source, flags))


class Library:
    """The kernels of one shared object."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))

    def static_shared_bytes(self) -> int:
        """Shared memory that the kernels which have run declare themselves."""
        count = self._library.lexicell_shim_static_bytes
        count.restype = ctypes.c_size_t
        return int(count())

    def entry(self, name: str) -> Entry:
        """Find a kernel; AttributeError where there is none of that name."""
        return Entry(self._library, name)


class Entry:
    """One kernel.

    Attributes
    ----------
    threads
        Threads of a block, which the source fixes.
    parameters
        One for each parameter: ``p`` and the size of what a pointer points at, or ``i`` or ``f`` and the size
        of an integer or a floating-point number.
    """

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._run = library[name]
        self._run.restype = ctypes.c_char_p
        described = library[f"{name}_parameters"]
        described.restype = ctypes.c_char_p
        self.parameters: list[str] = described().decode().split()
        self.threads: int = library[f"{name}_threads"]()

    def launch(self, blocks: int, shared_bytes: int, seed: int, arguments: Sequence[Any]) -> None:
        """Run every block to its end.

        Parameters
        ----------
        blocks, shared_bytes
            Size of the grid, dynamic shared memory of a block.
        seed
            Of the order in which threads run and of the garbage in shared memory; 0 is one after another.
        arguments
            ctypes objects that hold the values.

        Raises
        ------
        ShimError
            Threads wait for each other in vain, or at different lines.
        """
        pointers = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(a) for a in arguments))
        failure = self._run(
            ctypes.c_uint(blocks), ctypes.c_size_t(shared_bytes), ctypes.c_uint(seed), pointers
        )
        if failure is not None:
            raise ShimError(failure.decode())


@cache
def compiler() -> str:
    """``$CXX``, g++ or clang++."""
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not found:
        msg = "no C++ compiler: install g++, which runs the CUDA kernels on the CPU for the tests"
        raise CompileError(msg)
    return found


@cache
def _identity() -> str:
    """What every object depends on beside source and flags."""
    version = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    return version + "".join(p.read_text() for p in sorted(SHIM.iterdir()))


@cache
def _scheduler_text() -> str:
    return (SHIM / "fibers.cpp").read_text()


@cache
def _folder() -> Path:
    given = os.environ.get("LEXICELL_SHIM_CACHE")
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"lexicell-shim-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        msg = f"{folder} is somebody else's: set LEXICELL_SHIM_CACHE to a folder of your own"
        raise CompileError(msg)
    for made in folder.glob("*.*o"):
        if made.stat().st_mtime < time.time() - _KEPT:
            made.unlink(missing_ok=True)
    return folder


def _made(text: str, suffix: str, flags: Sequence[str], *objects: str) -> Path:
    digest = hashlib.sha256("\0".join((_identity(), text, *flags)).encode()).hexdigest()[:32]
    target = _folder() / f"{digest}{suffix}"
    if target.exists():
        target.touch()
    else:
        with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
            made = Path(scratch) / target.name
            command = [compiler(), *flags, "-x", "c++", "-", "-x", "none", *objects, "-o", str(made)]
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CompileError(done.stderr)
            made.replace(target)
    return target
