"""scverse's annbatch loads a store in order, without doing anything with it, as often as it is told to.

Runs by itself, in an interpreter with annbatch, zarrs and anndata: ``PYTHON annbatch_load.py STORE``. That is
Python 3.12 or newer. Each line of the input is the JSON of a request, ``[cells of a slice, slices at once,
whether to sum]``, and is answered with the seconds of one pass and what `bench.suites._reading.sums` says of
all of it. So the start of the interpreter is never timed.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

#: Cells of a batch.
_BATCH = 4_096


def load(counts: Any, slice_cells: int, slices: int, *, summing: bool) -> dict[str, Any]:
    """Load all cells once."""
    import numpy as np

    loader = importlib.import_module("annbatch").Loader(
        chunk_size=slice_cells, preload_nchunks=slices, batch_size=min(_BATCH, slice_cells * slices),
        shuffle=False, drop_last=False, preload_to_gpu=False,
    )  # fmt: skip
    loader.add_dataset(counts)
    sums, cells = [0, 0, 0, 0], 0
    started, cpu = time.perf_counter(), time.process_time()
    for batch in loader:
        x = batch["X"]
        if summing:
            lengths = np.diff(x.indptr).astype(np.int64)
            numbers = np.arange(cells, cells + len(lengths))
            of = (x.nnz, x.data.sum(dtype=np.float64), x.indices.sum(dtype=np.int64), numbers @ lengths)
            sums = [a + int(b) for a, b in zip(sums, of, strict=True)]
        cells += x.shape[0]
    taken = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    if cells != counts.shape[0]:
        message = f"{cells} of {counts.shape[0]} cells"
        raise RuntimeError(message)
    return {**taken, "sums": sums, "version": version("annbatch")}


def main() -> int:
    """Answer requests until there are no more."""
    import anndata
    import zarr

    warnings.simplefilter("ignore")
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    counts = anndata.io.sparse_dataset(zarr.open_group(sys.argv[1], mode="r")["X"])
    for line in sys.stdin:
        slice_cells, slices, summing = json.loads(line)
        print(json.dumps(load(counts, slice_cells, slices, summing=summing)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
