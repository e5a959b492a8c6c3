"""What must not change by itself, whatever the machine: bytes, allocations, launches, memory, results.

Seconds are not tested; `python -m bench` keeps those. A change that moves one of these numbers on purpose
says why, and moves it here too.
"""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import blake3
import numpy as np
import pytest
from bench.process import lexicell, run_process
from bench.suites._reading import bytes_of
from bench.workbench import Workbench
from tests.kernels.cuda.stand_in import run_script

from lexicell.counts import open_counts
from lexicell.embedding import Options, make_plan
from lexicell.embedding.inputs import Inputs
from lexicell.embedding.shards import EmbedShards, ShardJob, ShardWorker
from lexicell.store import EmbeddingSink, Layout, create_store
from lexicell_kernels import GeneTable, embed_rows, select_topk

pytestmark = pytest.mark.slow

CELLS = 5_000

#: Bytes a cell on disk; compressors differ a little between versions.
ON_DISK = {"h5ad": 6_790, "zarr": 6_400, "packed": 5_140}
#: Hash of the selected genes, of their number and their ties, for the first synthetic cells ...
SELECTED = "c15a706b6bcb614f"
#: ... and the inner product of their vectors with fixed ones, whose last bits may differ between CPUs.
PRODUCT = -47.28834
#: Largest increase of memory while a block is made, in units of its counts as they are in memory.
WHILE_A_BLOCK = 0.9
#: Most memory of a command with two workers, libraries included, in 10**6 bytes; 560 to 590 were measured.
PEAK_MB = 700


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def packed(bench: Workbench) -> Path:
    return bench.path("synthetic", "packed", CELLS)


@pytest.mark.parametrize("storage", ON_DISK)
def test_bytes_a_cell_on_disk(bench: Workbench, storage: str) -> None:
    path = bench.path("synthetic", storage, CELLS)
    assert bytes_of(path) / CELLS == pytest.approx(ON_DISK[storage], rel=0.02)


def test_the_same_genes_are_selected_and_the_vectors_are_theirs(packed: Path) -> None:
    with open_counts(packed) as source:
        block = source.read(0, 500)
        rank = np.full(source.n_columns, -1, np.int32)
        rank[::3] = np.random.default_rng(3).permutation(len(rank[::3]))
    vectors = np.random.default_rng(4).standard_normal((int(rank.max()) + 1, 32)).astype(np.float32)
    table = GeneTable(vectors, rank)
    chosen, rows = select_topk(block, table, k=128), embed_rows(block, table, k=128)
    exact = (chosen.genes, rows.n_genes, rows.n_tied)
    assert blake3.blake3(b"".join(array.tobytes() for array in exact)).hexdigest()[:16] == SELECTED
    fixed = np.random.default_rng(5).standard_normal(rows.vectors.shape)
    assert float((rows.vectors * fixed).sum()) == pytest.approx(PRODUCT, rel=1e-5)


def test_a_worker_that_is_warm_allocates_less_than_a_block_of_counts(packed: Path, tmp_path: Path) -> None:
    inputs = Inputs((str(packed),))
    layout = Layout(CELLS, 384, "float16", 1024, 256)
    with inputs.open() as source:
        plan = make_plan(source, Options())
        with create_store(tmp_path / "out.zarr", EmbeddingSink(layout), {}, mode="new") as store:
            worker = ShardWorker(
                ShardJob(inputs, EmbedShards(plan.embedder, max_nnz=300_000), store.writer), source
            )
            worker.run(0, threads=lambda: 1, tick=lambda *_: None)
            peaks: list[float] = []

            def tick(_: int, decoded: int) -> None:
                peaks.append((tracemalloc.get_traced_memory()[1] - before) / decoded)
                tracemalloc.reset_peak()

            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                worker.run(1, threads=lambda: 1, tick=tick)
            finally:
                tracemalloc.stop()
    assert len(peaks) > 5
    assert max(peaks) < WHILE_A_BLOCK


def test_peak_memory_of_a_run_with_two_workers(packed: Path, tmp_path: Path) -> None:
    options = ["--dtype", "f16", "--workers", "2"]
    done = run_process(lexicell("embed", str(packed), str(tmp_path / "out.zarr"), *options))
    assert 100 < done.peak_mb < PEAK_MB


_LAUNCHES = """
import sys
import cupy
import numpy as np
import scipy.sparse as sp
from lexicell_kernels import CsrBlock, GeneTable, block_to_device, embed_rows

x = sp.random(400, 60, 0.3, "csr", dtype=np.float32, random_state=1)
x.data = np.ceil(x.data * 5)
block = block_to_device(
    CsrBlock(data=x.data, indices=x.indices.astype(np.int32), indptr=x.indptr.astype(np.int64), n_columns=60)
)
table = GeneTable(np.ones((60, 8), np.float32), np.arange(60, dtype=np.int32))
embed_rows(block, table, k=5)
before = cupy.testing_counters.launches
for _ in range(3):
    embed_rows(block, table, k=5)
print(cupy.testing_counters.launches - before)
"""


def test_a_block_on_a_gpu_is_one_launch(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    cache = os.environ.get("LEXICELL_SHIM_CACHE", str(shared / "lexicell-shim"))
    assert run_script(_LAUNCHES, LEXICELL_SHIM_CACHE=cache).strip() == "3"
