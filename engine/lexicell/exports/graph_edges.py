"""Edges between cells that lie near one another, the same whatever the order of the cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Edges", "Graph", "edges_of"]

Graph = Literal["delaunay", "radius", "knn"]


@dataclass(frozen=True)
class Edges:
    """Edges of a graph, sorted by source and target; no cell has one to itself.

    Attributes
    ----------
    source, target
        ``[e]`` int64 numbers of cells.
    distance
        ``[e]`` float64.
    made
        What was done in the end: a Delaunay triangulation that does not exist becomes ``"knn"``.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    distance: NDArray[np.float64]
    made: Graph

    def symmetric(self) -> Edges:
        """Both directions of each edge."""
        one = np.stack([self.source, self.target])
        pairs, first = np.unique(np.hstack([one, one[::-1]]), axis=1, return_index=True)
        return Edges(pairs[0], pairs[1], np.tile(self.distance, 2)[first], self.made)


def edges_of(
    points: NDArray[np.float64],
    names: Sequence[Any] | NDArray[Any],
    graph: Graph,
    *,
    radius: float | None,
    neighbours: int,
) -> Edges:
    """Find the edges between cells of one slide.

    Parameters
    ----------
    points
        ``[n, 2]`` or ``[n, 3]`` finite coordinates.
    names
        ``[n]`` names of the cells: of those of equal coordinates the first by name comes first.
    graph
        ``"delaunay"``: both directions; where there is no triangulation (fewer than three points, or all on a
        line or plane), kNN. ``"radius"``: all pairs within `radius`. ``"knn"``: from each cell to its
        `neighbours` nearest, which is not symmetric.
    radius, neighbours
        See there.
    """
    # In an order that is the points' own, so that ties (points of a grid) are settled the same way.
    by_name = np.unique(np.asarray(names, str), return_inverse=True)[1]
    order = np.lexsort((by_name, *points.T[::-1]))
    ordered = points[order]
    found = None
    if graph == "delaunay":
        found = _delaunay(ordered)
    elif graph == "radius":
        found = _radius(ordered, float(radius or 0))
    made: Graph = "knn" if found is None else graph
    a, b = _knn(ordered, neighbours) if found is None else found
    a, b = order[a], order[b]
    sort = np.lexsort((b, a))
    a, b = a[sort], b[sort]
    return Edges(a, b, np.linalg.norm(points[a] - points[b], axis=1), made)


_Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def _delaunay(points: NDArray[np.float64]) -> _Pairs | None:
    """Both directions of the edges of the triangulation; None where there is none."""
    from scipy.spatial import Delaunay, QhullError

    if len(points) < points.shape[1] + 1:
        return None
    try:
        indptr, neighbours = Delaunay(points).vertex_neighbor_vertices
    except QhullError:
        return None
    return np.repeat(np.arange(len(points)), np.diff(indptr)), neighbours.astype(np.int64)


def _radius(points: NDArray[np.float64], radius: float) -> _Pairs:
    from scipy.spatial import cKDTree

    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray").astype(np.int64)
    return np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])


def _knn(points: NDArray[np.float64], k: int) -> _Pairs:
    from scipy.spatial import cKDTree

    n = len(points)
    k = min(k, n - 1)
    if k < 1:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    near = np.asarray(cKDTree(points).query(points, k + 1)[1])
    own = near == np.arange(n)[:, None]
    own[~own.any(axis=1), -1] = True  # so many cells lie at one place that it isn't among its own nearest
    return np.repeat(np.arange(n), k), near[~own].astype(np.int64)
