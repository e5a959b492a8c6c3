"""Cells that exports go wrong on, dense, so that oracles can be written as loops."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

from lexicell.lexicon import Lexicon

#: Two names that differ by case, one twice under two versions of its id, one that nobody knows.
NAMES = ("CD3D", "MS4A1", "NKG7", "LYZ", "C1orf43", "C1ORF43", "CD79A", "CD79A-1", "unheard", "GNLY")


def ids_of(names):
    """Ensembl ids of the lexicon, with versions; of an unknown name one that no dictionary has."""
    table = Lexicon.open("human-go-minilm").genes
    symbols, ids = (table.column(name).to_pylist() for name in ("symbol", "ensembl_ids"))
    known = dict(zip(symbols, ids, strict=True))
    of = {"C1ORF43": "ENSG99999999998", "unheard": "ENSG99999999999"}
    plain = {"CD79A-1": "CD79A", "C1orf43": "C1orf43"}
    return [of.get(name) or known[plain.get(name, name)][0] for name in names]


def hostile(dtype=np.float32, n=150, seed=0):
    """Ties, an empty cell, one with one gene, stored zeros, two columns that are one gene, odd names."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(1.2, (n, len(NAMES))).astype(dtype)
    x[3] = 0
    x[4] = 0
    x[4, 2] = 7
    x[5, :4] = 2  # ties at any cut
    x[6, 1], x[6, 3] = 9, 9
    ids = [f"{one}.{at + 1}" for at, one in enumerate(ids_of(NAMES))]
    var = pd.DataFrame({"ensembl_id": ids}, index=list(NAMES))
    kinds = np.array(["T cell", 'B "naïve"', "it's NK"], object)[np.arange(n) % 3]
    kinds[7] = np.nan
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(kinds),
            "donor": np.array(["d10", "d2", "d1"])[np.arange(n) % 3],
            "age": np.arange(n) / 2,
        },
        index=[f"zellé-{at}" for at in range(n)],
    )
    stored = sp.csr_matrix(x)
    stored.data[stored.indptr[8]] = 0  # a zero that is stored
    dense = stored.toarray().astype(np.float64)
    return ad.AnnData(stored, obs=obs, var=var), dense


def merged(dense, names, key):
    """Sum columns of the same key; keys in the order of their first column."""
    keys = list(dict.fromkeys(key(name) for name in names))
    out = np.zeros((len(dense), len(keys)))
    for at, name in enumerate(names):
        out[:, keys.index(key(name))] += dense[:, at]
    return out, keys


def table_of(folder: Path) -> pa.Table:
    """Read a Hugging Face folder as its index lists it."""
    state = json.loads((folder / "state.json").read_text())
    parts = [
        pa.ipc.open_stream((folder / part["filename"]).read_bytes()).read_all()
        for part in state["_data_files"]
    ]
    return pa.concat_tables(parts)


def files(folder: Path) -> dict[str, bytes]:
    """Content of an output."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
