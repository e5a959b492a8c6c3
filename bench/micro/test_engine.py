"""What surrounds the kernel: reading a span, matching names, folding a table, encoding a shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from bench import cells
from bench.workbench import Workbench

from lexicell.counts import Scratch, open_counts
from lexicell.embedding import Options, make_plan
from lexicell.lexicon import Lexicon, align_genes
from lexicell.store import Layout, shard_bytes

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.slow

_CELLS = 2_000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("micro"))


@pytest.mark.parametrize("storage", ["packed", "zarr", "h5ad", "h5ad-plain"])
def test_read(benchmark: BenchmarkFixture, bench: Workbench, storage: str) -> None:
    path, scratch = bench.path("synthetic", storage, _CELLS), Scratch()

    def read() -> tuple[float, int]:
        with open_counts(path) as source:  # each time: a source keeps what it decoded last
            block = source.read(0, _CELLS, scratch)
            return float(block.data.sum(dtype=np.float64)), len(block.data)

    x = cells.block(0)[:_CELLS]
    assert benchmark(read) == (float(x.data.sum(dtype=np.float64)), x.nnz)


def test_align_genes(benchmark: BenchmarkFixture) -> None:
    panel = cells.panel()
    var = pd.DataFrame(index=pd.Index(panel.names.astype(object)))
    lexicon = Lexicon.open("human-go-minilm")
    found = benchmark(align_genes, lexicon, var)
    assert found.n_matched == panel.described.sum()


def test_make_plan(benchmark: BenchmarkFixture, bench: Workbench) -> None:
    with open_counts(bench.path("synthetic", "packed", _CELLS)) as source:
        plan = benchmark(make_plan, source, Options())
        assert plan.dim == 384
        assert plan.cells.alignment.n_matched == cells.panel().described.sum()


def test_encode_a_shard(benchmark: BenchmarkFixture) -> None:
    layout = Layout(4_096, 384, "float16", 4_096, 4_096)
    rows = np.random.default_rng(0).standard_normal((4_096, 384)).astype(np.float16)
    parts = benchmark(shard_bytes, rows, layout)
    assert b"".join(map(bytes, parts)).startswith(rows.tobytes())
