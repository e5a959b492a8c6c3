"""The engine end to end on a GPU: counts in host memory, and a packed store on a local disk.

Needs lexicell and what it needs; `bench.gpu.carry` brings that along.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.gpu.cells import synthetic
from bench.gpu.sizes import Sizes
from bench.gpu.steps import Clock, Outcome
from lexicell_kernels import parity, select_topk

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["NEEDED", "K", "Way", "differences", "end_to_end", "missing", "ways"]

K = 128
#: Modules that are looked for before the step begins.
NEEDED = ("anndata", "zarr", "pyarrow", "blake3", "safetensors", "lexicell.embedding", "bench.cells")
_SAMPLE = 200


@dataclass(frozen=True)
class Way:
    """One way of embedding.

    Attributes
    ----------
    name
        In the record.
    cells
        That one run embeds.
    rounds
        Runs that are timed, after one that is not; where it is 0, that one is.
    run
        Embeds them.
    """

    name: str
    cells: int
    rounds: int
    run: Callable[[], object]


def missing(modules: tuple[str, ...] = NEEDED) -> str:
    """Say what can't be imported here; empty where all can."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return f"{error.name or name} can't be imported; carry it with `python -m bench.gpu.carry`"
    return ""


def end_to_end(sizes: Sizes) -> Callable[[Clock], Outcome]:
    """Time all ways of embedding, and hold a sample of what the GPU made against the CPU."""

    def step(clock: Clock) -> Outcome:
        lacking = missing()
        if lacking:
            return Outcome(missing=lacking)
        with tempfile.TemporaryDirectory(prefix="lexicell-gpu-") as folder:
            return _in_folder(sizes, Path(folder), clock)

    return step


def _in_folder(sizes: Sizes, folder: Path, clock: Clock) -> Outcome:
    outcome = Outcome({"k": K, "rows": {}, "prepared_seconds": {}})

    def tick(name: str, start: float) -> None:
        outcome.details["prepared_seconds"][name] = round(time.monotonic() - start, 2)
        _say(f"{name} in {time.monotonic() - start:.1f} s")

    start = time.monotonic()
    base, many = _cells(sizes)
    tick("cells drawn", start)
    start = time.monotonic()
    packed = _packed(base, folder)
    tick("store packed", start)
    outcome.details |= {"bytes_per_cell": round((base.X.data.nbytes + base.X.indices.nbytes) / base.n_obs)}
    listed = ways(base, many, packed, folder, sizes)
    for way in listed:
        if clock():
            outcome.complete = False
            break
        outcome.details["rows"][way.name] = _time(way, clock)
        _say(f"{outcome.details['rows'][way.name]['cells_per_s'] / 1e6:10.3f} M cells/s  {way.name}")
    if clock():
        outcome.complete = False
        return outcome
    start = time.monotonic()
    outcome.problems += differences(base, many, folder / "cuda.zarr", outcome.details)
    tick("held against the CPU", start)
    return outcome


def _say(text: str) -> None:
    print(f"   {text}", flush=True)


def _cells(sizes: Sizes) -> tuple[AnnData, AnnData]:
    """Different cells, and more that are several times the same."""
    import anndata
    import pandas as pd
    import scipy.sparse as sp

    from bench.cells import panel

    drawn, _ = synthetic(sizes.engine_cells)
    base = sp.csr_matrix((drawn.data, drawn.indices, drawn.indptr), shape=(drawn.n_rows, drawn.n_columns))
    many = sp.csr_matrix(sp.vstack([base] * sizes.engine_copies, format="csr"))
    names = pd.DataFrame(index=panel().names.astype(object))

    def named(matrix: Any) -> AnnData:
        rows = pd.DataFrame(index=[f"cell{i}" for i in range(matrix.shape[0])])
        return anndata.AnnData(matrix, obs=rows, var=names.copy())

    return named(base), named(many)


def _packed(base: AnnData, folder: Path) -> Path:
    import lexicell
    from lexicell.embedding.events import ignore

    source, packed = folder / "cells.h5ad", folder / "packed.zarr"
    base.write_h5ad(source)
    lexicell.pack(source, packed, listener=ignore)
    source.unlink()
    return packed


