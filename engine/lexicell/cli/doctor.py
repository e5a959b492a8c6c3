"""``lexicell doctor``."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.util import find_spec
from typing import Any

from lexicell.cli import _console
from lexicell.cli._options import Json

__all__ = ["doctor"]

#: Extra -> modules that it brings; looked for without importing them.
_EXTRAS = {
    "demo": ("scanpy", "umap", "matplotlib", "sklearn"),
    "encoders": ("torch", "transformers", "tokenizers", "onnxscript"),
    "evaluate": ("sklearn", "matplotlib"),
    "plot": ("matplotlib", "datashader"),
    "report": ("jinja2", "umap", "sklearn"),
    "distributed": ("dask", "distributed"),
    "cuda12 or cuda13": ("cupy",),
    "rapids12 or rapids13": ("cudf", "rapids_singlecell"),
}
_CORE = ("numpy", "scipy", "numba", "anndata", "zarr", "h5py", "onnx", "onnxruntime")


def doctor(as_json: Json = False) -> None:
    """Show what this machine has and what will be used."""
    report = _examine()
    if as_json:
        _console.result_json(report)
        return
    _console.facts({k: v for k, v in report.items() if not isinstance(v, dict)})
    for title in ("versions", "extras", "lexicons"):
        _console.result(f"\n{title}")
        _console.facts({f"  {name}": value for name, value in report[title].items()})


def _examine() -> dict[str, Any]:
    import onnxruntime

    from lexicell._version import installed_version
    from lexicell.errors import LexicellError
    from lexicell.lexicon import Lexicon, bundled_lexicons
    from lexicell_kernels.cpu import available_cpus, machine_code_folder

    lexicons = {}
    for name in bundled_lexicons():
        try:
            lexicons[name] = f"{Lexicon.open(name).n_genes:,} genes, verified"
        except LexicellError as error:
            lexicons[name] = str(error)
    runs, gpu_kernel = _gpu_kernel()
    return {
        "lexicell": installed_version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": f"{available_cpus()} usable of {os.cpu_count()}",
        "gpu": _gpu() or "none found",
        "gpu kernel": gpu_kernel,
        "used for embedding": f"CPU kernel, {available_cpus()} threads"
        + ("; with --device cuda, and for CuPy matrices, the GPU kernel" if runs else ""),
        "onnxruntime providers": ", ".join(onnxruntime.get_available_providers()),
        "cache": _cache(),
        "machine code": machine_code_folder()
        or "not kept, so each start compiles anew: set NUMBA_CACHE_DIR to a folder that can be written to",
        "versions": {name: _version(name) for name in _CORE},
        "extras": {
            extra: "installed"
            if not (missing := [m for m in modules if find_spec(m) is None])
            else f'missing {", ".join(missing)}: pip install "lexicell[{extra.partition(" ")[0]}]"'
            for extra, modules in _EXTRAS.items()
        },
        "lexicons": lexicons,
    }


def _cache() -> str:
    """Where models, vectors and downloads are kept, and how much that is; it may be deleted."""
    from lexicell._files import cache_folder

    try:
        folder = cache_folder()
    except RuntimeError:  # a user without a home
        return "none: set LEXICELL_CACHE to a folder"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder} ({size / 1e6:,.0f} MB)"


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _gpu_kernel() -> tuple[bool, str]:
    """Whether the GPU kernel runs, found out with one cell, and what there is to say about that."""
    import numpy as np

    from lexicell.arrays import require_gpu
    from lexicell.lexicon.table import shares_memory
    from lexicell_kernels import CsrBlock, GeneTable, embed_rows

    block = CsrBlock(
        data=np.ones(1, np.float32),
        indices=np.zeros(1, np.int32),
        indptr=np.array([0, 1], np.int64),
        n_columns=1,
    )
    table = GeneTable(np.ones((1, 16), np.float32), np.zeros(1, np.int32))
    try:
        embed_rows(block, table, k=1, device="cuda")
    except Exception as error:  # whatever it is, it is what one wants to know
        return False, f"no: {error}"
    device = require_gpu().cuda.Device()
    free, total = (size / 2**30 for size in device.mem_info)
    handed = "handed over by ONNX Runtime" if shares_memory() else "uploaded (no onnxruntime-gpu)"
    return True, (
        f"runs on compute capability {device.compute_capability[:-1]}.{device.compute_capability[-1]}, "
        f"{free:,.1f} of {total:,.1f} GiB free; gene tables are {handed}"
    )


def _gpu() -> str | None:
    """Name NVIDIA's GPUs, asking the driver's own tool rather than importing a GPU library."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return "; ".join(answer.stdout.split("\n")).strip("; ") if answer.returncode == 0 else None
