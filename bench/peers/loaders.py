"""How others read counts: whole, in slices, and by annbatch; each as it is called in their documentation.

A loader gives the cells of a file or store in order, as one matrix or as several.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anndata as ad
import scipy.sparse as sp
import zarr

from bench.measure import Taken
from bench.workbench import Missing

__all__ = ["ANNBATCH_FAIRNESS", "LOADERS", "Annbatch", "Loader"]

#: Cells of a slice.
SLICE = 4_096
_H5AD_READER = "scanpy" if find_spec("scanpy") else "anndata"  # the same function


@dataclass(frozen=True, slots=True)
class Loader:
    """A way to read.

    Attributes
    ----------
    label
        What a reader sees.
    fairness
        What it does more or less than `CountSource.read`.
    load
        Gives scipy matrices, ``[n, v]``, whose rows follow one another.
    needs
        A package without which it can't be run.
    """

    label: str
    fairness: str
    load: Callable[[Path], Iterator[Any]]
    needs: str = ""


def _read_h5ad(path: Path) -> Iterator[Any]:
    yield import_module(_H5AD_READER).read_h5ad(path).X


def _backed(path: Path) -> Iterator[Any]:
    data = ad.read_h5ad(path, backed="r")
    try:
        for start in range(0, data.n_obs, SLICE):
            yield data.X[start : start + SLICE]
    finally:
        data.file.close()


def _read_zarr(path: Path) -> Iterator[Any]:
    yield ad.read_zarr(path).X


def _sliced(path: Path) -> Iterator[Any]:
    x = ad.io.sparse_dataset(zarr.open_group(path, mode="r")["X"])
    for start in range(0, x.shape[0], SLICE):
        yield x[start : start + SLICE]


def _sliced_by_zarrs(path: Path) -> Iterator[Any]:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield from _sliced(path)


#: scDataset's batch, as documented, and batches at once, the fastest of 8 to 64; SCDL's batch.
_FETCH, _SCDL_BATCH = (64, 64), 8


def _by_scdataset(path: Path) -> Iterator[Any]:
    scdataset: Any = import_module("scdataset")
    data = ad.read_h5ad(path, backed="r")
    batch, factor = _FETCH
    try:
        yield from scdataset.scDataset(
            data, scdataset.Streaming(), batch_size=batch, fetch_factor=factor,
            fetch_transform=lambda cells: cells.to_memory().X,
        )  # fmt: skip
    finally:
        data.file.close()


def _by_scdl(path: Path) -> Iterator[Any]:
    """From the layout beside the file, which is made where it is not there yet."""
    dataset: Any = import_module("bionemo.scdl.io.single_cell_memmap_dataset").SingleCellMemMapDataset
    collate: Any = import_module("bionemo.scdl.util.torch_dataloader_utils").collate_sparse_matrix_batch
    batches: Any = import_module("torch.utils.data").DataLoader
    layout = path.with_suffix(".scdl")
    if not layout.exists():
        dataset(str(layout), h5ad_path=str(path), use_X_not_raw=True).save()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        for x in batches(dataset(str(layout)), batch_size=_SCDL_BATCH, shuffle=False, collate_fn=collate):
            parts = (x.values().numpy(), x.col_indices().numpy(), x.crow_indices().numpy())
            yield sp.csr_matrix(parts, shape=tuple(x.shape))


_WHOLE = "Holds the whole matrix in memory, and reads the tables of cells and genes too."
_SLICES = f"Slices of {SLICE:,} cells, new arrays for each; the counts only, as ours."

LOADERS = {
    "read_h5ad": Loader(
        f"{_H5AD_READER}.read_h5ad", f"{_WHOLE} h5py, which inflates on one thread; ours on all.", _read_h5ad
    ),
    "backed": Loader(
        "anndata, backed, in slices",
        f"{_SLICES} h5py, which inflates on one thread and a chunk again for each slice that it is in.",
        _backed,
    ),
    "read_zarr": Loader("anndata.read_zarr", f"{_WHOLE} zarr-python's own pipeline.", _read_zarr),
    "sparse_dataset": Loader(
        "anndata sparse_dataset, in slices", f"{_SLICES} zarr-python's own pipeline.", _sliced
    ),
    "sparse_dataset-zarrs": Loader(
        "anndata sparse_dataset, in slices, zarrs",
        f"{_SLICES} The zarrs pipeline (Rust) with its default threads; it leaves out the checksum of a "
        "chunk that it reads a part of, ours compares all.",
        _sliced_by_zarrs,
        needs="zarrs",
    ),
    "scdataset": Loader(
        "scDataset, in order",
        f"Streaming over anndata, backed: scipy batches of {_FETCH[0]} cells, {_FETCH[1]} of them fetched at "
        "once, which is faster than its documentation's 8; h5py on one thread. Workers of a DataLoader are "
        "left out, since they change the order.",
        _by_scdataset,
        needs="scdataset",
    ),
    "scdl": Loader(
        "BioNeMo SCDL, its DataLoader",
        "From its own layout of memory-mapped float32 counts, uncompressed, whose making is not timed. As "
        f"its documentation has it: torch's DataLoader, batches of {_SCDL_BATCH}, one cell after another in "
        "Python; larger batches are slower. Workers are left out.",
        _by_scdl,
        needs="bionemo.scdl",
    ),
}

ANNBATCH_FAIRNESS = (
    "Loads in order and does nothing else; scipy batches of 4,096 cells, as training takes them, read ahead "
    "through the zarrs pipeline. The best of four sizes of request, its default and that of its walkthrough "
    "among them; the start of its interpreter is not "
    "timed, opening of the store neither."
)
#: Cells of a slice, and slices at once; all are tried, and the fastest is timed.
_REQUESTS = ((4_096, 1), (4_096, 4), (512, 32), (32, 256))


class Annbatch:
    """annbatch in a process of its own, which loads a store again and again.

    Parameters
    ----------
    python
        An interpreter that has it; None where there is none.
    store
        An AnnData-Zarr whose X is CSR.

    Raises
    ------
    Missing
        There is no such interpreter.
    """

    def __init__(self, python: str | None, store: Path) -> None:
        if python is None:
            msg = "needs Python 3.12 or newer with annbatch and zarrs: --annbatch PYTHON"
            raise Missing(msg)
        program = Path(__file__).with_name("annbatch_load.py")
        self._process = subprocess.Popen(  # noqa: S603
            [python, "-W", "ignore", str(program), str(store)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._best: tuple[int, int] | None = None
        self._version = ""

    def facts(self) -> dict[str, Any]:
        """Which version, and which request was the best."""
        cells, at_once = self._best or (0, 0)
        return {"annbatch": self._version, "slice_cells": cells, "slices": at_once}

    def load(self) -> Taken:
        """Load all cells with the best request, which the first call finds."""
        if self._best is None:
            self._best = min(_REQUESTS, key=lambda request: self._ask(request, summing=False)["seconds"])
        said = self._ask(self._best, summing=False)
        return Taken(said["seconds"], said["cpu_seconds"])

    def sums(self) -> list[int]:
        """What `bench.suites._reading.sums` says of all cells together."""
        sums: list[int] = self._ask(_REQUESTS[0], summing=True)["sums"]
        return sums

    def _ask(self, request: tuple[int, int], *, summing: bool) -> dict[str, Any]:
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        into.write(json.dumps([*request, summing]) + "\n")
        into.flush()
        line = out.readline()
        if not line:
            msg = f"annbatch ended with {self._process.wait()}"
            raise RuntimeError(msg)
        said: dict[str, Any] = json.loads(line)
        self._version = said["version"]
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
