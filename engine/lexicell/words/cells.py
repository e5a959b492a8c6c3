"""The cells of a data set in fine groups: what is compared with sentences, and where each cell belongs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell.arrays import Growing
from lexicell.embedding import AlignedCells, Listener
from lexicell.embedding.events import ignore
from lexicell.embedding.gene_statistics import highly_variable_columns
from lexicell.embedding.selected import Selection
from lexicell.errors import InputError, needing

__all__ = ["CellGroups", "Profile", "group_cells", "logged_counts", "nearest_group"]

#: Cells that groups are made of; in larger data sets a sample, drawn once.
_SAMPLED = 10_000
#: Genes and components that cells are grouped by.
_GENES, _COMPONENTS = 2_000, 20
#: Numbers of groups. Several groupings, so that none decides.
_GROUPS = (40, 80, 40, 80, 40, 80)
#: Groups are several cells: of few cells there are fewer.
_CELLS_OF_A_GROUP = 6
#: Least standard deviation of a gene, so that one cell with one count is no event; of log1p(1e4 x / N).
_LEAST_SPREAD = 0.5
#: Rows that are widened at once.
_ROWS = 512
#: Where standardised values are cut for components: scanpy's.
_LARGEST = 10.0
#: Genes are compared with the groups that express them least: types that are most of a data set, or relatives
#: of each other, would else hide what they have in common.
_LOW = 0.25


@dataclass(frozen=True)
class Profile:
    """One grouping of the sampled cells.

    Attributes
    ----------
    centres
        ``[J, 20]`` in components.
    sizes
        ``[J]`` cells.
    expression
        ``[J, m]`` float32: standardised expression of each gene above the groups that have little of it.
    enrichment
        The same, with mean 0 and standard deviation 1 over the detected genes of each group.
    """

    centres: NDArray[np.float32]
    sizes: NDArray[np.int64]
    expression: NDArray[np.float32]
    enrichment: NDArray[np.float32]


@dataclass(frozen=True)
class CellGroups:
    """A data set in fine groups, several times over.

    Attributes
    ----------
    cells
        The data set, its genes being ``m`` candidates.
    fitted
        ``[n]`` numbers of the cells that groups were made of.
    logged
        ``[n, m]`` ``log1p(1e4 x / N)`` of these.
    components
        ``[n, 20]`` of these.
    mean, spread
        ``[m]`` of ``log1p(1e4 x / N)`` over these; spread is never below 0.5.
    detected
        ``[m]`` bool, seen in three cells or more.
    profiles
        The groupings.
    """

    cells: AlignedCells
    fitted: NDArray[np.intp]
    logged: sp.csr_array
    components: NDArray[np.float32]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    detected: NDArray[np.bool_]
    profiles: tuple[Profile, ...]
    _genes: NDArray[np.intp]
    _gene_spread: NDArray[np.float64]
    _loadings: NDArray[np.float32]

    def place(
        self, columns: NDArray[np.intp], listener: Listener = ignore
    ) -> Iterator[tuple[int, sp.csr_array, list[NDArray[np.intp]], NDArray[np.int64]]]:
        """Read all cells once more.

        Parameters
        ----------
        columns
            ``[c]`` candidates whose expression is asked for, ascending.
        listener
            Is told the progress.

        Yields
        ------
        tuple
            Number of the first cell; ``log1p(1e4 x / N)`` of these genes, ``[n, c]``; for each grouping the
            ``[n]`` groups that cells are in; and ``[n]``, how many of the genes in use each cell has.
        """
        few, at = self.reading(columns)
        variable = np.searchsorted(few.genes.rows, self.cells.genes.rows[self._genes])
        for selection in few.selections(None, listener=listener):
            logged = logged_counts(selection, few.genes.rows)
            components = self._components(logged[:, variable])
            nearest = [nearest_group(components, part.centres) for part in self.profiles]
            yield selection.start, logged[:, at], nearest, np.diff(logged.indptr)

    def reading(self, columns: NDArray[np.intp]) -> tuple[AlignedCells, NDArray[np.intp]]:
        """The data set with some candidates and those that cells are grouped by, and where the former are."""
        used = np.union1d(columns, self._genes)
        return self.cells.restrict(self.cells.genes.rows[used]), np.searchsorted(used, columns)

    def _components(self, logged: sp.csr_array) -> NDArray[np.float32]:
        return _scaled(logged, self.mean[self._genes], self._gene_spread) @ self._loadings


def group_cells(
    cells: AlignedCells,
    *,
    always: NDArray[np.intp] | None = None,
    seed: int = 0,
    listener: Listener = ignore,
) -> CellGroups:
    """Read a data set once, and group up to 20,000 of its cells finely, six times over.

    Parameters
    ----------
    cells
        ``N`` cells.
    always
        Numbers of cells that are to be among the sample; of more than 10,000, a sample.
    seed
        Of the sample and the groupings.
    listener
        Is told the progress.

    Raises
    ------
    InputError
        There are fewer than ten cells with genes.
    CountsError
        A count is negative, NaN or infinite.
    MissingExtraError
        scikit-learn is not installed.
    """
    with needing("evaluate", "Naming cells by sentences"):
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA
    chosen = _chosen(cells.source.n_cells, always, seed)
    logged = _sample(cells, chosen, listener)
    order = _own_order(logged)
    order = order[np.diff(logged.indptr)[order] > 0]
    logged, chosen = logged[order], chosen[order]
    n = logged.shape[0]
    if n < 10:
        msg = f"{cells.source.label}: {n} cells have a gene that is described; sentences need ten or more"
        raise InputError(msg)
    mean, squares = _moments(logged)
    deviation = np.sqrt((squares - mean * mean).clip(0))
    genes = highly_variable_columns(logged, np.full(n, 1e4), _GENES, undo=np.expm1)
    scaled = _scaled(logged[:, genes], mean[genes], deviation[genes])
    k = max(1, min(_COMPONENTS, n - 1, len(genes)))
    model = PCA(k, svd_solver="randomized", random_state=seed).fit(scaled)
    loadings = np.ascontiguousarray(model.components_.T, np.float32)
    components = scaled @ loadings
    spread = np.maximum(deviation, _LEAST_SPREAD)
    detected = np.bincount(logged.indices, minlength=logged.shape[1]) >= 3
    profiles = []
    for repeat, most in enumerate(_GROUPS):
        groups = max(2, min(most, n // _CELLS_OF_A_GROUP))
        kmeans = KMeans(groups, n_init=1, random_state=seed + repeat).fit(components)
        centres = np.ascontiguousarray(kmeans.cluster_centers_, np.float32)
        profiles.append(_profile(logged, nearest_group(components, centres), centres, spread, detected))
    return CellGroups(
        cells,
        chosen,
        logged,
        components,
        mean,
        spread,
        detected,
        tuple(profiles),
        genes,
        deviation[genes],
        loadings,
    )


def _chosen(n: int, always: NDArray[np.intp] | None, seed: int) -> NDArray[np.intp]:
    """Numbers of up to 10,000 cells and of as many that are to be among them, ascending."""
    if n <= _SAMPLED:
        return np.arange(n)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(n, _SAMPLED, replace=False)
    if always is not None:
        asked = always if len(always) <= _SAMPLED else rng.choice(always, _SAMPLED, replace=False)
        chosen = np.union1d(chosen, asked)
    return np.sort(chosen)


def _sample(cells: AlignedCells, chosen: NDArray[np.intp], listener: Listener) -> sp.csr_array:
    """``log1p(1e4 x / N)`` of some cells, ``[n, m]``."""
    only = None if len(chosen) == cells.source.n_cells else chosen
    values, columns, sizes = Growing(np.float32), Growing(np.int32), Growing(np.int64)
    n = 0
    for selection in cells.selections(None, only=only, listener=listener):
        part = logged_counts(selection, cells.genes.rows)
        n += part.shape[0]
        for whole, more in ((values, part.data), (columns, part.indices), (sizes, np.diff(part.indptr))):
            whole.append(more, n / len(chosen))
    indptr = np.concatenate([[0], np.cumsum(sizes.array, dtype=np.int64)])
    return sp.csr_array((values.array, columns.array, indptr), shape=(n, len(cells.genes.rows)))


def _moments(logged: sp.csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each column and of its squares, ``[m]``, without a copy of all values as float64."""
    n, m = logged.shape
    mean, squares = np.zeros(m), np.zeros(m)
    for start in range(0, n, _ROWS):
        ends = logged.indptr[start : start + _ROWS + 1]
        columns, data = (part[ends[0] : ends[-1]] for part in (logged.indices, logged.data))
        np.add.at(mean, columns, data.astype(np.float64) * (1.0 / n))
        np.add.at(squares, columns, (data**2).astype(np.float64) * (1.0 / n))
    return mean, squares


