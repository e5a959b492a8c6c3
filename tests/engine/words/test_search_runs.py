"""Searches of stores, by what vectors say of genes; and of many cells, into a folder, in runs that go on."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

import lexicell
from lexicell.embedding.events import Committed, ignore
from lexicell.errors import CorruptDataError, InputError, OutputExistsError
from lexicell.store import verify

pytest.importorskip("sklearn")

ASKED = {
    "B": "B lymphocyte: antibody production, B cell receptor signaling, humoral immune response",
    "NK": "natural killer cell mediated cytotoxicity, killing of target cells, granzyme",
}
LABELS = {"B": "CD19+ B", "NK": "CD56+ NK"}


@pytest.fixture(scope="module")
def cells():
    from lexicell.cli.demo import load_cells

    return load_cells()


@pytest.fixture(scope="module")
def atlas(cells, tmp_path_factory):
    """9,100 cells: three shards."""
    many = anndata.concat([cells] * 13, index_unique="-")
    many.X.data[many.X.indptr[5] : many.X.indptr[6]] = 0
    path = tmp_path_factory.mktemp("atlas") / "cells.h5ad"
    many.write_h5ad(path)
    return path


def area(score, positive) -> float:
    n = positive.sum()
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (~positive).sum()))


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(("recipe", "least"), [("lexicell", 0.8), ("genept-w", 0.55)])
def test_a_store_is_searched_by_a_sentence(cells, tmp_path, recipe, least, encoder_packages):
    cells = cells.copy()
    cells.X.data[cells.X.indptr[5] : cells.X.indptr[6]] = 0
    cells.write_h5ad(tmp_path / "in.h5ad")
    lexicell.embed(tmp_path / "in.h5ad", tmp_path / "out.zarr", recipe=recipe, listener=ignore)
    found = lexicell.search(tmp_path / "out.zarr", ASKED, listener=ignore)
    assert list(found.scores.index) == list(cells.obs_names)
    assert found.scores.iloc[5].isna().all()
    labels = cells.obs["bulk_labels"].astype(str).to_numpy()
    full = found.scores["B"].notna().to_numpy()
    for kind, label in LABELS.items():
        assert area(found.scores[kind].to_numpy()[full], (labels == label)[full]) > least
    first = found.genes.groupby("type", sort=False)["gene"].agg(lambda genes: set(genes[:40]))
    assert {"CD79A", "CD79B"} & first["B"]
    by_genes = lexicell.search(tmp_path / "out.zarr", genes="CD79A,CD79B,MS4A1,unheard", listener=ignore)
    assert set(by_genes.genes["gene"]) == {"CD79A", "CD79B", "MS4A1"}
    assert area(by_genes.scores.iloc[:, 0].to_numpy()[full], (labels == "CD19+ B")[full]) > 0.6


def test_a_store_of_other_vectors_is_not_searched_by_sentences(cells, tmp_path):
    few = cells[:200].copy()
    projection = lexicell.train(few, label="bulk_labels", objective="ridge", listener=ignore)
    few.write_h5ad(tmp_path / "in.h5ad")
    lexicell.embed(tmp_path / "in.h5ad", tmp_path / "out.zarr", projection=projection, listener=ignore)
    with pytest.raises(InputError, match="made with a trained projection"):
        lexicell.search(tmp_path / "out.zarr", "B cell", listener=ignore)
    for options in ({"output": tmp_path / "folder"}, {"layer": "counts"}, {"mask_genes": ["shared"]}):
        with pytest.raises(InputError, match="options about counts"):
            lexicell.search(tmp_path / "out.zarr", "B cell", listener=ignore, **options)


def test_a_damaged_store_is_not_searched(cells, tmp_path):
    cells[:50].copy().write_h5ad(tmp_path / "in.h5ad")
    lexicell.embed(tmp_path / "in.h5ad", tmp_path / "out.zarr", listener=ignore)
    shard = tmp_path / "out.zarr/obsm/X_lexicell/c/0/0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CorruptDataError):
        lexicell.search(tmp_path / "out.zarr", "B cell", listener=ignore)


@pytest.mark.slow
def test_a_folder_has_the_scores_of_all_cells(atlas, tmp_path):
    found = lexicell.search(atlas, ASKED, tmp_path / "scores", listener=ignore)
    expected = lexicell.search(atlas, ASKED, listener=ignore)
    written = pd.read_parquet(tmp_path / "scores").set_index("cell")
    pd.testing.assert_frame_equal(written, expected.scores, check_names=False)
    assert written.iloc[5].isna().all()
    pd.testing.assert_frame_equal(found.best(), expected.best())
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scores/_genes.parquet"), expected.genes)
    assert verify(str(tmp_path / "scores")).shards == 3
    with pytest.raises(OutputExistsError, match="scores exists"):
        lexicell.search(atlas, ASKED, tmp_path / "scores", listener=ignore)


def test_a_run_to_a_folder_goes_on_and_writes_the_same_bytes(atlas, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    lexicell.search(atlas, ASKED, whole, listener=ignore)

    def interrupt(event):
        if isinstance(event, Committed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lexicell.search(atlas, ASKED, broken, workers=1, listener=interrupt)
    assert not broken.exists()
    with pytest.raises(InputError, match="begun with other"):
        lexicell.search(atlas, ASKED | {"B": "B cell"}, broken, resume=True, listener=ignore)
    told = []
    found = lexicell.search(atlas, ASKED, broken, resume=True, workers=2, listener=told.append)
    assert sum(isinstance(event, Committed) for event in told) == 2
    assert files(broken) == files(whole)
    again = lexicell.search(atlas, ASKED, broken, resume=True, listener=ignore)
    pd.testing.assert_frame_equal(again.best(), found.best())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"output": "scores.csv", "resume": True}, "continued in a folder"),
        ({"output": "scores", "resume": True}, "in memory can't be recognised"),
    ],
)
def test_what_cannot_go_on_is_told(cells, options, says):
    with pytest.raises(InputError, match=says):
        lexicell.search(cells, ASKED, **options, listener=ignore)


def test_only_scores_of_sentences_go_to_a_folder(cells):
    with pytest.raises(InputError, match=r"\.csv.*\.parquet"):
        lexicell.search(cells, like=cells.obs_names[0], output="scores", listener=ignore)


def test_scores_are_standardised(cells):
    scores = lexicell.search(cells, ASKED, listener=ignore).scores.to_numpy()
    assert np.allclose(scores.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(scores.std(axis=0), 1, atol=1e-4)