def ways(base: AnnData, many: AnnData, packed: Path, folder: Path, sizes: Sizes) -> list[Way]:
    """List what is timed: the GPU first, then the same on the CPU with fewer cells and rounds.

    Parameters
    ----------
    base, many
        Cells in memory; vectors are written into them.
    packed
        The cells of `base` as a packed store.
    folder
        For the store of vectors, ``cuda.zarr``.
    sizes
        How often.
    """
    import lexicell
    from lexicell.embedding.events import ignore

    def from_memory(adata: AnnData, device: str, *, stay: bool) -> Callable[[], object]:
        key = f"{device}-there" if stay else device
        return lambda: lexicell.tl.embed(
            adata, top_k=K, device=device, on_device=stay or None, key_added=key, listener=ignore
        )

    stores = [packed, *(_linked(packed, i) for i in range(1, sizes.engine_store_copies))]

    def from_store() -> object:
        out = folder / "cuda.zarr"
        return lexicell.embed(stores, out, top_k=K, device="cuda", overwrite=True, listener=ignore)

    n = base.n_obs
    return [
        Way("host memory, vectors back", many.n_obs, sizes.engine_rounds,
            from_memory(many, "cuda", stay=False)),
        Way("host memory, vectors stay on the GPU", many.n_obs, sizes.engine_rounds,
            from_memory(many, "cuda", stay=True)),
        Way("packed store to a store", n * len(stores), sizes.engine_rounds, from_store),
        # One type of counts only: the CPU's kernel takes 20 seconds to compile for each.
        Way("host memory, CPU", n, min(1, sizes.engine_rounds), from_memory(base, "cpu", stay=False)),
    ]  # fmt: skip


def _linked(store: Path, number: int) -> Path:
    """The same files as another store: an input is named once only."""
    other = store.with_name(f"{number}-{store.name}")
    shutil.copytree(store, other, copy_function=os.link)
    return other


def _time(way: Way, clock: Clock) -> dict[str, Any]:
    """Run once to warm up, then as often as wanted while there is time; once at least, if at all."""
    begin = time.perf_counter()
    way.run()
    first = time.perf_counter() - begin
    seconds: list[float] = []
    while len(seconds) < way.rounds and not (seconds and clock()):
        begin = time.perf_counter()
        way.run()
        seconds.append(time.perf_counter() - begin)
    return {
        "cells": way.cells,
        "first_seconds": round(first, 4),
        "seconds": [round(s, 4) for s in seconds],
        "cells_per_s": round(way.cells / float(np.median(seconds or [first]))),
    }


def differences(base: AnnData, many: AnnData, store: Path, details: dict[str, Any]) -> list[str]:
    """Say what the GPU made otherwise than the CPU: genes, ties and vectors of a sample.

    Parameters
    ----------
    base
        Has the CPU's vectors and columns.
    many
        Has the GPU's; cell i is cell ``i % n`` of `base`.
    store
        The GPU's, from the packed store.
    details
        Gets ``checked_cells``, ``dim``, ``max_error``.
    """
    import warnings

    import lexicell
    from lexicell.counts import open_counts
    from lexicell.embedding import Options, make_plan
    from lexicell.embedding.events import ignore

    n = base.n_obs
    at = np.unique(np.linspace(0, n - 1, min(_SAMPLE, n)).astype(int))
    problems = []
    with open_counts(base[at].copy()) as source:
        plan = make_plan(source, Options(top_k=K, device="cuda"), ignore)
        table = plan.embedder.folded.table
        block = plan.embedder.ready(source.read(0, len(at)))
    here, there = (select_topk(block, table, k=K, device=device) for device in ("cpu", "cuda"))
    others = int((np.asarray(here.genes) != np.asarray(there.genes)).any(axis=1).sum())
    if others:
        problems.append(f"{others} of {len(at)} cells have other genes than on the CPU")
    tolerance = parity.TOLERANCE[table.vectors.dtype]
    expected = np.asarray(base.obsm["cpu"])[at]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Observation names are not unique")
        stored = lexicell.open_embedding(store).obsm["X_lexicell"]
    last = many.n_obs - n
    found = {
        "from memory": np.asarray(many.obsm["cuda"])[last + at],
        "from memory, on the GPU": _here(many.obsm["cuda-there"][last + at]),
        "from the store": np.asarray(stored[: int(at[-1]) + 1])[at],
    }
    worst = 0.0
    for name, vectors in found.items():
        off = float(np.abs(vectors - expected).max())
        worst = max(worst, off)
        if not off <= tolerance:
            problems.append(f"{name}: vectors are off by {off:.2g} from the CPU's")
    for column in ("n_genes", "n_tied"):
        ours = many.obs[f"cuda_{column}"].to_numpy()[last + at]
        if not np.array_equal(ours, base.obs[f"cpu_{column}"].to_numpy()[at]):
            problems.append(f"{column} differs from the CPU's")
    details |= {
        "checked_cells": len(at),
        "dim": expected.shape[1],
        "table": str(table.vectors.dtype),
        "max_error": worst,
    }
    return problems


def _here(vectors: Any) -> Any:
    cupy = sys.modules.get("cupy")
    return cupy.asnumpy(vectors) if cupy is not None else np.asarray(vectors)
