"""`lexicell.pack`: genes in a lexicon's order, and cells that embed as they did before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest

import lexicell
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon, align_genes


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def h5ad(cells: anndata.AnnData, tmp_path: Path) -> Path:
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_described_genes_come_first_in_the_lexicons_order(
    h5ad: Path, tmp_path: Path, bundled: Lexicon
) -> None:
    done = lexicell.pack(h5ad, tmp_path / "out.zarr", lexicon=bundled)
    found = anndata.read_zarr(tmp_path / "out.zarr")
    given = anndata.read_h5ad(h5ad)
    assert (done.cells, done.columns, done.values) == (*found.shape, found.X.nnz)
    rows = align_genes(bundled, found.var).rows
    described = int((rows >= 0).sum())
    assert 0 < described < len(rows)
    assert (np.diff(rows[:described]) >= 0).all()
    rest = set(found.var_names[described:])
    assert list(found.var_names[described:]) == [name for name in given.var_names if name in rest]
    assert found.uns["lexicell_pack"]["order"] == {"lexicon": bundled.name, "identity": bundled.identity}
    assert (found[:, given.var_names].X != given.X).nnz == 0


def test_what_would_be_lost_or_misread_is_refused(h5ad: Path, tmp_path: Path, bundled: Lexicon) -> None:
    with pytest.raises(InputError, match=r"is a \.zarr"):
        lexicell.pack(h5ad, tmp_path / "out.h5ad", lexicon=bundled)
    lexicell.pack(h5ad, tmp_path / "out.zarr", lexicon=bundled)
    with pytest.raises(InputError, match="is the input"):
        lexicell.pack([h5ad, tmp_path / "out.zarr"], tmp_path / "out.zarr", lexicon=bundled, overwrite=True)
    with pytest.raises(InputError, match="give one of them"):
        lexicell.pack(h5ad, tmp_path / "new.zarr", lexicon=bundled, overwrite=True, resume=True)


def test_embedding_the_atlas_gives_the_same_bits(data: Callable[[str], Path], tmp_path: Path) -> None:
    given = data("pbmc3k_raw_labelled.h5ad")
    lexicell.pack(given, tmp_path / "packed.zarr")
    found = []
    for source in (given, tmp_path / "packed.zarr"):
        lexicell.embed(source, tmp_path / "out.zarr", top_k=128, overwrite=True)
        found.append(anndata.read_zarr(tmp_path / "out.zarr"))
    np.testing.assert_array_equal(found[0].obsm["X_lexicell"], found[1].obsm["X_lexicell"])
    for name in ("lexicell_n_genes", "lexicell_coverage", "lexicell_n_tied"):
        np.testing.assert_array_equal(found[0].obs[name], found[1].obs[name])
