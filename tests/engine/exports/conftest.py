"""Cells of donors, slides and an atlas, with what goes wrong in each."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lexicell.embedding.events import Note, ignore
from lexicell.exports import export, run
from lexicell.lexicon import Lexicon


@pytest.fixture(scope="session")
def many_symbols():
    table = Lexicon.open("human-go-minilm").genes
    of = zip(table.column("symbol").to_pylist(), table.column("ensembl_ids").to_pylist(), strict=True)
    return [(symbol, ids[0]) for symbol, ids in of if ids][:400]


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 64 cells."""
    monkeypatch.setattr(run, "_ROWS", 64)


@pytest.fixture
def make_cells(many_symbols):
    """Counts of cells of donors; one is empty, one has one gene, some are of no donor or have no label."""

    def make(n=240, donors=12, seed=0):
        rng = np.random.default_rng(seed)
        kind = rng.integers(0, 3, n)
        rate = rng.gamma(0.4, 2.0, (3, len(many_symbols)))
        x = rng.poisson(rate[kind]).astype(np.float32)
        x[3], x[4] = 0, 0
        x[4, 0] = 7
        donor = rng.integers(0, donors - 1, n)
        donor[7] = donors - 1  # alone
        obs = pd.DataFrame(
            {
                "donor": pd.Categorical([f"Zoë/{one}" for one in donor]),
                "sick": np.where(donor % 2, "yes", "no").astype(object),
                "age": donor * 1.5 + 20,
                "kind": pd.Categorical(np.array(["a b", "c/d", "é"])[kind]),
                "slide": np.where(np.arange(n) % 3 == 0, "one", "two/2"),
                "soma_joinid": rng.permutation(10 * n)[:n] + 5,
            },
            index=[f"zellé-{at}" for at in range(n)],
        )
        obs.loc[obs.index[9], "donor"] = np.nan
        obs.loc[obs.index[10], "kind"] = np.nan
        var = pd.DataFrame(
            {"ensembl_id": [one for _, one in many_symbols]}, index=[one for one, _ in many_symbols]
        )
        adata = ad.AnnData(sp.csr_matrix(x), obs=obs, var=var)
        adata.obsm["spatial"] = rng.normal(0, 50, (n, 2))
        return adata

    return make


@pytest.fixture
def vectors_of():
    """Vectors that the engine makes of the cells, by the format that is checked elsewhere."""

    def make(adata, folder):
        export("vectors", adata, folder / "vectors", listener=ignore)
        table = pd.read_parquet(folder / "vectors")
        return np.stack(table["embedding"].to_list())

    return make


class Notes(list):
    """A listener that keeps what it is told."""

    def __call__(self, event):
        if isinstance(event, Note):
            self.append(event.text)

    def __str__(self):
        return "\n".join(self)


@pytest.fixture
def notes():
    return Notes()
