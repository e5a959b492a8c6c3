"""Small inputs that still make several shards."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from lexicell.lexicon import Lexicon

__all__ = ["write_inputs"]

#: Cells of the two inputs: five shards, one of them from both and the last one short.
CELLS = (9_000, 8_500)
_GENES, _PER_CELL = 600, 40


def write_inputs(folder: Path) -> list[Path]:
    """Write two h5ad files with described genes in different orders; the same bytes of counts every time."""
    folder.mkdir()
    symbols = Lexicon.open("human-go-minilm").read_genes(["symbol"]).column("symbol").to_pylist()[:_GENES]
    paths = []
    for number, n in enumerate(CELLS):
        rng = np.random.default_rng(number)
        columns = np.sort(rng.random((n, _GENES)).argsort(axis=1)[:, :_PER_CELL], axis=1)
        counts = rng.geometric(0.5, n * _PER_CELL).astype(np.float32)
        x = sp.csr_matrix((counts, columns.ravel(), np.arange(n + 1) * _PER_CELL), shape=(n, _GENES))
        obs = pd.DataFrame(
            {"kind": pd.Categorical(rng.choice(["a", "b", f"only{number}"], n))},
            index=[f"cell{number}-{i}" for i in range(n)],
        )
        genes = symbols if number == 0 else symbols[::-1]
        paths.append(folder / f"part{number}.h5ad")
        anndata.AnnData(x, obs, pd.DataFrame(index=genes)).write_h5ad(paths[-1])
    return paths
