"""Synthetic cells of `bench.cells` as an ordinary AnnData-Zarr: int32 columns, float32 counts, Blosc-LZ4.

``python -m bench.cells_zarr OUT.zarr --cells 1000000`` writes it in bounded memory.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from zarr.codecs import BloscCodec

from bench.cells import N_GENES, blocks, panel

__all__ = ["main", "write_zarr"]

#: Values of a chunk and of a shard: 1 MB and 64 MB of float32, about what anndata and zarr choose.
_CHUNK, _SHARD = 1 << 18, 1 << 24
_NAMES = 1 << 17


class _Column:
    """A 1-d array that grows by whole shards."""

    def __init__(self, group: zarr.Group, name: str, dtype: Any, size: int) -> None:
        self._array = group.create_array(
            name, shape=(size,), chunks=(_CHUNK,), shards=(_SHARD,), dtype=dtype,
            compressors=[BloscCodec(cname="lz4", clevel=5)],
            attributes={"encoding-type": "array", "encoding-version": "0.2.0"},
        )  # fmt: skip
        self._held: list[Any] = []
        self._n_held = self.written = 0

    def append(self, values: Any) -> None:
        self._held.append(values)
        self._n_held += len(values)
        while self._n_held >= _SHARD:
            self._write(_SHARD)

    def finish(self) -> None:
        self._write(self._n_held)
        self._array.resize((self.written,))

    def _write(self, n: int) -> None:
        values = np.concatenate(self._held)
        self._array[self.written : self.written + n] = values[:n]
        self._held, self._n_held = [values[n:]], len(values) - n
        self.written += n


def write_zarr(path: Path | str, n_cells: int, seed: int = 0, n_genes: int = N_GENES) -> None:
    """Write `n_cells` cells; an AnnData-Zarr v3 whose X is CSR."""
    genes = panel(n_genes)
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    x = root.create_group("X")
    x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_cells, n_genes]})
    most = n_cells * n_genes
    data, indices = _Column(x, "data", np.float32, most), _Column(x, "indices", np.int32, most)
    lengths = []
    for part in blocks(n_cells, seed, n_genes):
        data.append(part.data.astype(np.float32))
        indices.append(part.indices.astype(np.int32))
        lengths.append(np.diff(part.indptr))
    data.finish()
    indices.finish()
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
    with ad.settings.override(auto_shard_zarr_v3=False):  # plain chunks, as anndata has written them so far
        ad.io.write_elem(x, "indptr", indptr)
        names = pd.DataFrame(index=pd.Index([f"cell{i}" for i in range(n_cells)], dtype=object))
        ad.io.write_elem(root, "obs", names, dataset_kwargs={"chunks": (min(_NAMES, n_cells),)})
        ad.io.write_elem(root, "var", pd.DataFrame(index=pd.Index(genes.names.astype(object))))
        for empty in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            ad.io.write_elem(root, empty, {})


def main(argv: Sequence[str] | None = None) -> int:
    """Write an AnnData-Zarr."""
    parser = argparse.ArgumentParser(prog="python -m bench.cells_zarr", description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    write_zarr(given.out, given.cells, given.seed)
    total = sum(file.stat().st_size for file in given.out.rglob("*") if file.is_file())
    print(f"wrote {given.cells} cells, {total / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