def _own_order(logged: sp.csr_array) -> NDArray[np.intp]:
    """Order of cells by what they express, so that the order of a file decides nothing."""
    direction = np.random.default_rng(0).standard_normal(logged.shape[1])
    starts = range(0, logged.shape[0], _ROWS)
    parts = [logged[start : start + _ROWS].astype(np.float64) @ direction for start in starts]
    return np.argsort(np.concatenate([np.empty(0), *parts]), kind="stable")


def logged_counts(selection: Selection, rows: NDArray[np.int32]) -> sp.csr_array:
    """``log1p(1e4 x / N)`` of selected genes, ``[n, m]``, columns as the ``[m]`` lexicon rows."""
    column_of = np.zeros(int(rows.max(initial=-1)) + 1, np.int32)
    column_of[rows] = np.arange(len(rows), dtype=np.int32)
    columns = column_of[selection.genes]
    shape = (len(selection), len(rows))
    return sp.csr_array((selection.weights, columns, selection.indptr), shape=shape)


def _scaled(
    logged: sp.csr_array, mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NDArray[np.float32]:
    dense = logged.toarray()
    dense -= mean.astype(np.float32)
    dense /= np.maximum(deviation, 1e-6).astype(np.float32)
    return np.clip(dense, -_LARGEST, _LARGEST, out=dense)


def nearest_group(components: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    """Nearest of ``[J, c]`` centres for ``[n, c]`` components, ``[n]``."""
    distance = (centres * centres).sum(axis=1) - 2 * (components @ centres.T)
    nearest: NDArray[np.intp] = distance.argmin(axis=1)
    return nearest


def _profile(
    logged: sp.csr_array,
    group: NDArray[np.intp],
    centres: NDArray[np.float32],
    spread: NDArray[np.float64],
    detected: NDArray[np.bool_],
) -> Profile:
    n, groups = len(group), len(centres)
    sizes = np.bincount(group, minlength=groups)
    kept = np.flatnonzero(sizes)
    membership = sp.csr_array((np.ones(n, np.float32), (group, np.arange(n))), shape=(groups, n))
    summed: Any = (membership @ logged)[kept]
    means = summed.toarray() / sizes[kept, None] / spread
    means -= np.quantile(means, _LOW, axis=0)
    seen = means[:, detected]
    middle, width = seen.mean(axis=1, keepdims=True), seen.std(axis=1, keepdims=True)
    enrichment = (means - middle) / np.maximum(width, 1e-9)
    return Profile(centres[kept], sizes[kept], means.astype(np.float32), enrichment.astype(np.float32))
