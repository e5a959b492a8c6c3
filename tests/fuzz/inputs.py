"""One small data set in every format that is read, a lexicon, a projection and an embedding store."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse
from tests.engine.counts.conftest import write_mtx, write_tenx, write_zarr

import lexicell
from lexicell.lexicon import subset_lexicon

__all__ = ["CHECKED", "INPUTS", "write_inputs"]

_CELLS, _GENES = 64, 300

#: Names of the files and folders, in the order by which cases choose them.
INPUTS = (
    "gzip.h5ad", "plain.h5ad", "lzf.h5ad", "csc.h5ad", "dense.h5ad", "fletcher.h5ad", "tenx3.h5", "tenx2.h5",
    "v2.zarr", "v2dense.zarr", "v3.zarr", "packed.zarr", "mtx", "mtxgz", "lexicon", "projection",
    "store.zarr",
)  # fmt: skip
#: Those of them where a changed byte of a chunk or file must be noticed, since we write a checksum.
CHECKED = ("packed.zarr", "lexicon", "projection", "store.zarr")


def _cells() -> anndata.AnnData:
    """Cells of random counts, whose genes the bundled lexicon knows."""
    rng = np.random.default_rng(16)
    counts = sparse.csr_matrix(rng.poisson(rng.gamma(0.4, 2.0, _GENES), (_CELLS, _GENES)).astype(np.float32))
    genes = lexicell.Lexicon.open("human-go-minilm").genes["symbol"].to_numpy()[:_GENES]
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(np.array(["B", "T", "NK", "T"])[np.arange(_CELLS) % 4]),
            "depth": np.arange(_CELLS, dtype=float),
            "note": [f"note {cell}" for cell in range(_CELLS)],
        },
        index=[f"cell{cell}" for cell in range(_CELLS)],
    )
    return anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes.astype(str)))


def write_inputs(folder: Path) -> Path:
    """Write all of `INPUTS` into a folder that does not exist yet, and return it."""
    folder.mkdir()
    cells = _cells()
    matrix = cells.X
    cells.write_h5ad(folder / "gzip.h5ad", compression="gzip")
    cells.write_h5ad(folder / "plain.h5ad")
    cells.write_h5ad(folder / "lzf.h5ad", compression="lzf")
    cells.write_h5ad(folder / "fletcher.h5ad")
    with h5py.File(folder / "fletcher.h5ad", "r+") as file:
        for name in ("data", "indices"):
            values = file["X"][name][:]
            del file["X"][name]
            file["X"].create_dataset(
                name, data=values, chunks=(500,), compression="gzip", shuffle=True, fletcher32=True
            )
    write_zarr(cells, folder / "v2.zarr", 2)
    write_zarr(cells, folder / "v3.zarr", 3)
    for name, changed in (("csc.h5ad", sparse.csc_matrix(matrix)), ("dense.h5ad", matrix.toarray())):
        anndata.AnnData(changed, obs=cells.obs, var=cells.var).write_h5ad(folder / name, compression="gzip")
    dense = anndata.AnnData(matrix.toarray(), obs=cells.obs, var=cells.var)
    write_zarr(dense, folder / "v2dense.zarr", 2, chunks=(16, 100))
    write_tenx(matrix, folder / "tenx3.h5", 3)
    write_tenx(matrix, folder / "tenx2.h5", 2)
    write_mtx(matrix.astype(np.int32), folder / "mtx")
    write_mtx(matrix.astype(np.int32), folder / "mtxgz", gz=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        silent = {"listener": lambda _: None}
        lexicell.pack(folder / "gzip.h5ad", folder / "packed.zarr", obs_columns=["kind"], **silent)
        subset_lexicon("human-go-minilm", folder / "lexicon", like=cells.var)
        lexicell.train(
            cells,
            folder / "projection",
            label="kind",
            objective="ridge",
            lexicon=str(folder / "lexicon"),
            **silent,
        )
        lexicell.embed(folder / "gzip.h5ad", folder / "store.zarr", obs_columns=["kind", "note"], **silent)
    return folder
