"""Peak memory and cells/s of ``lexicell embed IN.h5ad OUT.zarr``, as a process of its own.

``python -m bench.endtoend [--cells 20000 100000] [--repeats 3] [--json FILE] [-- EMBED OPTIONS]``

Several sizes show that peak memory does not grow with the number of cells and what the start costs. The
file was written just before, so its pages are in the cache ("warm"). Linux counts the memory of the process
that starts another into the other's peak, so a bare interpreter stands between.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine

__all__ = ["command", "main", "peak_of"]

_OPTIONS = ("--top-k", "128", "--dtype", "f16")


#: Run argv, print wall seconds, CPU seconds, peak and wait status. Its own 10 MB are the least it can report.
_WATCH = """
import os, sys, time
start = time.perf_counter()
null = os.open(os.devnull, os.O_WRONLY)
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
_, status, usage = os.wait4(pid, 0)
print([time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, status])
"""


def command(source: Path, store: Path, options: Sequence[str] = _OPTIONS) -> list[str]:
    """Build the command line as in the design."""
    beside = Path(sys.executable).with_name("lexicell")
    program = str(beside) if beside.exists() else shutil.which("lexicell")
    if program is None:
        msg = "there is no lexicell command; run: pip install -e ."
        raise FileNotFoundError(msg)
    return [program, "embed", str(source), str(store), *options]


def peak_of(line: Sequence[str]) -> dict[str, Any]:
    """Run a command to its end.

    Returns
    -------
    dict
        ``seconds``, ``cpu_seconds``, ``peak_mb`` (largest resident set of the process or of one of its
        children, in 10**6 bytes), ``exit_code`` and the end of ``stderr``.
    """
    with tempfile.TemporaryFile("w+") as errors:
        watcher = subprocess.run(  # noqa: S603
            [sys.executable, "-IS", "-c", _WATCH, *line],
            stdout=subprocess.PIPE, stderr=errors, text=True, check=True,
        )  # fmt: skip
        errors.seek(0)
        said = errors.read()[-2000:]
    seconds, cpu_seconds, peak, status = json.loads(watcher.stdout)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "peak_mb": round(peak * unit / 1e6, 1),
        "exit_code": os.waitstatus_to_exitcode(status),
        "stderr": said,
    }


def _bytes(path: Path) -> int:
    return (
        sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        if path.is_dir()
        else path.stat().st_size
    )


def _generate(path: Path, n_cells: int, compression: str) -> None:
    subprocess.run(  # noqa: S603
        [
            sys.executable, "-m", "bench.cells", str(path),
            "--cells", str(n_cells), "--compression", compression,
        ],
        check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[1],
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Measure `lexicell embed` on synthetic h5ad files; print a line per size and append a record."""
    parser = argparse.ArgumentParser(prog="python -m bench.endtoend", description=main.__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compression", choices=["gzip", "lzf", "none"], default="gzip")
    parser.add_argument("--work", type=Path, help="folder for the files (default: a temporary one)")
    parser.add_argument("--json", type=Path, default=machine.RESULTS / "endtoend.jsonl")
    parser.add_argument(
        "options", nargs="*", default=list(_OPTIONS), help="after --: options of lexicell embed"
    )
    given = parser.parse_args(argv)
    where = machine.fingerprint()
    rows = []
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        for n in given.cells:
            source, store = Path(folder) / f"{n}.h5ad", Path(folder) / f"{n}.zarr"
            _generate(source, n, given.compression)
            runs = []
            for _ in range(given.repeats):
                if store.exists():
                    shutil.rmtree(store)
                runs.append(peak_of(command(source, store, given.options)))
                if runs[-1]["exit_code"]:
                    print(runs[-1]["stderr"], file=sys.stderr)
                    return 1
            seconds = statistics.median(r["seconds"] for r in runs)
            peak = max(r["peak_mb"] for r in runs)
            rows.append(
                {
                    "cells": n,
                    "cells_per_s": round(n / seconds, 1),
                    "seconds": [r["seconds"] for r in runs],
                    "cpu_seconds": [r["cpu_seconds"] for r in runs],
                    "peak_mb": peak,
                    "input_bytes_per_cell": round(_bytes(source) / n, 1),
                    "output_bytes_per_cell": round(_bytes(store) / n, 1),
                }
            )
            print(f"{n:>9,} cells: {n / seconds:>9,.0f} cells/s, {seconds:6.1f} s, peak {peak:,.0f} MB")
            source.unlink()
            shutil.rmtree(store)
    machine.append(
        {
            "bench": "endtoend",
            "format": 1,
            "machine": where,
            "parameters": {"compression": given.compression, "cache": "warm", "options": given.options},
            "rows": rows,
        },
        given.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
