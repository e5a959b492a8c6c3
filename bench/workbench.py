"""The cells of a scenario: in memory, or as a file that is made once for all scenarios of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
import zarr
from numpy.typing import NDArray

from bench import cells, cells_zarr
from bench.real_data import data_folder
from bench.scenario import Scenario
from lexicell.counts import open_counts
from lexicell.embedding import Options, make_plan
from lexicell.packing import pack
from lexicell_kernels import CsrBlock, GeneTable
from lexicell_kernels.cpu import available_cpus

__all__ = ["Missing", "Workbench", "drop_cache"]

TINY = 300
_REAL = {"pbmc3k": "pbmc3k_raw_labelled.h5ad", "baron": "baron_h1_pancreas.h5ad"}
_SUFFIX = {"h5ad": ".h5ad", "h5ad-plain": ".h5ad", "zarr": ".zarr", "packed": ".packed.zarr"}


class Missing(Exception):  # noqa: N818 -- a row without a number, not a failure
    """What a scenario needs is not here; the text says what that is and how to get it."""


class Workbench:
    """Cells, tables and files for the cases of a run.

    Parameters
    ----------
    folder
        Scratch; nothing in it is kept.
    tiny
        Whether to use few cells: everything runs, no time means anything.
    python312
        An interpreter with annbatch, which needs Python 3.12; None to look for one.
    tick
        Is told what is being done.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tiny: bool = False,
        python312: str | None = None,
        tick: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder, self.tiny, self.tick = folder, tiny, tick
        self._python312 = python312
        self._drawn: sp.csr_array | None = None

    def cells(self, scenario: Scenario) -> int:
        """How many cells a scenario has at this size."""
        n = _real(scenario.data).n_obs if scenario.cells == "all" else int(scenario.cells)
        return min(n, TINY) if self.tiny else n

    def threads(self, scenario: Scenario) -> int:
        """How many threads a scenario has on this machine."""
        return available_cpus() if scenario.threads == "all" else int(scenario.threads)

    def matrix(self, scenario: Scenario) -> sp.csr_array:
        """Counts in memory, ``[cells, genes]`` float32 with int32 columns.

        Raises
        ------
        Missing
            The real data set is not here.
        """
        n = self.cells(scenario)
        if scenario.data == "synthetic":
            return self._synthetic(n)
        return sp.csr_array(_real(scenario.data).X[:n], dtype=np.float32)

    def blocks(self, scenario: Scenario) -> list[CsrBlock]:
        """Counts in memory as the kernel takes them, in blocks of at most `bench.cells.BLOCK_CELLS`.

        Raises
        ------
        Missing
            See `matrix`.
        """
        x, found = self.matrix(scenario), []
        narrow = scenario.counts == "u16"
        for start in range(0, x.shape[0], cells.BLOCK_CELLS):
            part = x[start : start + cells.BLOCK_CELLS]
            data = part.data.astype(np.uint16) if narrow else part.data
            columns = part.indices.astype(np.uint16 if narrow else np.int32)
            found.append(
                CsrBlock(
                    data=data, indices=columns, indptr=part.indptr.astype(np.int64), n_columns=part.shape[1]
                )
            )
        return found

    def table(self, scenario: Scenario) -> GeneTable:
        """Random unit vectors for the genes that the bundled lexicon describes, ``[genes, p]``.

        Raises
        ------
        Missing
            See `matrix`.
        """
        return _table(scenario.data, int(scenario.p), "float16" if scenario.table == "f16" else "float32")

    def path(self, data: str, storage: str, n_cells: int) -> Path:
        """A file or store with the first cells of a data set.

        Raises
        ------
        Missing
            The real data set is not here.
        """
        path = (
            self.folder / f"{data}-{n_cells}{'-plain' if storage == 'h5ad-plain' else ''}{_SUFFIX[storage]}"
        )
        if path.exists():
            return path
        if storage == "packed":
            made_of = self.path(data, "zarr", n_cells)
            self.tick(f"packing {n_cells:,} cells")
            pack([made_of], path)
        else:
            self.tick(f"writing {n_cells:,} cells as {storage}")
            if data == "synthetic":
                _write_synthetic(path, storage, n_cells)
            else:
                _write_real(_real(data)[:n_cells], path, storage)
        return path

    def _synthetic(self, n_cells: int) -> sp.csr_array:
        """The first cells of those that were drawn last, if these are enough."""
        if self._drawn is None or self._drawn.shape[0] < n_cells:
            self._drawn = cells.csr(n_cells)
        return self._drawn[:n_cells]

    @property
    def python312(self) -> str | None:
        """An interpreter that has annbatch; None where none is found."""
        for found in (self._python312, os.environ.get("LEXICELL_BENCH_ANNBATCH"), sys.executable):
            if found and _has_annbatch(found):
                return found
        return None


def drop_cache(root: Path) -> None:
    """Have the kernel forget the pages of a file or folder; what was just written goes to the disk first."""
    for file in [root] if root.is_file() else root.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _real(name: str) -> ad.AnnData:
    path = data_folder() / "expr" / _REAL[name]
    if not path.is_file():
        msg = f"no {path.name}: set LEXICELL_DATA to the folder that holds expr/{path.name}"
        raise Missing(msg)
    return _read(path)


@lru_cache(maxsize=2)
def _read(path: Path) -> ad.AnnData:
    return ad.read_h5ad(path)


@lru_cache(maxsize=4)
def _rank(data: str) -> NDArray[np.int32]:
    """Rows of the described columns: for synthetic cells in an order unlike theirs."""
    if data == "synthetic":
        described = cells.panel().described
        order = np.random.default_rng(0).permutation(int(described.sum()))
    else:
        with open_counts(_real(data)) as source:
            found = make_plan(source, Options()).folded.table.rank
        described = found >= 0
        # In the lexicon's order. Two columns of one gene would have to be summed: here, each is a gene.
        order = np.argsort(np.argsort(found[described], kind="stable"))
    rank = np.full(len(described), -1, np.int32)
    rank[described] = order
    return rank


@lru_cache(maxsize=8)
def _table(data: str, p: int, dtype: str) -> GeneTable:
    rank = _rank(data)
    vectors = np.random.default_rng(1).standard_normal((int(rank.max()) + 1, p), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return GeneTable(vectors.astype(dtype), rank)


def _write_synthetic(path: Path, storage: str, n_cells: int) -> None:
    if storage == "zarr":
        cells_zarr.write_zarr(path, n_cells)
    else:
        cells.write_h5ad(path, n_cells, compression="gzip" if storage == "h5ad" else None)


def _write_real(data: ad.AnnData, path: Path, storage: str) -> None:
    bare = ad.AnnData(sp.csr_matrix(data.X, dtype=np.float32), obs=data.obs[[]], var=data.var)
    if storage == "zarr":
        with ad.settings.override(auto_shard_zarr_v3=False):
            ad.io.write_elem(zarr.open_group(path, mode="w", zarr_format=3), "/", bare)
    else:
        bare.write_h5ad(path, compression="gzip" if storage == "h5ad" else None)


@lru_cache(maxsize=8)
def _has_annbatch(python: str) -> bool:
    asked = [python, "-c", "import annbatch, zarrs"]
    try:
        return subprocess.run(asked, capture_output=True, check=False, timeout=120).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
