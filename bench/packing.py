"""Which inner chunks, shards and shuffle a packed atlas should have: reading speed and size on disk.

``python -m bench.packing [--cells 40000] [--repeats 3] [--json FILE]``

Synthetic cells (`bench.cells`) are packed as ``lexicell pack`` does - uint16 counts and columns, columns in
ascending order - and written with each setting. Then two threads read all of it as embedding does, a thread
one half, in spans of about 4 million values whose ends fall anywhere in a chunk. Rounds time every setting
once, in turn; the time of a setting is the median. A busy machine disturbs the CPU time of both threads less
than the wall time. The page cache is warm.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from zarr.codecs import BloscCodec, Crc32cCodec

from bench import cells, machine

__all__ = ["Setting", "main", "measure"]

SPAN = 4_000_000
THREADS = 2
_ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": 1}
_PYTHON = {"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}


@dataclass(frozen=True, slots=True)
class Setting:
    """How one array of a packed atlas is stored.

    Attributes
    ----------
    inner, shard
        Values of an inner chunk and of a shard.
    shuffle
        Blosc's: "shuffle", "bitshuffle" or "noshuffle".
    level
        Blosc's compression level; 0 stores bytes as they are.
    """

    inner: int
    shard: int
    shuffle: Literal["noshuffle", "shuffle", "bitshuffle"] = "shuffle"
    level: int = 5


SETTINGS = (
    *(Setting(1 << bits, 1 << 24) for bits in (14, 15, 16, 17, 18, 20)),
    *(Setting(1 << 17, 1 << bits) for bits in (20, 22, 25)),
    Setting(1 << 17, 1 << 24, "noshuffle"),
    Setting(1 << 17, 1 << 24, "bitshuffle"),
    *(Setting(1 << 17, 1 << 24, "shuffle", level) for level in (1, 9)),
    Setting(1 << 17, 1 << 24, "noshuffle", 0),
)


def write(path: Path, values: NDArray[Any], setting: Setting) -> None:
    """Write one array with a setting."""
    codec = BloscCodec(cname="lz4", clevel=setting.level, shuffle=setting.shuffle, typesize=values.itemsize)
    with zarr.config.set(_PYTHON):
        array = zarr.create_array(
            path,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(setting.inner,),
            shards=(setting.shard,),
            compressors=[codec, Crc32cCodec()],
        )
        for start in range(0, len(values), setting.shard):
            array[start : start + setting.shard] = values[start : start + setting.shard]


def read(paths: Sequence[Path], spans: Sequence[tuple[int, int]]) -> None:
    """Read two arrays span by span, each thread one half of the spans."""

    def half(part: Sequence[tuple[int, int]]) -> None:
        with zarr.config.set(_ZARRS):
            arrays = [zarr.open_array(path, mode="r") for path in paths]
        for start, stop in part:
            for array in arrays:
                array[start:stop]

    middle = len(spans) // 2
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(half, (spans[:middle], spans[middle:])))


def measure(n_cells: int, repeats: int, folder: Path) -> list[dict[str, Any]]:
    """Write and time all settings; one result for each."""
    matrix = cells.csr(n_cells)
    data, indices = matrix.data.astype(np.uint16), matrix.indices.astype(np.uint16)
    rows = np.searchsorted(matrix.indptr, np.arange(0, len(data), SPAN))
    ends = matrix.indptr[np.append(rows, n_cells)]
    spans = list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
    made: list[tuple[Setting, float, dict[str, int], Callable[[], None]]] = []
    for number, setting in enumerate(SETTINGS):
        paths = [folder / f"{number}-{name}" for name in ("data", "indices")]
        began = time.perf_counter()
        for path, values in zip(paths, (data, indices), strict=True):
            write(path, values, setting)
        took = time.perf_counter() - began
        sizes = {
            name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            for name, path in zip(("data", "indices"), paths, strict=True)
        }
        made.append((setting, took, sizes, partial(read, paths, spans)))
    wall: list[list[float]] = [[] for _ in made]
    cpu: list[list[float]] = [[] for _ in made]
    for _ in range(repeats):
        for number, (_, _, _, run) in enumerate(made):
            began, busy = time.perf_counter(), time.process_time()
            run()
            wall[number].append(time.perf_counter() - began)
            cpu[number].append(time.process_time() - busy)
    return [
        {
            **asdict(setting),
            "cells_per_s": n_cells / float(np.median(wall[number])),
            "cells_per_cpu_s": n_cells / float(np.median(cpu[number])),
            "write_seconds": took,
            "count_bytes": sizes["data"] / len(data),
            "column_bytes": sizes["indices"] / len(data),
        }
        for number, (setting, took, sizes, _) in enumerate(made)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m bench.packing", description=main.__doc__)
    parser.add_argument("--cells", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--json", type=Path, default=machine.RESULTS / "packing.jsonl", help="JSON Lines, appended"
    )
    given = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="lexicell-packing-"))
    try:
        results = measure(given.cells, given.repeats, folder)
    finally:
        shutil.rmtree(folder)
    machine.append({"machine": machine.fingerprint(), "cells": given.cells, "settings": results}, given.json)
    names = ("inner", "shard", "shuffle", "level", "cells/s", "cells/CPU s", "write s", "B/count", "B/column")
    table = Table(*names)
    for one in results:
        table.add_row(
            f"{one['inner']:,}",
            f"{one['shard']:,}",
            one["shuffle"],
            str(one["level"]),
            f"{one['cells_per_s']:,.0f}",
            f"{one['cells_per_cpu_s']:,.0f}",
            f"{one['write_seconds']:.1f}",
            f"{one['count_bytes']:.3f}",
            f"{one['column_bytes']:.3f}",
        )
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
