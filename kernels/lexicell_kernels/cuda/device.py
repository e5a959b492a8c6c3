"""CuPy and the device: what is missing where they can't be used, compiled kernels, launches, memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lexicell_kernels.cuda.source import OPTIONS, Instantiation, source_hash
from lexicell_kernels.types import DeviceMemoryError, GpuUnavailableError

__all__ = ["device_memory", "launch", "require_cupy", "shared_limit"]

_INSUFFICIENT_DRIVER, _NO_DEVICE = 35, 100  # cudaError_t
_WITHOUT_ASKING = 48 * 1024  # bytes of shared memory that every kernel may use
_KERNELS: dict[tuple[str, str, Instantiation], Any] = {}


def require_cupy() -> Any:
    """Import CuPy, and see that there is a device.

    Returns
    -------
    module
        ``cupy``.

    Raises
    ------
    GpuUnavailableError
        CuPy is not installed or can't be loaded, or there is no driver, a driver that is older than CuPy's
        CUDA, or no device.
    """
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise GpuUnavailableError(_unloadable(error)) from error
        msg = (
            "a GPU needs CuPy, which is not installed: "
            'pip install "lexicell[cuda13]", or "lexicell[cuda12]" for a driver of CUDA 12'
        )
        raise GpuUnavailableError(msg) from error
    except ImportError as error:
        raise GpuUnavailableError(_unloadable(error)) from error
    runtime = cupy.cuda.runtime
    try:
        devices = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise GpuUnavailableError(_no_device(runtime, error)) from error
    if not devices:
        raise GpuUnavailableError(_no_visible_device())
    return cupy


def _unloadable(error: ImportError) -> str:
    return (
        f"CuPy is installed but can't be loaded ({_last_line(error)}): uninstall every cupy package, "
        'then pip install "lexicell[cuda13]" or "lexicell[cuda12]"'
    )


def _last_line(error: Exception) -> str:
    """Shorten CuPy's boxed messages to what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =")]
    return lines[-1] if lines else type(error).__name__


def _no_visible_device() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
    return f"there is no NVIDIA GPU here that can be used{hidden}: choose the CPU"


def _no_device(runtime: Any, error: Any) -> str:
    if error.status == _NO_DEVICE:
        return _no_visible_device()
    if error.status != _INSUFFICIENT_DRIVER:
        return f"the NVIDIA driver can't be used ({error}): look at nvidia-smi, or choose the CPU"
    driver, built_for = runtime.driverGetVersion() // 1000, runtime.runtimeGetVersion() // 1000
    if not driver:
        return "there is no NVIDIA driver on this machine: install one, or choose the CPU"
    return (
        f"CuPy is made for CUDA {built_for}, but the NVIDIA driver knows CUDA {driver}: uninstall "
        f'cupy-cuda{built_for}x and pip install "lexicell[cuda{driver}]", or update the driver'
    )


def shared_limit() -> int:
    """Bytes of shared memory that a block may have on the current device, static and dynamic together."""
    return int(require_cupy().cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"])


def _kernel(instantiation: Instantiation) -> Any:
    """Compile for the current device, unless this process has; CuPy keeps what earlier ones made on disk."""
    arch = str(require_cupy().cuda.Device().compute_capability)
    key = (source_hash(), arch, instantiation)
    if key not in _KERNELS:
        _KERNELS[key] = _compiled(instantiation)
    return _KERNELS[key]


def _compiled(instantiation: Instantiation) -> Any:
    cupy = require_cupy()
    try:
        module = cupy.RawModule(code=instantiation.source, options=OPTIONS)
        return module.get_function(instantiation.entry)
    except RuntimeError as error:  # CuPy's own or that of cuda-pathfinder, by version
        if "libnvrtc" not in str(error):
            raise
        built_for = cupy.cuda.runtime.runtimeGetVersion() // 1000
        msg = f'NVRTC, which compiles the kernels, is not installed: pip install "lexicell[cuda{built_for}]"'
        raise GpuUnavailableError(msg) from error


def launch(instantiation: Instantiation, n_rows: int, shared: int, arguments: Sequence[Any]) -> None:
    """Put a kernel on the current stream of the current device, one block per row, and return at once.

    Parameters
    ----------
    instantiation
        Which kernel; compiled on first use.
    n_rows
        Blocks, at least 1.
    shared
        Dynamic shared memory in bytes.
    arguments
        CuPy arrays, NumPy scalars of the parameters' types, and None for a null pointer.

    Raises
    ------
    GpuUnavailableError
        The kernel's compiler is not installed.
    RuntimeError
        CuPy's ``CUDADriverError``: the launch failed, or the work before it on this device did. CuPy asks the
        driver after every launch.
    """
    kernel = _kernel(instantiation)
    if instantiation.static_bytes + shared > _WITHOUT_ASKING:
        # Always the most, so that another thread's call is never left with less than it needs.
        kernel.max_dynamic_shared_size_bytes = shared_limit() - instantiation.static_bytes
    # Older versions of CuPy pass None as a pointer that is not null.
    passed = tuple(0 if a is None else a for a in arguments)
    kernel((n_rows,), (instantiation.threads,), passed, shared_mem=shared)


@contextmanager
def device_memory(what: str, n_bytes: int) -> Iterator[None]:
    """Allocate `n_bytes` for `what` inside: where the GPU has no room, say so with sizes.

    Raises
    ------
    DeviceMemoryError
        From a MemoryError, which CuPy's pool and RAPIDS' raise.
    """
    try:
        yield
    except MemoryError as error:
        free, total = require_cupy().cuda.Device().mem_info
        msg = (
            f"{what} takes {_size(n_bytes)} of GPU memory, and {_size(free)} of {_size(total)} are free: "
            "embed fewer rows at a time, or choose the CPU"
        )
        raise DeviceMemoryError(msg) from error


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:,.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:,.1f} MiB"
