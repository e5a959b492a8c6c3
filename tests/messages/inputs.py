"""Small files that are right, and files that are wrong in one way each."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

import lexicell

__all__ = ["write_inputs"]

_CELLS, _GENES = 40, 200


def _cells(genes: list[str]) -> anndata.AnnData:
    rng = np.random.default_rng(3)
    counts = sparse.csr_matrix(rng.poisson(1.0, (_CELLS, _GENES)).astype(np.float32))
    obs = pd.DataFrame(
        {
            "kind": np.array(["B", "T"])[np.arange(_CELLS) % 2],
            "one": "all",
            "depth": np.arange(_CELLS, dtype=float),
        },
        index=[f"cell{cell}" for cell in range(_CELLS)],
    )
    return anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=pd.Index(genes)))


def _with(counts: sparse.csr_matrix, value: float) -> sparse.csr_matrix:
    dense = counts.toarray()
    dense[7, 5] = value
    return sparse.csr_matrix(dense)


def write_inputs(folder: Path) -> None:
    """Write them into an empty folder."""
    genes = lexicell.Lexicon.open("human-go-minilm").genes["symbol"].to_pylist()[:_GENES]
    cells = _cells(genes)
    counts = cells.X
    strangers = [f"CLUSTER_{gene}" for gene in range(_GENES)]
    totals = np.asarray(counts.sum(axis=1)).ravel()
    ten_thousand = sparse.csr_matrix(sparse.diags_array(1e4 / totals) @ counts)
    changed: dict[str, dict[str, Any]] = {
        "cells": {},
        "no-cells": {"cells": 0},
        "no-counts": {"X": sparse.csr_matrix(counts.shape, dtype=np.float32)},
        "negative": {"X": _with(counts, -1)},
        "nan": {"X": _with(counts, np.nan)},
        "logarithms": {"X": ten_thousand.log1p()},
        "no-known-gene": {"var_names": pd.Index(strangers)},
        "few-known-genes": {"var_names": pd.Index([*genes[:20], *strangers[20:]])},
        "mouse-ids": {"var_names": pd.Index([f"ENSMUSG{gene:011}" for gene in range(_GENES)])},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, change in changed.items():
            other = cells[: change.pop("cells", _CELLS)].copy()
            for what, value in change.items():
                setattr(other, what, value)
            other.write_h5ad(folder / f"{name}.h5ad")
        cells.write_zarr(folder / "cells.zarr")
        lexicell.embed(folder / "cells.h5ad", folder / "store.zarr", listener=lambda _: None)
        lexicell.embed(folder / "cells.h5ad", folder / "damaged.zarr", listener=lambda _: None)
    (chunk,) = (folder / "damaged.zarr" / "obsm" / "X_lexicell" / "c").rglob("0/0")
    chunk.write_bytes(chunk.read_bytes()[:-9] + bytes(9))
    whole = (folder / "cells.h5ad").read_bytes()
    (folder / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
    (folder / "noise.h5ad").write_bytes(np.random.default_rng(0).bytes(5000))
    with h5py.File(folder / "other.h5ad", "w") as file:
        file["x"] = [1]
    (folder / "notes.doc").write_text("not counts")
    (folder / "list.txt").write_text("nowhere.h5ad\n")
    (folder / "empty").mkdir()
    (folder / "theirs.zarr").mkdir()
    (folder / "theirs.zarr" / "thesis.txt").write_text("years of work")
    for name, values in (("mtx", "2 1 3\n1 x 5\n"), ("mtx-short", "2 1 3\n")):
        (folder / name).mkdir()
        head = "%%MatrixMarket matrix coordinate integer general\n3 2 2\n"
        (folder / name / "matrix.mtx").write_text(head + values)
        (folder / name / "barcodes.tsv").write_text("a\nb\n")
        (folder / name / "genes.tsv").write_text("".join(f"{gene}\t{gene}\n" for gene in genes[:3]))
    (folder / "genes.txt").write_text("no-such-gene\n")
    (folder / "types.txt").write_text("B B cells\n")
    (folder / "table.tsv").write_text("id\ttext\n1\ta gene\n1\tanother\n")
