"""Real cells in small files, and shards so small that a few hundred cells fill many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from tests.engine.counts.conftest import write_zarr

from lexicell._say import silent
from lexicell.counts.concat import ConcatSource
from lexicell.packing import plan_pack, run_pack, shard


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "CHUNK", 1 << 9)
    monkeypatch.setattr(shard, "SHARD", 1 << 12)
    monkeypatch.setattr("lexicell.packing.run.MAX_NNZ", 3000)
    # Nothing that ends here takes the system with it; waiting for the disk would only take long.
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def parts(cells: anndata.AnnData) -> list[anndata.AnnData]:
    """Two halves of 120 real cells with genes in other orders, some of them in one only."""
    rng = np.random.default_rng(0)
    one = cells[:70, rng.permutation(cells.n_vars)[:700]].copy()
    two = cells[70:, rng.permutation(cells.n_vars)[:600]].copy()
    for part in (one, two):
        part.obs = part.obs[["bulk_labels"]].copy()
        part.obs["n_genes"] = part.X.getnnz(axis=1)
        part.var = part.var[[]].copy()
        part.uns, part.obsm, part.varm, part.obsp = {}, {}, {}, {}
        part.raw = None
    two.obs["half"] = 2
    return [one, two]


@pytest.fixture
def inputs(parts: list[anndata.AnnData], tmp_path: Path) -> list[Path]:
    """They as an h5ad and a Zarr."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    parts[0].write_h5ad(folder / "one.h5ad")
    write_zarr(parts[1], folder / "two.zarr", 3)
    return [folder / "one.h5ad", folder / "two.zarr"]


@pytest.fixture
def packed() -> Callable[..., list[str]]:
    """Pack with the genes in the order of their names, and return what was said."""

    def run(
        inputs: Any,
        output: Any,
        *,
        mode: str = "new",
        workers: int | None = None,
        obs_columns: Any = None,
        layer: str | None = None,
    ) -> list[str]:
        said: list[str] = []
        paths = [str(path) for path in (inputs if isinstance(inputs, list) else [inputs])]
        with ConcatSource(paths, layer=layer) as source:
            order = np.argsort(source.var.index.to_numpy(str), kind="stable")
            plan = plan_pack(
                source, paths, order, {"lexicon": "names"}, obs_columns=obs_columns, tell=said.append
            )
            run_pack(plan, output, mode=mode, workers=workers, tick=silent, tell=said.append)
        return said

    return run


@pytest.fixture
def content() -> Callable[[Path], dict[str, bytes]]:
    """All files of a folder, to be compared."""

    def read(folder: Path) -> dict[str, bytes]:
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return {key: path.read_bytes() for key, path in files.items()}

    return read
