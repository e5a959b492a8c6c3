"""Graphs of cells against their definition, the same under any order of cells; and what has no graph."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from lexicell.embedding.events import Committed, ignore
from lexicell.errors import InputError
from lexicell.exports import export
from lexicell.exports.graph_edges import edges_of


def pairs_within(points, r):
    gap = np.linalg.norm(points[:, None] - points[None], axis=2)
    return {(a, b) for a, b in np.argwhere(gap <= r).tolist() if a != b}


def delaunay_pairs(points):
    """Edges of triangles whose circumscribed circle holds no other point."""
    found, n = set(), len(points)
    for a in range(n):
        for b in range(a + 1, n):
            for c in range(b + 1, n):
                corners = points[[a, b, c]]
                left = 2 * (corners[1:] - corners[0])
                if abs(np.linalg.det(left)) < 1e-12:
                    continue
                centre = np.linalg.solve(left, (corners[1:] ** 2).sum(axis=1) - (corners[0] ** 2).sum())
                others = np.delete(points, [a, b, c], axis=0)
                if (np.linalg.norm(others - centre, axis=1) > np.linalg.norm(corners[0] - centre)).all():
                    found |= {(a, b), (b, a), (a, c), (c, a), (b, c), (c, b)}
    return found


def pairs_of(edges):
    return set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))


def test_edges_are_those_of_the_definition():
    points = np.random.default_rng(0).random((25, 2)) * 10
    names = [f"c{at}" for at in range(25)]
    given = {"radius": None, "neighbours": 4}
    assert pairs_of(edges_of(points, names, "delaunay", **given)) == delaunay_pairs(points)
    close = edges_of(points, names, "radius", radius=2.5, neighbours=4)
    assert pairs_of(close) == pairs_within(points, 2.5)
    near = edges_of(points, names, "knn", **given)
    gap = np.linalg.norm(points[:, None] - points[None], axis=2)
    expected = {(a, b) for a in range(25) for b in np.argsort(gap[a])[1:5].tolist()}
    assert pairs_of(near) == expected
    assert pairs_of(near.symmetric()) == expected | {(b, a) for a, b in expected}
    assert near.distance == pytest.approx(gap[near.source, near.target])
    for edges in (close, near, near.symmetric()):
        assert (np.lexsort((edges.target, edges.source)) == np.arange(len(edges.source))).all()


@pytest.mark.parametrize("graph", ["delaunay", "radius", "knn"])
def test_ties_of_a_grid_are_settled_the_same_way_in_any_order(graph):
    side = 12
    points = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2).astype(float)
    points = np.vstack([points, points[:5]])  # some lie where another does
    names = np.array([f"c{at}" for at in range(len(points))])
    given = {"radius": 1.0 if graph == "radius" else None, "neighbours": 3}
    here = edges_of(points, names, graph, **given)
    expected = {(names[a], names[b]) for a, b in pairs_of(here)}
    assert expected
    for seed in range(4):
        moved = np.random.default_rng(seed).permutation(len(points))
        there = edges_of(points[moved], names[moved], graph, **given)
        assert {(names[moved][a], names[moved][b]) for a, b in pairs_of(there)} == expected


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((1, 2)),
        np.array([[0.0, 0], [1, 2]]),
        np.stack([np.arange(9.0), 2 * np.arange(9.0)], axis=1),  # on a line
        np.ones((6, 2)),
        np.random.default_rng(0).random((9, 3)) * [1, 1, 0],  # on a plane
    ],
)
def test_where_there_is_no_triangulation_the_nearest_are_neighbours(points):
    n = len(points)
    edges = edges_of(points, [f"c{at}" for at in range(n)], "delaunay", radius=None, neighbours=2)
    assert edges.made == "knn"
    assert np.bincount(edges.source, minlength=n).tolist() == [min(2, n - 1)] * n
    assert (edges.source != edges.target).all()


def test_a_slide_is_tensors_and_an_anndata(tmp_path, make_cells, vectors_of, notes):
    adata = make_cells()
    adata.obsm["spatial"][11] = np.nan
    adata.obsm["spatial"][12] = adata.obsm["spatial"][15]
    vectors = vectors_of(adata, tmp_path)
    options = {"slide": "slide", "label": "kind", "obs_columns": ["age"], "listener": notes}
    done = export("spatial-graph", adata, tmp_path / "out", **options)
    slides = pd.read_parquet(tmp_path / "out/slides.parquet")
    assert slides["slide"].tolist() == ["one", "two/2"]
    assert slides["file"].tolist() == ["one", "two%2F2"]
    labels = json.loads((tmp_path / "out/labels.json").read_text())
    for name, file, n_edges in zip(slides["slide"], slides["file"], slides["n_edges"], strict=True):
        rows = np.flatnonzero((adata.obs["slide"] == name).to_numpy() & (np.arange(adata.n_obs) != 11))
        tensors = load_file(tmp_path / f"out/{file}.safetensors")
        assert tensors["x"].tobytes() == vectors[rows].tobytes()
        assert np.allclose(tensors["pos"], adata.obsm["spatial"][rows])
        kinds = adata.obs["kind"].iloc[rows]
        assert tensors["y"].tolist() == [-1 if pd.isna(one) else labels.index(one) for one in kinds]
        edges = tensors["edge_index"]
        assert edges.dtype == np.int64
        assert edges.shape == (2, n_edges)
        both = set(map(tuple, edges.T.tolist()))
        assert len(both) == n_edges
        assert both == {(b, a) for a, b in both}
        gap = np.linalg.norm(tensors["pos"][edges[0]] - tensors["pos"][edges[1]], axis=1)
        assert np.allclose(tensors["edge_attr"][:, 0], gap, rtol=1e-4)
        slide = ad.read_h5ad(tmp_path / f"out/{file}.h5ad")
        assert slide.obs_names.tolist() == adata.obs_names[rows].tolist()
        assert set(zip(*slide.obsp["spatial_connectivities"].nonzero(), strict=True)) == both
        assert slide.obsp["spatial_connectivities"].dtype == np.float32
        assert slide.obsp["spatial_distances"].dtype == np.float64
        assert slide.obsm["X_lexicell"].tobytes() == vectors[rows].tobytes()
        assert slide.uns["spatial_neighbors"]["connectivities_key"] == "spatial_connectivities"
        assert slide.obs["kind"].dtype == "category"
        assert slide.obs["age"].tolist() == adata.obs["age"].iloc[rows].tolist()
    assert done.cells == adata.n_obs - 1
    assert "1 cells have no spatial; they are left out" in str(notes)
    assert "1 cells lie where another cell does" in str(notes)
    assert "1 cells without genes are nodes with a zero row" in str(notes)


def test_the_nearest_are_directed_in_the_anndata_only(tmp_path, make_cells):
    export("spatial-graph", make_cells(), tmp_path / "out", graph="knn", neighbours=5, listener=ignore)
    slide = ad.read_h5ad(tmp_path / "out/slide.h5ad")
    assert (np.diff(slide.obsp["spatial_connectivities"].indptr) == 5).all()
    edges = set(map(tuple, load_file(tmp_path / "out/slide.safetensors")["edge_index"].T.tolist()))
    directed = set(zip(*slide.obsp["spatial_connectivities"].nonzero(), strict=True))
    assert directed < edges
    assert edges == directed | {(b, a) for a, b in directed}


def test_no_order_of_cells_shows(tmp_path, make_cells):
    adata = make_cells()
    adata.obs["x"], adata.obs["y"] = adata.obsm["spatial"].round(-1).T  # with ties
    rows = np.random.default_rng(3).permutation(adata.n_obs)
    options = {"coordinates": "x,y", "slide": "slide", "gene_graph": "kind", "listener": ignore}
    export("spatial-graph", adata, tmp_path / "a", **options)
    export("spatial-graph", adata[rows].copy(), tmp_path / "b", **options)
    genes = [(tmp_path / f"{of}/gene_graphs.parquet").read_bytes() for of in "ab"]
    assert genes[0] == genes[1]
    for file in ("one", "two%2F2"):
        here, there = (ad.read_h5ad(tmp_path / f"{of}/{file}.h5ad") for of in "ab")
        there = there[here.obs_names]
        assert (here.obsp["spatial_connectivities"] != there.obsp["spatial_connectivities"]).nnz == 0
        assert (here.X != there.X).nnz == 0
        assert here.obsm["X_lexicell"].tobytes() == np.ascontiguousarray(there.obsm["X_lexicell"]).tobytes()


def test_genes_of_a_group_that_vary_together_are_edges(tmp_path, make_cells):
    adata = make_cells(400)
    export("spatial-graph", adata, tmp_path / "out", gene_graph="kind", listener=ignore)
    edges = pd.read_parquet(tmp_path / "out/gene_graphs.parquet")
    assert sorted(set(edges["group"])) == ["a b", "c/d", "é"]
    x = adata.X.toarray().astype(np.float64)
    with np.errstate(invalid="ignore"):
        x = np.nan_to_num(np.log1p(1e4 * x / x.sum(axis=1, keepdims=True)))
    for kind, of in edges.groupby("group"):
        mine = x[(adata.obs["kind"] == kind).to_numpy()]
        variance = mine.var(axis=0)
        chosen = set(adata.var_names[np.argsort(-variance)[:200]])
        assert len((set(of["gene_a"]) | set(of["gene_b"])) - chosen) <= 2  # near the cut steps are coarse
        assert len(of) == 200 * 199 // 2 // 4
        with np.errstate(invalid="ignore"):
            r = np.corrcoef(mine.T)
        at = adata.var_names.get_indexer
        assert np.allclose(r[at(of["gene_a"]), at(of["gene_b"])], of["weight"], atol=1e-3)
        inside = np.abs(r[np.ix_(at(sorted(chosen)), at(sorted(chosen)))][np.triu_indices(200, 1)])
        assert np.abs(of["weight"]).min() == pytest.approx(np.sort(inside)[-len(of)], abs=2e-3)
    slide = ad.read_h5ad(tmp_path / "out/slide.h5ad")
    assert set(slide.var_names) >= set(edges["gene_a"])
    assert np.allclose(slide.X.toarray(), x[:, adata.var_names.get_indexer(slide.var_names)], atol=1e-4)


@pytest.mark.slow
def test_pytorch_geometric_takes_the_tensors(tmp_path, make_cells):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch_geometric")
    from safetensors.torch import load_file as load
    from torch_geometric.data import Data
    from torch_geometric.loader import DataLoader
    from torch_geometric.nn import GCNConv

    options = {"slide": "slide", "label": "kind", "graph": "knn", "listener": ignore}
    export("spatial-graph", make_cells(), tmp_path / "out", **options)
    graphs = [Data(**load(path)) for path in sorted((tmp_path / "out").glob("*.safetensors"))]
    for graph in graphs:
        graph.validate(raise_on_error=True)
        assert graph.is_undirected()
        assert not graph.has_self_loops()
        assert graph.is_coalesced()
    batch = next(iter(DataLoader(graphs, batch_size=2)))
    out = GCNConv(batch.x.shape[1], 3)(batch.x, batch.edge_index)
    assert out.shape == (240, 3)
    assert torch.isfinite(out).all()


@pytest.mark.slow
def test_the_page_puts_together_what_heist_reads(tmp_path, make_cells, repository, monkeypatch):
    pytest.importorskip("torch_geometric")
    adata = make_cells(120)
    adata.obs["cell_type"] = adata.obs["kind"]
    export("spatial-graph", adata, tmp_path / "graphs", gene_graph="cell_type", listener=ignore)
    page = (repository / "docs/exports.md").read_text(encoding="utf-8").partition("and HEIST")[2]
    code = page.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)  # noqa: S102 -- our own page
    first, *rest = names["graphs"]
    assert first.X.shape == (120, 2)
    assert len(rest) == 119  # one has no type
    assert len({id(graph.X) for graph in rest}) == len(rest)
    of_cell = dict(zip(adata.obs_names[adata.obs["kind"].notna()], rest, strict=True))
    slide = names["slide"]
    for cell in adata.obs_names[20:40]:
        counted = slide[cell].X.toarray().ravel()[names["of_kind"][adata.obs["kind"][cell]][0]]
        assert of_cell[cell].X[:, 0].tolist() == counted.tolist()
        assert of_cell[cell].edge_index.max() < len(counted)


def test_squidpy_takes_the_keys(tmp_path, make_cells):
    squidpy = pytest.importorskip("squidpy")
    export("spatial-graph", make_cells(), tmp_path / "out", label="kind", listener=ignore)
    slide = ad.read_h5ad(tmp_path / "out/slide.h5ad")
    known = slide[slide.obs["kind"].notna()].copy()
    squidpy.gr.nhood_enrichment(known, cluster_key="kind", show_progress_bar=False)
    ours = known.obsp["spatial_connectivities"]
    squidpy.gr.spatial_neighbors(slide, coord_type="generic", delaunay=True, key_added="theirs")
    assert (slide.obsp["theirs_connectivities"] != slide.obsp["spatial_connectivities"]).nnz == 0
    assert np.isfinite(known.uns["kind_nhood_enrichment"]["zscore"]).any()
    assert ours.nnz


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"coordinates": "where"}, r"obsm has no 'where'; it has spatial; name an array of obsm, or columns"),
        ({"coordinates": "x,y"}, r"obs has no column 'x'; it has donor, sick, age, kind"),
        ({"coordinates": "age,kind"}, r"obs\['kind'\] holds no numbers, so no coordinates"),
        ({"slide": "section"}, r"obs has no column 'section'; it has donor"),
        ({"label": "type"}, r"obs has no column 'type'; it has donor"),
        ({"gene_graph": "type"}, r"obs has no column 'type'; it has donor"),
        ({"graph": "voronoi"}, r"delaunay, radius and knn, not 'voronoi'"),
        ({"graph": "radius"}, r"needs a radius above 0"),
        ({"graph": "radius", "radius": -1.0}, r"needs a radius above 0"),
        ({"radius": 3.0}, r"needs a radius above 0"),
        ({"neighbours": 0}, r"and 10,000 at most, not 0"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(tmp_path, make_cells, options, says):
    with pytest.raises(InputError, match=says):
        export("spatial-graph", make_cells(), tmp_path / "out", listener=ignore, **options)
    assert not list(tmp_path.iterdir())


def test_points_on_a_line_are_told(tmp_path, make_cells, notes):
    adata = make_cells()
    adata.obsm["spatial"][:, 1] = 1
    export("spatial-graph", adata, tmp_path / "out", slide="slide", listener=notes)
    assert "one, two/2: fewer than three points, or all on a line or plane" in str(notes)
    assert set(pd.read_parquet(tmp_path / "out/slides.parquet")["graph"]) == {"knn"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda adata: adata.obsm.clear(), r"obsm has no 'spatial'; it has nothing at all"),
        (lambda adata: adata.obsm["spatial"].__setitem__(slice(None), np.nan), r"no value in any cell"),
        (lambda adata: adata.obsm["spatial"].__setitem__(3, np.inf), r"has an infinite value"),
        (lambda adata: adata.obsm.__setitem__("spatial", np.zeros((240, 5))), r"has 5 columns"),
    ],
)
def test_coordinates_that_are_none_are_refused(tmp_path, make_cells, change, says):
    adata = make_cells()
    change(adata)
    with pytest.raises(InputError, match=says):
        export("spatial-graph", adata, tmp_path / "out", listener=ignore)


def test_a_run_goes_on_to_the_same_bytes(tmp_path, make_cells):
    many = ad.concat([make_cells(600)] * 8, index_unique="-", merge="same")
    many.obsm["spatial"] = np.random.default_rng(0).random((many.n_obs, 2))
    many.write_h5ad(tmp_path / "cells.h5ad")
    options = {"slide": "slide", "gene_graph": "kind"}

    def interrupt(event):
        if isinstance(event, Committed):
            raise KeyboardInterrupt

    export("spatial-graph", tmp_path / "cells.h5ad", tmp_path / "whole", listener=ignore, **options)
    given = ("spatial-graph", tmp_path / "cells.h5ad", tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        export(*given, workers=1, listener=interrupt, **options)
    done = export(*given, resume=True, listener=ignore, **options)
    assert done.resumed_cells > 0
    whole, out = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.is_file()}
        for name in ("whole", "out")
    )
    assert whole == out
    assert len(out) == 8
