"""From counts on disk to vectors on disk: ours, principal components, and encoders with random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.measure import Case, GateError
from bench.peers import components, encoders
from bench.peers.in_slices import CODECS, stored_counts
from bench.scenario import Scenario
from bench.suites._kinds import Kind, Parts
from bench.suites._reading import bytes_of
from bench.suites._runs import SAMPLE, Run, opened
from bench.workbench import Missing, Workbench

__all__ = ["cases"]

#: Largest difference from the float64 formula, of the largest value; and of the variance that is left out.
_MOST, _VARIANCE = 1e-4, 1e-3
#: Rounds that count of the peers, since they take seconds, and of what takes half a minute.
_ROUNDS, _ONCE_FROM = 2, 50_000
#: Cells that components are fitted to when they are checked, and cells of an encoder that are.
_FITTED, _FEW = 2_000, 40


class _Group:
    """What the rows of a group share: one file, where results go, and components fitted beforehand."""

    def __init__(self, rows: Sequence[Scenario], bench: Workbench) -> None:
        self.bench, self.stack, self.rows = bench, ExitStack(), rows
        self.folder = bench.folder / f"models-{rows[0].group}"
        self.basis = cache(components.fit)

    def path(self, row: Scenario) -> Path:
        """The file with the cells of the largest row."""
        return self.bench.path(row.data, row.storage, max(self.bench.cells(one) for one in self.rows))

    def out(self, name: str) -> Path:
        self.folder.mkdir(exist_ok=True)
        return self.folder / name


@contextmanager
def cases(rows: Sequence[Scenario], bench: Workbench) -> Iterator[list[Case]]:
    """Make the rows of a group into cases."""
    group = _Group(rows, bench)
    with group.stack:
        group.stack.callback(shutil.rmtree, group.folder, ignore_errors=True)
        yield [_KINDS[row.what].case(group, row) for row in rows]


def _ours(group: _Group, row: Scenario) -> Parts:
    """A whole run to a store, as in the suite embed."""
    out = group.out(f"{row.storage}.zarr")
    plan = opened(group.path(row), row, out, group.bench.threads(row))
    run: Run = group.stack.enter_context(plan)
    n = group.bench.cells(row)

    def facts() -> dict[str, Any]:
        return {"bytes_per_cell": bytes_of(run.path) / n, "bytes_per_cell_out": bytes_of(out) / n}

    return {"n": n, "run": run, "gate": run.gate, "before": run.clear, "facts": facts}


def _needed(*packages: str, how: str = "") -> None:
    for package in packages:
        if find_spec(package) is None:
            msg = f"needs {package}: {how or f'pip install {package}'}"
            raise Missing(msg)


def _given_components(
    by: Callable[[Path, components.Basis, Path, int, int], None], *needs: str
) -> Callable[[_Group, Scenario], Parts]:
    def make(group: _Group, row: Scenario) -> Parts:
        _needed(*needs)
        path, n, threads = group.path(row), group.bench.cells(row), group.bench.threads(row)
        out, basis = group.out("pca.npy"), group.basis(path, int(row.p))

        def gate() -> dict[str, Any]:
            few = min(n, components.ROWS + SAMPLE // 2)
            by(path, basis, out, few, threads)
            rows = slice(max(0, few - SAMPLE), few)  # of two slices
            y = _log_normalised(_rows(path, rows))
            return _close(np.load(out)[rows], (y - basis.mean) @ basis.components.astype(float))

        return {"n": n, "run": lambda: by(path, basis, out, n, threads), "gate": gate, "rounds": _ROUNDS}

    return make


def _fitted(by: Callable[[Path, int, Path, int], Any], *needs: str) -> Callable[[_Group, Scenario], Parts]:
    how = "" if needs == ("scanpy",) else "a GPU, and pip install 'lexicell[rapids13]'"

    def make(group: _Group, row: Scenario) -> Parts:
        _needed(*needs, how=how)
        path, n, dim, out = group.path(row), group.bench.cells(row), int(row.p), group.out("fitted.npy")

        def gate() -> dict[str, Any]:
            few = min(n, _FITTED)
            data = by(path, dim, out, few)
            return _check_fitted(data, np.load(out), _rows(path, slice(0, few)))

        rounds = 1 if n >= _ONCE_FROM else _ROUNDS
        return {"n": n, "run": lambda: by(path, dim, out, n), "gate": gate, "rounds": rounds}

    return make


def _encoder(
    name: str, by: Callable[[encoders.Encoder, int], encoders.Forward], *needs: str
) -> Callable[[_Group, Scenario], Parts]:
    def make(group: _Group, row: Scenario) -> Parts:
        _needed(*needs)
        path, n, out = group.path(row), group.bench.cells(row), group.out(f"{name}.npy")
        encoder = _random_encoder(name)
        forward = by(encoder, group.bench.threads(row))

        def gate() -> dict[str, Any]:
            few = min(n, encoders.ROWS + _FEW // 2)
            encoders.encode(path, encoder, forward, out, few)
            rows = slice(max(0, few - _FEW), few)
            x = encoders.prepared(sp.csr_array(_rows(path, rows)), encoder)
            return _close(np.load(out)[rows], encoders.by_reference(x, encoder))

        def run() -> None:
            encoders.encode(path, encoder, forward, out, n)

        return {"n": n, "run": run, "gate": gate, "rounds": _ROUNDS}

    return make


@cache
def _random_encoder(name: str) -> encoders.Encoder:
    """The same weights for all that run them."""
    return encoders.random_encoder(name)


def _rows(path: Path, rows: slice) -> sp.csr_array:
    with stored_counts(path) as x:
        return sp.csr_array(x[rows])


def _log_normalised(x: sp.csr_array) -> NDArray[np.float64]:
    dense = x.toarray().astype(np.float64)
    scaled: NDArray[np.float64] = np.log1p(1e4 * dense / dense.sum(axis=1, keepdims=True))
    return scaled


def _close(found: NDArray[Any], expected: NDArray[np.float64]) -> dict[str, Any]:
    if found.shape != expected.shape:
        msg = f"vectors are {found.shape}, not {expected.shape}"
        raise GateError(msg)
    off = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not off <= _MOST:
        msg = f"vectors are off by {off:.2g} of the largest value"
        raise GateError(msg)
    return {"reference": "the formula in float64 NumPy", "max_error": off, "cells": len(found)}


def _check_fitted(data: Any, found: NDArray[Any], counts: sp.csr_array) -> dict[str, Any]:
    """Hold fitted components against what they are: centred products, with the most variance there is."""
    chosen = np.asarray(data.var["highly_variable"], bool)
    if chosen.sum() != min(components.N_VARIABLE, len(chosen)):
        msg = f"{chosen.sum()} variable genes, not {components.N_VARIABLE}"
        raise GateError(msg)
    y = _log_normalised(counts)[:, chosen]
    y -= y.mean(axis=0)
    said = _close(found, y @ np.asarray(data.varm["PCs"], float)[chosen])
    most = np.linalg.eigvalsh(y @ y.T if len(y) < y.shape[1] else y.T @ y)[::-1][: found.shape[1]].sum()
    less = 1 - float((found.astype(float) ** 2).sum() / most)
    if not abs(less) <= _VARIANCE:
        msg = f"the components have {less:.2g} less variance than there is to have"
        raise GateError(msg)
    return said | {"reference": "centred products and largest eigenvalues in float64 NumPy"}


_SLICES = f"Slices of the file in memory only, read by anndata through {CODECS}. "
_BARE = "Writes a bare float32 array, without names, quality columns, checksums or fsync. "
_PCA = (
    _SLICES + _BARE + "All genes and 50 components, where we take the top 128 genes and 256 dimensions. "
    "Components and means are given: planning is not timed for either."
)
_FITS = (
    "Fits components to these cells, which nobody who has them given needs: normalise, log1p, 2,000 variable "
    "genes and 50 components, and np.save. Its vectors depend on which cells are in the file. Everything in "
    f"memory at once, read by anndata through {CODECS}. From {_ONCE_FROM:,} cells on it is timed once. "
)
_DENSE = (
    _SLICES + _BARE + f"{encoders.ROWS:,} cells made dense at a time. Random weights, since only time is "
    "looked at, with batch norms folded into them. The file's first 28,231 columns stand for the genes, with "
    "zeros where it has fewer; "
)
_NOTES = {
    "scimilarity": _DENSE + "three hidden layers of 1,024 and 128 dimensions, as in SCimilarity's training "
    "script.",
    "scvi": _DENSE
    + "one hidden layer of 128 and 10 dimensions, the defaults of scvi-tools; it is often given "
    "a few thousand variable genes instead, which takes less.",
}


def _encoders() -> dict[str, Kind[_Group]]:
    """Rows of each shape by each runtime."""
    runtimes = {
        "torch": ("torch", encoders.by_torch, ["torch"]),
        "onnx": ("ONNX Runtime", encoders.by_onnxruntime, []),
    }
    return {
        f"{name}-{short}": Kind(
            f"MLP of {said}'s shape, {runtime}", _encoder(name, by, *needs), peer=True, fairness=_NOTES[name]
        )
        for name, said in (("scimilarity", "SCimilarity"), ("scvi", "scVI"))
        for short, (runtime, by, needs) in runtimes.items()
    }


_KINDS: dict[str, Kind[_Group]] = {
    "lexicell": Kind("lexicell, whole run, {row.storage}", _ours),
    "pca-scipy": Kind(
        "pretrained PCA: log1p, scipy X @ components", _given_components(components.pca_by_scipy), peer=True,
        fairness=_PCA,
    ),
    "pca-sklearn": Kind(
        "pretrained PCA: scikit-learn PCA.transform", peer=True, fairness=_PCA,
        make=_given_components(components.pca_by_sklearn, "sklearn"),
    ),
    "pca-scanpy": Kind(
        "scanpy.pp.pca, fitted", _fitted(components.fit_by_scanpy, "scanpy"), peer=True,
        fairness=_FITS + "Its default solver for sparse counts, ARPACK.",
    ),
    "pca-rapids": Kind(
        "rapids_singlecell.pp.pca, fitted, GPU", peer=True,
        make=_fitted(components.fit_by_rapids, "rapids_singlecell", "cupy"),
        fairness=_FITS + "On a GPU; moving counts there and vectors back is timed.",
    ),
    **_encoders(),
}  # fmt: skip
