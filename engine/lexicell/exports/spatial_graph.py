"""Graphs of cells by where they lie, slide by slide: for PyTorch Geometric, and with the keys of squidpy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from lexicell._say import listed
from lexicell.embedding import AlignedCells, Listener, Note
from lexicell.embedding.labels import read_column, read_labels
from lexicell.errors import InputError
from lexicell.exports import vectors
from lexicell.exports.coordinates import read_coordinates
from lexicell.exports.gene_graphs import expression, gene_graphs
from lexicell.exports.graph_edges import Edges, Graph, edges_of
from lexicell.exports.in_columns import ColumnEncoder
from lexicell.exports.placing import file_names, fill, places, table_in_order, with_vector
from lexicell.exports.prepared import Prepared
from lexicell.store import KEY, PASSING, parquet_bytes

if TYPE_CHECKING:
    from lexicell.store import WriterStore

__all__ = ["SpatialGraphOptions", "prepare"]

#: The only slide, where no column names them.
_ONE = "slide"


@dataclass(frozen=True)
class SpatialGraphOptions:
    """What is a neighbour.

    Attributes
    ----------
    coordinates
        Array of ``obsm``, or columns of ``obs`` with commas between (``x,y``), two or three.
    slide
        Column of ``obs``; cells of different slides have no edge. None where all cells are of one.
    graph
        ``"delaunay"``, ``"radius"`` or ``"knn"``.
    radius
        For ``"radius"``, in the units of the coordinates.
    neighbours
        For ``"knn"``, and where a slide has no Delaunay triangulation.
    label
        Column of ``obs`` that becomes ``y``.
    gene_graph
        Column of ``obs`` with groups of cells, in each of which genes that vary together are edges too.
    recipe, projection
        Name of a recipe, and folder of a learned projection; see `VectorOptions`.
    """

    coordinates: str = "spatial"
    slide: str | None = None
    graph: Graph = "delaunay"
    radius: float | None = None
    neighbours: int = 6
    label: str | None = None
    gene_graph: str | None = None
    recipe: str | None = None
    projection: str | None = None

    def __post_init__(self) -> None:
        if self.graph not in {"delaunay", "radius", "knn"}:
            msg = f"graphs are delaunay, radius and knn, not {self.graph!r}"
            raise InputError(msg)
        positive = self.radius is not None and 0 < self.radius < np.inf
        if (self.graph == "radius") != positive or (self.radius is not None) != positive:
            msg = "the graph radius, and no other, needs a radius above 0, in the units of the coordinates"
            raise InputError(msg)
        if not 1 <= self.neighbours <= 10_000:
            msg = f"a cell has at least one neighbour, and 10,000 at most, not {self.neighbours}"
            raise InputError(msg)


@dataclass(frozen=True)
class _Assembly:
    """Puts the slides together, see `lexicell.exports.prepared.Assembly`."""

    options: SpatialGraphOptions
    points: NDArray[np.float64]
    slide: NDArray[np.int64]
    slides: tuple[str, ...]
    y: NDArray[np.int64]
    labels: tuple[str, ...]
    groups: tuple[NDArray[np.int64], tuple[str, ...]] | None
    genes: pd.DataFrame
    width: int
    listener: Listener

    def __call__(
        self,
        tables: Iterable[pa.Table],
        store: WriterStore,
        card: Mapping[str, Any],  # noqa: ARG002
    ) -> Mapping[str, Any]:
        n = len(self.slide)
        there = with_vector(tables, n, empty=True)
        full = with_vector(tables, n)
        if without := int((there & ~full & (self.slide >= 0)).sum()):
            text = f"{without:,} cells without genes are nodes with a zero row (lexicell_n_genes is 0)"
            self.listener(Note(text, serious=True))
        group = np.where(there, self.slide, -1)
        place = places(group)
        sizes = np.bincount(group[group >= 0], minlength=len(self.slides))
        row = np.empty(int(sizes.sum()), np.int64)
        row[place[place >= 0]] = np.flatnonzero(place >= 0)
        lists = {"row", "embedding", "genes", "values", "n_inexact", "n_genes"}
        columns = [name for name in next(iter(tables)).column_names if name not in lists]
        obs = table_in_order(tables, place, columns)
        x, var = self._expression(tables, store, place)
        made: list[tuple[str, str, int, int, str]] = []

        def write(path: Path) -> None:
            cells = np.memmap(path, np.float32, "w+", shape=(max(len(row), 1), self.width))
            fill(tables, place, cells)
            end = np.cumsum(sizes)
            for name, file, start, stop in zip(
                self.slides, file_names(self.slides), (end - sizes).tolist(), end.tolist(), strict=True
            ):
                if stop > start:
                    part = slice(start, stop)
                    frame = obs.slice(start, stop - start).to_pandas().set_index("cell_id")
                    counts = None if x is None else x[part]
                    edges = self._write_slide(
                        store, file, row[part], np.asarray(cells[part]), frame, counts, var
                    )
                    made.append((name, file, stop - start, len(edges.symmetric().source), edges.made))

        store.put_file(f"{PASSING}/cells", write)
        slides = pd.DataFrame(made, columns=["slide", "file", "n_cells", "n_edges", "graph"])
        store.put("slides.parquet", (_parquet(slides),))
        if self.labels:
            store.put("labels.json", (json.dumps(list(self.labels)).encode(),))
        self._tell(slides, row, sizes)
        return {"cells": len(row), "slides": len(slides), "edges": int(slides["n_edges"].sum())}

    def _write_slide(
        self,
        store: WriterStore,
        file: str,
        row: NDArray[np.int64],
        cells: NDArray[np.float32],
        obs: pd.DataFrame,
        counts: sp.csr_matrix | None,
        var: pd.DataFrame | None,
    ) -> Edges:
        """Write a slide's graph twice: as tensors, and as an AnnData."""
        from safetensors.numpy import save

        options, points = self.options, self.points[row]
        edges = edges_of(
            points, obs.index.to_numpy(), options.graph, radius=options.radius, neighbours=options.neighbours
        )
        both = edges.symmetric()
        tensors = {
            "x": cells,
            "edge_index": np.stack([both.source, both.target]),
            "edge_attr": both.distance.astype(np.float32)[:, None],
            "pos": points.astype(np.float32),
            "y": self.y[row],
        }
        store.put(f"{file}.safetensors", (save({k: np.ascontiguousarray(v) for k, v in tensors.items()}),))
        if self.labels:
            of_cell = pd.Categorical.from_codes(self.y[row], categories=pd.Index(self.labels, dtype=object))
            obs = obs.assign(**{str(options.label): of_cell})
        store.put_file(
            f"{file}.h5ad", lambda path: _write_anndata(path, edges, options, points, cells, obs, counts, var)
        )
        return edges

    def _expression(
        self, tables: Iterable[pa.Table], store: WriterStore, place: NDArray[np.int64]
    ) -> tuple[sp.csr_matrix | None, pd.DataFrame | None]:
        """Write the graphs of genes, and return the expression of their genes in the order of places."""
        if self.groups is None:
            return None, None
        m = len(self.genes)
        made = gene_graphs(tables, *self.groups, self.genes["symbol"].to_numpy(object))
        if made.skipped:
            text = f"groups of fewer than three cells have no graph of genes: {listed(made.skipped)}"
            self.listener(Note(text, serious=True))
        store.put("gene_graphs.parquet", (_parquet(made.edges),))
        parts, at = [], []
        for table in tables:
            to = place[table.column("row").to_numpy()]
            parts.append(expression(table, m)[to >= 0][:, made.genes].astype(np.float32))
            at.append(to[to >= 0])
        x = sp.vstack(parts, format="csr")[np.argsort(np.concatenate(at))]
        return x, self.genes.iloc[made.genes].set_index("symbol").rename_axis(None).drop(columns="row")

    def _tell(self, slides: pd.DataFrame, row: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        if self.options.graph == "delaunay" and (other := slides[slides["graph"] == "knn"]["slide"].tolist()):
            text = (
                f"{listed(other)}: fewer than three points, or all on a line or plane, have no Delaunay "
                f"triangulation; edges are those to the {self.options.neighbours} nearest"
            )
            self.listener(Note(text, serious=True))
        where = pd.DataFrame(self.points[row]).assign(slide=np.repeat(np.arange(len(sizes)), sizes))
        if same := int(where.duplicated().sum()):
            what = (
                ", which a Delaunay triangulation gives no edge" if self.options.graph == "delaunay" else ""
            )
            self.listener(Note(f"{same:,} cells lie where another cell does{what}", serious=True))


def prepare(cells: AlignedCells, options: SpatialGraphOptions, listener: Listener) -> Prepared:
    """Read where cells lie, and what they are.

    Raises
    ------
    InputError
        There are no such coordinates or columns.
    """
    source = cells.source
    points = read_coordinates(source, options.coordinates)
    lost = np.isnan(points).any(axis=1)
    if lost.any():
        text = f"{int(lost.sum()):,} cells have no {options.coordinates}; they are left out"
        listener(Note(text, serious=True))
    of = np.full(source.n_cells, _ONE, object)
    if options.slide is not None:
        of = read_column(source, options.slide)
        if without := int((of == "").sum()):
            listener(Note(f"{without:,} cells have no {options.slide}; they are left out", serious=True))
    slides, slide = np.unique(of.astype(str), return_inverse=True)
    slide = np.where(lost | (of == ""), -1, slide).astype(np.int64)
    y, labels = _classes(cells, options.label, listener, "given y = -1")
    made = vectors.prepare_numbered(cells, options.recipe, options.projection, listener)
    groups, genes = None, made.genes
    if options.gene_graph is not None:
        groups = _classes(cells, options.gene_graph, listener, "in no graph of genes")
        symbols = np.asarray(cells.lexicon.genes.column("symbol").to_pylist(), object)
        genes = pd.DataFrame({"row": cells.genes.rows, "symbol": symbols[cells.genes.rows]})
        assert isinstance(made.encoder, vectors.VectorEncoder)  # noqa: S101
        encoder = ColumnEncoder(cells.genes.rank, len(genes), made.encoder)
        made = replace(made, encoder=encoder, genes=genes)
    facts = {
        **made.facts,
        "coordinates": options.coordinates,
        "slide": options.slide,
        "graph": options.graph,
        "radius": options.radius,
        "neighbours": options.neighbours,
        "label": options.label,
        "classes": list(labels),
        "gene_graph": options.gene_graph,
    }
    assembly = _Assembly(
        options,
        points,
        slide,
        tuple(slides.tolist()),
        y,
        labels,
        groups,
        genes,
        int(made.facts["dim"]),
        listener,
    )
    needs = tuple(name for name in (options.slide, options.gene_graph) if name is not None)
    return replace(made, facts=facts, assembly=assembly, needs_obs=needs)


def _classes(
    cells: AlignedCells, name: str | None, listener: Listener, unlabelled: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class of each cell, -1 for none, and their names in order."""
    if name is None:
        return np.full(cells.source.n_cells, -1, np.int64), ()
    labels = read_labels(cells.source, name, listener, unlabelled=unlabelled, least=1)
    found = tuple(sorted(set(labels.tolist()) - {""}))
    return pd.Index(found).get_indexer(pd.Index(labels)).astype(np.int64), found


def _write_anndata(
    path: Path,
    edges: Edges,
    options: SpatialGraphOptions,
    points: NDArray[np.float64],
    cells: NDArray[np.float32],
    obs: pd.DataFrame,
    counts: sp.csr_matrix | None,
    var: pd.DataFrame | None,
) -> None:
    from anndata import AnnData

    n = len(points)
    shape, at = (n, n), (edges.source, edges.target)
    params: dict[str, Any] = {"coord_type": "generic", "n_neighbors": options.neighbours}
    if options.radius is not None:
        params["radius"] = options.radius
    adata = AnnData(
        counts,
        obs=obs.rename_axis(None),
        var=var,
        obsm={"spatial": points, KEY: cells},
        obsp={
            "spatial_connectivities": sp.csr_matrix((np.ones(len(edges.source), np.float32), at), shape),
            "spatial_distances": sp.csr_matrix((edges.distance, at), shape),
        },
        uns={
            "spatial_neighbors": {
                "connectivities_key": "spatial_connectivities",
                "distances_key": "spatial_distances",
                "params": params,
            }
        },
    )
    adata.write_h5ad(path)


def _parquet(table: pd.DataFrame) -> Any:
    return parquet_bytes(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None))
