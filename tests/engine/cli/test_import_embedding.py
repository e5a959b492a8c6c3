"""``lexicell import-embedding``, as typed."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import lexicell as package


@pytest.fixture
def table(h5ad, cells, tmp_path):
    """A CSV as Geneformer's EmbExtractor writes it, of all cells but one, in another order."""
    rows = np.random.default_rng(0).permutation(cells.n_obs)[1:]
    vectors = np.random.default_rng(1).standard_normal((len(rows), 4))
    found = pd.DataFrame(vectors, columns=range(4)).assign(cell_id=cells.obs_names[rows])
    found.to_csv(tmp_path / "emb.csv")
    return tmp_path / "emb.csv"


def test_vectors_are_joined_told_and_verified(lexicell, h5ad, cells, table, tmp_path):
    out = tmp_path / "out.zarr"
    ended = lexicell("import-embedding", table, out, "--from", "geneformer", "--data", h5ad)
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{cells.n_obs - 1:,} of {cells.n_obs:,} cells have a vector, p = 4 -> ")
    assert "1 cells have no vector" in ended.err
    assert lexicell("verify", out).code == 0
    back = package.open_embedding(out)
    found = pd.read_csv(table, index_col=0).set_index("cell_id")
    expected = found.reindex(cells.obs_names).fillna(0).to_numpy(np.float32)
    np.testing.assert_array_equal(back.obsm["X_lexicell"], expected)
    again = lexicell("import-embedding", table, out, "--from", "geneformer", "--data", h5ad)
    assert (again.code, again.out) == (2, "")
    ended = lexicell("import-embedding", table, out, "--from", "geneformer", "--overwrite", "--json")
    assert json.loads(ended.out)["cells"] == cells.n_obs - 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "--from"),
        (["--from", "nope"], "geneformer"),
        (["--from", "geneformer", "--by-position"], "name the cells (--data)"),
        (["--from", "csv", "--order-by", "length"], "the order by length is that of Geneformer"),
        (["--from", "csv", "--key", "x"], "without ids, name the cells too (--data)"),
        (["--from", "npy"], "is no .npy"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(lexicell, table, tmp_path, options, says):
    ended = lexicell("import-embedding", table, tmp_path / "out.zarr", *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.complaint
    assert not list(tmp_path.glob("out.zarr*"))
