"""Principal components: given beforehand and multiplied with, or fitted to the cells themselves."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.peers.in_slices import log_normalised, stored_counts, through_slices

__all__ = ["Basis", "fit", "fit_by_rapids", "fit_by_scanpy", "pca_by_scipy", "pca_by_sklearn"]

#: Cells of a slice, the fastest of 512 to 4,096.
ROWS = 2_048
#: Genes that components are fitted to, as scanpy's tutorials choose them.
N_VARIABLE = 2_000
#: Cells that components are fitted to beforehand.
_FITTED = 512


@dataclass(frozen=True)
class Basis:
    """What was fitted before, to log-normalised counts.

    Attributes
    ----------
    components
        ``[v, p]`` float32, columns of length 1.
    mean
        Of the genes, ``[v]`` float32.
    """

    components: NDArray[np.float32]
    mean: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """How many components."""
        return len(self.components[0])


def fit(path: Path, dim: int) -> Basis:
    """Principal components of the first cells: any would do, since a product takes the same time for all."""
    with stored_counts(path) as x:
        y = log_normalised(sp.csr_array(x[:_FITTED])).toarray().astype(np.float64)
    mean = y.mean(axis=0)
    y -= mean
    values, vectors = np.linalg.eigh(y @ y.T)
    components = y.T @ vectors[:, ::-1][:, :dim] / np.sqrt(values[::-1][:dim])
    return Basis(np.ascontiguousarray(components, np.float32), mean.astype(np.float32))


def pca_by_scipy(path: Path, basis: Basis, out: Path, n: int, threads: int) -> None:
    """``log1p(1e4 x / N) @ components``, and the mean's product subtracted, so nothing becomes dense."""
    shift = basis.mean @ basis.components

    def project(x: sp.csr_array) -> NDArray[np.float32]:
        return np.asarray(log_normalised(x) @ basis.components - shift)

    through_slices(path, out, basis.dim, project, n=n, rows=ROWS, threads=threads)


def pca_by_sklearn(path: Path, basis: Basis, out: Path, n: int, threads: int) -> None:
    """`sklearn.decomposition.PCA.transform` of sparse slices; its own product, centred after it."""
    pca: Any = import_module("sklearn.decomposition").PCA(basis.dim)
    pca.components_, pca.mean_ = basis.components.T, basis.mean  # in the order that its product takes
    pca.explained_variance_ = np.ones(basis.dim, np.float32)
    pca.n_components_, pca.n_features_in_ = basis.dim, len(basis.mean)

    def project(x: sp.csr_array) -> NDArray[np.float32]:
        return np.asarray(pca.transform(log_normalised(x)))

    through_slices(path, out, basis.dim, project, n=n, rows=ROWS, threads=threads)


def _fit(data: Any, package: Any, dim: int) -> None:
    """The steps of the tutorials, with the names that scanpy and rapids-singlecell share."""
    package.pp.normalize_total(data, target_sum=1e4)
    package.pp.log1p(data)
    package.pp.highly_variable_genes(data, n_top_genes=N_VARIABLE)
    package.pp.pca(data, n_comps=dim)


def _read(path: Path, n: int) -> Any:
    with stored_counts(path) as x:
        if n < x.shape[0]:
            return ad.AnnData(sp.csr_matrix(x[:n]))
        return ad.read_zarr(path)


def fit_by_scanpy(path: Path, dim: int, out: Path, n: int) -> Any:
    """Normalise, log1p, variable genes and `scanpy.pp.pca`, all in memory; returns what was fitted."""
    data = _read(path, n)
    _fit(data, import_module("scanpy"), dim)
    np.save(out, data.obsm["X_pca"])
    return data


def fit_by_rapids(path: Path, dim: int, out: Path, n: int) -> Any:
    """Do the same on a GPU, with rapids-singlecell; moving counts there is part of it."""
    rapids: Any = import_module("rapids_singlecell")
    data = _read(path, n)
    rapids.get.anndata_to_GPU(data)
    _fit(data, rapids, dim)
    rapids.get.anndata_to_CPU(data)
    np.save(out, np.asarray(data.obsm["X_pca"]))
    return data
