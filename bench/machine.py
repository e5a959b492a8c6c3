"""What a record says about where it was measured: hardware and versions, no names and no paths."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "append", "fingerprint", "gpu"]

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "lexicell",
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "anndata",
    "h5py",
    "isal",
    "zarr",
    "zarrs",
    "annbatch",
    "distributed",
    "onnxruntime",
    "scikit-learn",
    "scanpy",
    "transformers",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "torch",
)
#: Of `nvidia-smi --query-gpu`, all only read: clocks as they are found are part of a measurement.
_SMI = (
    "driver_version",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "clocks.max.mem",
    "power.limit",
    "temperature.gpu",
    "utilization.gpu",
)


def fingerprint() -> dict[str, Any]:
    """CPU, memory and versions, and how busy the machine is at the moment."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": _cpu(),
        "cpus": cpus,
        "caches": _caches(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def gpu() -> dict[str, Any]:
    """The current CUDA device through CuPy: what it is, what drives it, and its clocks at the moment."""
    import cupy

    device = cupy.cuda.Device()
    has = device.attributes
    free, total = device.mem_info
    return {
        "name": cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode(),
        "compute_capability": device.compute_capability,
        "multiprocessors": has.get("MultiProcessorCount"),
        "memory_gib": round(total / 2**30, 1),
        "memory_free_gib": round(free / 2**30, 1),
        "l2_bytes": has.get("L2CacheSize"),
        "shared_bytes_per_block": has.get("MaxSharedMemoryPerBlockOptin"),
        "clock_khz": has.get("ClockRate"),
        "memory_clock_khz": has.get("MemoryClockRate"),
        "memory_bus_bits": has.get("GlobalMemoryBusWidth"),
        "cuda_driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "nvrtc": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "as_found": _smi(device.pci_bus_id),
    }


def append(record: dict[str, Any], path: Path) -> None:
    """Add one record, with the time, to a JSON Lines file, in one write: no end leaves half a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **record}
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")
        os.fsync(file)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    model = facts.get("model name", platform.machine())
    return f"{model} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def _smi(bus: str) -> dict[str, str]:
    """What nvidia-smi says of one device; empty where there is no such tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    asked = [tool, f"--id={bus}", f"--query-gpu={','.join(_SMI)}", "--format=csv,noheader"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    values = [v.strip() for v in said.stdout.strip().split(",")]
    return dict(zip(_SMI, values, strict=True)) if len(values) == len(_SMI) else {}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
