"""`RawModule` and `RawKernel`: CUDA C++ compiled by g++ and run on fibers."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from cupy._array import ndarray
from cupy._counters import counters
from cupy.cuda.stream import get_current_stream

_WITHOUT_ASKING = 48 * 1024  # bytes of shared memory that every kernel may use
_running = threading.Lock()  # fibers are one thread's, and a shared object has one set of them


def _load_build() -> Any:
    """Import ``build.py`` beside the stand-in, which is no package that could be imported by name."""
    path = Path(__file__).parents[2] / "build.py"
    spec = importlib.util.spec_from_file_location("lexicell_shim_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    if not hasattr(module, "build"):
        spec.loader.exec_module(module)
    return module


build = _load_build()


def _seed() -> int:
    """Of the order in which threads run: 0 is one after another, others differ from launch to launch."""
    seed = int(os.environ.get("LEXICELL_SHIM_SEED", "0"))
    return seed and seed * 1_000_003 + counters.launches


def _flags() -> tuple[str, ...]:
    """Builds that find bad accesses need AddressSanitizer loaded before Python."""
    return build.SANITIZERS if os.environ.get("LEXICELL_SHIM_SANITIZE") else ()


class RawKernel:
    """A kernel of a compiled module."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc",
                 *, module: RawModule | None = None) -> None:  # fmt: skip
        self._module = module or RawModule(code=code, options=options, backend=backend)
        self.name = self.__name__ = name
        self._shared_limit, self._asked = _WITHOUT_ASKING, False

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """How much a launch may ask for; more than 48 KiB only where set before, as on a GPU."""
        return self._shared_limit

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        from cupy.cuda import Device
        from cupy.cuda.driver import CUDADriverError

        if size > Device.attributes["MaxSharedMemoryPerBlockOptin"]:
            raise CUDADriverError(1, "CUDA_ERROR_INVALID_VALUE: invalid argument")
        self._shared_limit, self._asked = int(size), True

    attributes = property(lambda self: {"max_dynamic_shared_size_bytes": self._shared_limit})

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0
    ) -> None:
        """Run every block to its end."""
        from cupy.cuda import Device
        from cupy.cuda.driver import CUDADriverError

        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("grid and block must be tuples")
        library = self._module._library()
        entry = library.entry(self.name)
        blocks, threads = max(1, int(grid[0])), int(np.prod([max(1, n) for n in block]))
        if blocks >= 2**31 or threads != entry.threads or shared_mem > self._shared_limit:
            raise CUDADriverError(1, "CUDA_ERROR_INVALID_VALUE: invalid argument")
        arguments = [_argument(a, p) for a, p in _matched(args, entry)]

        def run(held: Any = args) -> None:  # what the arguments point at lives until then
            with _running:
                counters.launches += 1
                entry.launch(blocks, shared_mem, _seed() % 2**32, arguments)
                static = library.static_shared_bytes()  # known once the kernel has run
            if static + shared_mem > max(_WITHOUT_ASKING, Device.attributes["MaxSharedMemoryPerBlockOptin"]
                                         if self._asked else 0):  # fmt: skip
                raise CUDADriverError(1, "CUDA_ERROR_INVALID_VALUE: invalid argument")

        get_current_stream()._do(run)


class RawModule:
    """CUDA C++ source, compiled the first time that something of it is asked for."""

    def __init__(self, *, code: str | None = None, path: str | None = None, options: tuple[str, ...] = (),
                 backend: str = "nvrtc", translate_cucomplex: bool = False,
                 enable_cooperative_groups: bool = False, name_expressions: Any = None,
                 jitify: bool = False) -> None:  # fmt: skip
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if not isinstance(options, tuple) or not all(isinstance(o, str) for o in options):
            raise TypeError("options must be a tuple of str")
        self.code, self.options, self.backend = code, options, backend
        self._loaded: Any = None

    def _library(self) -> Any:
        if self._loaded is None:
            from cupy.cuda.compiler import CompileException

            counters.compilations += 1
            try:
                self._loaded = build.load(self.code, _flags())
            except build.CompileError as e:
                raise CompileException(str(e), self.code or "", "kernel.cu", self.options) from None
        return self._loaded

    def compile(self, log_stream: Any = None) -> None:
        self._library()

    def get_function(self, name: str) -> RawKernel:
        """Compile if that has not happened, and find a kernel."""
        from cupy.cuda.driver import CUDADriverError

        try:
            self._library().entry(name)
        except AttributeError:
            raise CUDADriverError(500, "CUDA_ERROR_NOT_FOUND: named symbol not found") from None
        return RawKernel(self.code or "", name, self.options, self.backend, module=self)


def _matched(args: Any, entry: Any) -> Any:
    if len(args) != len(entry.parameters):
        raise TypeError(f"the kernel has {len(entry.parameters)} parameters, {len(args)} were given")
    return zip(args, entry.parameters, strict=True)


def _argument(x: Any, parameter: str) -> Any:
    """One value in memory; where a GPU would read nonsense, an error says so.

    `parameter` is ``p`` and the size of what a pointer points at, or ``i`` or ``f`` and the scalar's size.
    """
    kind, size = parameter[0], int(parameter[1:])
    if isinstance(x, ndarray):
        if kind != "p" or x.itemsize != size:
            raise TypeError(f"an array of {x.dtype} was passed for parameter {parameter}")
        if not x.flags.c_contiguous:
            raise ValueError("an array that is not contiguous was passed to a kernel")
        return ctypes.c_void_p(x._host.ctypes.data)
    if x is None:
        raise TypeError("CuPy 13 passes a wild pointer for None; pass 0 for a null pointer")
    if kind == "p":
        if type(x) is not int or x != 0:
            raise TypeError(f"{x!r} was passed for a pointer")
        return ctypes.c_void_p(0)
    value = np.asarray(x)
    if value.ndim or value.itemsize != size or (value.dtype.kind == "f") != (kind == "f"):
        raise TypeError(f"{x!r} ({value.dtype}) was passed for parameter {parameter}")
    return (ctypes.c_char * size).from_buffer_copy(value.tobytes())
