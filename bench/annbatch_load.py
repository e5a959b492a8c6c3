"""Cells/s at which scverse's annbatch loads a store in order, without doing anything with it.

Runs by itself, in an interpreter with annbatch, zarrs and anndata: ``PYTHON bench/annbatch_load.py STORE``.
annbatch needs Python 3.12 or newer. Prints JSON; `bench.scale` calls it with ``--annbatch PYTHON``.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

#: Cells of a batch; and for each request, cells of a slice and slices at once. Every pair is tried.
_BATCH = 4_096
_REQUESTS = ((4_096, 1), (4_096, 4), (512, 32))


def load(path: str, slice_cells: int, slices: int) -> float:
    """Cells/s of one pass."""
    import anndata
    import zarr
    from annbatch import Loader

    root = zarr.open_group(path, mode="r")
    counts = anndata.io.sparse_dataset(root["X"])
    loader = Loader(
        chunk_size=slice_cells, preload_nchunks=slices, batch_size=min(_BATCH, slice_cells * slices),
        shuffle=False, drop_last=False, preload_to_gpu=False,
    )  # fmt: skip
    loader.add_dataset(counts)
    started, cells = time.perf_counter(), 0
    for batch in loader:
        cells += batch["X"].shape[0]
    if cells != counts.shape[0]:
        message = f"{cells} of {counts.shape[0]} cells"
        raise RuntimeError(message)
    return cells / (time.perf_counter() - started)


def main() -> int:
    """Print the best speed over the requests that are tried."""
    import zarr

    warnings.simplefilter("ignore")
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    rates = {f"{cells} x {slices}": load(sys.argv[1], cells, slices) for cells, slices in _REQUESTS}
    print(json.dumps({"best": max(rates.values()), "rates": rates}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
