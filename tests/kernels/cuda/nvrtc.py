"""Compile the GPU kernels with NVRTC on a machine without a GPU, and read what came of it.

Needs the wheels cuda-bindings, nvidia-cuda-nvrtc and nvidia-cuda-nvdisasm, nothing of a driver or a toolkit.
As a script it prints a table::

    python tests/kernels/cuda/nvrtc.py [sm_80 sm_90 ...]
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lexicell_kernels.cuda.source import OPTIONS, Instantiation

#: What is compiled for: A100, H100, B200 and RTX 50; and T4, the oldest that CUDA 13 knows.
ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120", "sm_75")

# CuPy adds these behind the caller's options.
_CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")
_USED = re.compile(r"Used (\d+) registers")
_STATIC = re.compile(r"(\d+) bytes smem")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


@dataclass(frozen=True)
class Compiled:
    """What NVRTC made of one instantiation.

    Attributes
    ----------
    registers
        Per thread.
    shared, stack, spills
        Bytes of static shared memory per block, of stack and of spilled registers per thread.
    seconds
        Compilation.
    cubin
        Machine code.
    """

    registers: int
    shared: int
    stack: int
    spills: int
    seconds: float
    cubin: bytes


def missing() -> str:
    """Say which wheel is not there, or nothing."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:
        return f"NVRTC is not installed: {error}"
    return "" if _nvdisasm().is_file() else "nvdisasm is not installed"


def _nvdisasm() -> Path:
    try:
        import nvidia
    except ImportError:
        return Path("nvdisasm")
    found = [path for folder in nvidia.__path__ for path in sorted(Path(folder).glob("*/bin/nvdisasm"))]
    return found[-1] if found else Path("nvdisasm")


def compile_for(arch: str, instantiation: Instantiation) -> Compiled:
    """Compile as CuPy does, for an architecture such as ``sm_90``."""
    from cuda.bindings import nvrtc

    def call(function, *arguments):
        status, *values = function(*arguments)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise RuntimeError(f"{function.__name__}: {status.name}")
        return values[0] if values else None

    def read(size, content, program) -> bytes:
        buffer = b" " * call(size, program)
        call(content, program, buffer)
        return buffer

    started = time.perf_counter()
    program = call(nvrtc.nvrtcCreateProgram, instantiation.source.encode(), b"lexicell.cu", 0, [], [])
    options = [o.encode() for o in (*OPTIONS, *_CUPY_OPTIONS, f"-arch={arch}", "--ptxas-options=-v")]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    log = read(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program).decode().rstrip("\0")
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"{instantiation} for {arch}:\n{log}")
    cubin = read(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    call(nvrtc.nvrtcDestroyProgram, program)
    stack, *spills = (int(n) for n in _STACK.search(log).groups())
    static = _STATIC.search(log)
    return Compiled(
        int(_USED.search(log)[1]),
        int(static[1]) if static else 0,
        stack,
        sum(spills),
        time.perf_counter() - started,
        cubin,
    )


def instructions(cubin: bytes, scratch: Path) -> list[str]:
    """Disassemble: the instructions with their operands, in order."""
    path = scratch / "kernel.cubin"
    path.write_bytes(cubin)
    listing = subprocess.run([_nvdisasm(), path], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(.*?);", listing, re.MULTILINE)


def instantiations() -> Iterator[Instantiation]:
    """Every type of counts, columns and table with each other, and the narrowest to the widest rows."""
    for values in ("uint16", "float32"):
        for columns in ("uint16", "int32"):
            yield Instantiation("lexicell_pick", values, columns, in_order=values == "uint16")
            for vectors in ("float16", "float32"):
                yield Instantiation("lexicell_embed", values, columns, columns == "uint16", vectors, 256)
    for vectors in ("float16", "float32"):
        for width in (16, 768, 1536):
            yield Instantiation("lexicell_embed", "uint16", "int32", width != 768, vectors, width)
            yield Instantiation("lexicell_embed", "float32", "int32", width == 768, vectors, width)


def _main(architectures: list[str]) -> None:
    line = "{:7} {:48} {:>4} {:>6} {:>5} {:>6} {:>7}\n"
    sys.stdout.write(line.format("", "", "regs", "shared", "stack", "spills", "seconds"))
    for arch in architectures or ARCHITECTURES:
        for instantiation in instantiations():
            c = compile_for(arch, instantiation)
            row = (c.registers, c.shared, c.stack, c.spills, f"{c.seconds:.2f}")
            sys.stdout.write(line.format(arch, str(instantiation), *row))
            sys.stdout.flush()


if __name__ == "__main__":
    _main(sys.argv[1:])
