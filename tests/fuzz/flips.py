"""``python -m tests.fuzz.flips``: which formats notice a flipped bit; makes the table of docs/damage.md."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from tests.fuzz.cases import Cases
from tests.fuzz.inputs import write_inputs

__all__ = ["main"]

#: Inputs of the table, and how they are called there.
_FORMATS = {
    "packed.zarr": "`lexicell pack`",
    "store.zarr": "`lexicell embed`, `.zarr`",
    "gzip.h5ad": '`.h5ad`, `compression="gzip"`',
    "lzf.h5ad": '`.h5ad`, `compression="lzf"`',
    "plain.h5ad": "`.h5ad` as scanpy and anndata write it by default",
    "v2.zarr": "AnnData-Zarr v2 (Blosc)",
    "v3.zarr": "AnnData-Zarr v3 (zstd), the default of anndata 0.13",
    "tenx3.h5": "10x `.h5` without compression",
    "mtxgz": "`matrix.mtx.gz` and its tables",
    "mtx": "`matrix.mtx` and its tables",
}


def main() -> int:
    """Flip single bits anywhere in an input, read it, and count what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.flips", description=main.__doc__)
    parser.add_argument("--flips", type=int, default=300, help="of each format")
    given = parser.parse_args()
    print("| what was written | noticed | no difference | **other names or numbers, unnoticed** |")
    print("|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(Path(folder) / "inputs")
        cases = Cases(inputs, Path(folder) / "work")
        for name, label in _FORMATS.items():
            ends = Counter(_flipped(cases, inputs / name, Path(folder), seed) for seed in range(given.flips))
            shares = [f"{ends[end] / given.flips:.1%}" for end in ("noticed", "same", "other")]
            print(f"| {label} | {' | '.join(shares)} |", flush=True)
    return 0


def _flipped(cases: Cases, source: Path, folder: Path, seed: int) -> str:
    """Flip one bit of a file of an input, each byte being as likely; how reading it ended."""
    rng = np.random.default_rng(seed)
    path = folder / "flipped" / source.name
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    (shutil.copytree if source.is_dir() else shutil.copy)(source, path)
    files = (
        [path]
        if path.is_file()
        else sorted(file for file in path.rglob("*") if file.is_file() and ".lexicell" not in file.parts)
    )
    ends = np.cumsum([file.stat().st_size for file in files])
    at = int(rng.integers(ends[-1]))
    number = int(np.searchsorted(ends, at, side="right"))
    file, at = files[number], at - (int(ends[number - 1]) if number else 0)
    content = bytearray(file.read_bytes())
    content[at] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)
    end = cases.end_of(source.name, path)
    return end if end in ("same", "other") else "noticed"


if __name__ == "__main__":
    raise SystemExit(main())
