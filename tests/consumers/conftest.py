"""Exports of a small data set, for the packages that read them: see `make test-consumers`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

#: Folder with exports that another environment has written, for packages that can't share one with lexicell.
WRITTEN = "LEXICELL_EXPORTS"
DICTIONARIES = Path(__file__).parents[1] / "data/geneformer_gc30M.json.gz"


def write_exports(folder: Path) -> None:
    """Write the input and what the tests read."""
    import anndata as ad
    import pandas as pd
    import scipy.sparse as sp

    import lexicell
    from lexicell.lexicon import Lexicon

    table = Lexicon.open("human-go-minilm").genes
    symbols, ids = (table.column(name).to_pylist() for name in ("symbol", "ensembl_ids"))
    of_id = {one[0]: symbol for symbol, one in zip(symbols, ids, strict=True) if one}
    known = [(symbol, one) for one, symbol in of_id.items()][:6000]
    n, rng = 90, np.random.default_rng(0)
    x = rng.poisson(rng.gamma(0.3, 1.5, len(known)), (n, len(known))).astype(np.float32)
    x[5] = 0
    at = np.arange(n)
    obs = pd.DataFrame(
        {
            "cell_type": np.array(["T cell", "B cell", "NK"])[at % 3],
            "organism": "Homo sapiens",
            "gene": np.array(["non-targeting", "CD3D", "LYZ"])[at // 3 % 3],
            "gem_group": np.array(["one", "two"])[at % 2],
            "donor": np.array([f"d{donor}" for donor in range(9)])[at % 9],
            "disease": np.array(["healthy", "sick"])[at % 9 % 2],
            "slide": np.array(["left", "right"])[at // 45],
            "soma_joinid": at + 1_000,
        },
        index=[f"cell-{one}" for one in at],
    )
    var = pd.DataFrame({"ensembl_id": [f"{one}.3" for _, one in known]}, index=[name for name, _ in known])
    cells = ad.AnnData(sp.csr_matrix(x), obs=obs, var=var, obsm={"spatial": rng.random((n, 2)) * 100})
    folder.mkdir(parents=True, exist_ok=True)
    cells.write_h5ad(folder / "cells.h5ad")

    def export(name: str, out: str, **options: object) -> None:
        lexicell.export(name, folder / "cells.h5ad", folder / out, **options)  # type: ignore[arg-type]

    given = {"tokens": DICTIONARIES, "medians": DICTIONARIES}
    export("geneformer", "geneformer", obs_columns=["cell_type"], **given)
    export("cell-sentence", "sentences", obs_columns=["cell_type", "organism"])
    export("vectors", "vectors")
    export("vectors", "vectors-hf", container="hf")
    export("counts", "counts.h5ad", vectors=True)
    export("bags", "bags", donor="donor", label="disease", components=4, scale=True)
    export("chat", "chat", label="cell_type", layout="jsonl")


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of exports."""
    if WRITTEN in os.environ:
        return Path(os.environ[WRITTEN])
    folder = tmp_path_factory.mktemp("exports")
    write_exports(folder)
    return folder


if __name__ == "__main__":
    import sys

    write_exports(Path(sys.argv[1]))
