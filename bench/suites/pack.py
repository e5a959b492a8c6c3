"""From a file to a packed atlas, ready and checked; beside what anndata itself offers."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp

from bench.measure import Case, GateError
from bench.scenario import Scenario
from bench.suites._kinds import Kind, Parts
from bench.suites._reading import bytes_of, columns_of, gene_names, open_group
from bench.workbench import Workbench
from lexicell.embedding.events import ignore
from lexicell.errors import LexicellError
from lexicell.packing import pack
from lexicell.store import verify

__all__ = ["cases"]

#: Cells that are compared at a time.
_ROWS = 5_000


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Every repeat writes a new store."""
    try:
        yield [_KINDS[row.what].case(bench, row) for row in rows]
    finally:
        for row in rows:
            shutil.rmtree(_output(bench, row), ignore_errors=True)


def _output(bench: Workbench, row: Scenario) -> Path:
    return bench.folder / f"pack-{row.what}-{row.data}-{row.storage}.zarr"


def _pack(bench: Workbench, row: Scenario) -> Parts:
    workers = bench.threads(row)
    return _written(bench, row, lambda path, out: pack([path], out, workers=workers, listener=ignore), verify)


def _write_zarr(bench: Workbench, row: Scenario) -> Parts:
    def write(path: Path, out: Path) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Writing zarr v2 data")
            ad.read_h5ad(path).write_zarr(out)

    return _written(bench, row, write, lambda _: None)


def _written(
    bench: Workbench,
    row: Scenario,
    write: Callable[[Path, Path], object],
    check: Callable[[Path], object],
) -> Parts:
    """A store made of the row's file; `check` raises where it is not sound."""
    n, out = bench.cells(row), _output(bench, row)
    path = bench.path(row.data, row.storage, n)

    def clear() -> None:
        shutil.rmtree(out, ignore_errors=True)

    def gate() -> dict[str, Any]:
        clear()
        write(path, out)
        try:
            check(out)
        except LexicellError as error:
            raise GateError(str(error)) from error
        return _check_matrix(out, row, bench)

    def facts() -> dict[str, Any]:
        return {"bytes_per_cell_in": bytes_of(path) / n, "bytes_per_cell": bytes_of(out) / n}

    return {"n": n, "run": lambda: write(path, out), "gate": gate, "before": clear, "facts": facts}


def _check_matrix(path: Path, row: Scenario, bench: Workbench) -> dict[str, Any]:
    """Hold all counts of a store against those that were never on disk; GateError where one differs."""
    place, matrix = gene_names(row, bench).get_indexer(columns_of(path)), bench.matrix(row)
    x = ad.io.sparse_dataset(open_group(path)["X"])
    if x.shape != matrix.shape or (place < 0).any():
        msg = f"{path.name}: {x.shape} is not the shape of the cells, or a gene has another name"
        raise GateError(msg)
    for start in range(0, x.shape[0], _ROWS):
        part, expected = x[start : start + _ROWS], matrix[start : start + _ROWS]
        got = sp.csr_array((part.data, place[part.indices], part.indptr), shape=part.shape)
        got.sort_indices()
        for name in ("data", "indices", "indptr"):
            if not np.array_equal(getattr(got, name), getattr(expected, name)):
                msg = f"{path.name}: {name} of cells from {start} on are not those of the input"
                raise GateError(msg)
    return {"reference": "all counts in memory", "max_error": 0.0, "cells": x.shape[0]}


_KINDS: dict[str, Kind[Workbench]] = {
    "lexicell": Kind("lexicell pack, from {row.storage}", _pack),
    "write_zarr": Kind(
        "anndata, read_h5ad and write_zarr", _write_zarr, peer=True,
        fairness="Holds the whole matrix in memory; keeps int32 columns, float32 counts and the order of "
        "genes, compares nothing, and is not safe against an interrupt. lexicell reads back what it wrote.",
    ),
}  # fmt: skip
