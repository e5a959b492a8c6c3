"""What a user of scanpy types, from counts to a picture of why."""

from __future__ import annotations

import warnings

import pytest

import lexicell
from lexicell.cli.demo import load_cells
from lexicell.embedding.events import ignore

pytestmark = pytest.mark.slow

sc = pytest.importorskip("scanpy")
pytest.importorskip("umap")


def test_cells_are_embedded_named_explained_and_drawn(tmp_path):
    load_cells().write_h5ad(tmp_path / "cells.h5ad")

    adata = sc.read_h5ad(tmp_path / "cells.h5ad")
    lexicell.tl.embed(adata, listener=ignore)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of UMAP, about seeds and threads
        sc.pp.neighbors(adata, use_rep="X_lexicell")
        sc.tl.umap(adata, random_state=0)
    types = ["B cell", "monocyte", "T cell", "natural killer cell", "dendritic cell"]
    lexicell.tl.annotate(adata, types=types, listener=ignore)
    known = adata[adata.obs["lexicell_label"] != "unknown"].copy()
    lexicell.tl.explain(known, "lexicell_label", listener=ignore)
    lexicell.pl.embedding(adata, color="lexicell_label", save=tmp_path / "umap.png")
    axes = lexicell.pl.contributions(known, save=tmp_path / "why.svg")
    lexicell.pl.pathways(known, save=tmp_path / "pathways.png")
    lexicell.pl.groups(known, save=tmp_path / "groups.png")
    one = lexicell.explain(adata, cell=adata.obs_names[0], listener=ignore)
    lexicell.pl.contributions(one, kind="waterfall", save=tmp_path / "cell.png")
    lexicell.pl.pathways(lexicell.explain(known, group="lexicell_label", listener=ignore))

    genes = known.uns["lexicell_explain"]["contributions"].set_index("group")
    assert {"CD79A", "MS4A1"} & set(genes.loc["B cell", "gene"][:8])
    assert {"LYZ", "CST3", "AIF1"} & set(genes.loc["monocyte", "gene"][:6])
    shown = {text.get_text() for text in axes.get_xticklabels()}
    assert {"CD79A", "NKG7", "GNLY"} <= shown
    assert "NKG7" in (tmp_path / "why.svg").read_text()
    table = sc.get.rank_genes_groups_df(known, group="T cell", key="lexicell_explain")
    assert table["scores"].is_monotonic_decreasing
