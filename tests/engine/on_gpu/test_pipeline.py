"""Blocks of the host go through the GPU two at a time, and nothing of that shows in the vectors."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicell.counts import open_counts
from lexicell.counts.blocks import slice_rows
from lexicell.embedding import Options, gpu_blocks, make_plan
from lexicell.embedding.gpu_blocks import GpuBlocks
from lexicell.embedding.local import run_local
from lexicell.embedding.shards import EmbedShards, ShardJob
from lexicell.errors import CountsError, GpuMemoryError
from lexicell.store import EmbeddingSink, Layout, create_store
from lexicell_kernels import CsrBlock

cupy = pytest.importorskip("cupy", reason="test_on_gpu.py runs this with the stand-in for CuPy")

pytestmark = pytest.mark.gpu
COLUMNS = ("vectors", "n_genes", "coverage", "n_tied")
pretended = getattr(cupy, "testing_memory", None)
needs_stand_in = pytest.mark.skipif(pretended is None, reason="memory ends where a test wants it only there")


@pytest.fixture
def memory():
    yield pretended
    pretended.reset()


@pytest.fixture(scope="module")
def blood():
    """60 x 765 real counts, columns in order."""
    pytest.importorskip("scanpy")
    from lexicell.cli.demo import load_cells

    adata = load_cells()[:60].copy()
    adata.X.sort_indices()
    return adata


@pytest.fixture(scope="module", params=["one gene each", "columns that are one gene"])
def work(request, blood):
    """An embedder, the counts as one block, and what the GPU makes of it at once."""
    return worked(blood, shared=request.param != "one gene each")


@pytest.fixture(scope="module", params=["one gene each", "columns that are one gene"])
def few(request, blood):
    """As `work`, of 16 cells."""
    return worked(blood[:16].copy(), shared=request.param != "one gene each")


def worked(counts, *, shared=False, values=None):
    counts.var["gene"] = [*counts.var_names[:5], *counts.var_names[:760]]
    options = Options(top_k=40, device="cuda", gene_column="gene" if shared else None, values=values)
    source = open_counts(counts)
    embedder = make_plan(source, options).embedder
    assert (embedder.folded.genes.shared is not None) == shared
    block = source.read(0, counts.n_obs)
    names = lambda start, stop: counts.obs_names[start:stop]  # noqa: E731
    expected = embedder.embed(block, 0, names)
    return embedder, block, names, {name: getattr(expected, name).get() for name in COLUMNS}


def cut(block, ends):
    """Blocks, one after another in the same buffers, as a source that is given scratch makes them."""
    data, indices = np.empty_like(block.data), np.empty_like(block.indices)
    for start, stop in zip([0, *ends], [*ends, block.n_rows], strict=True):
        part = slice_rows(block, start, stop)
        data[:] = np.nan
        data[: len(part.data)], indices[: len(part.indices)] = part.data, part.indices
        yield (
            start,
            CsrBlock(
                data=data[: len(part.data)],
                indices=indices[: len(part.data)],
                indptr=part.indptr,
                n_columns=part.n_columns,
            ),
        )


def embedded(blocks, work, ends):
    """All rows, as the blocks that they came in."""
    _, block, names, _ = work
    found = {name: [] for name in COLUMNS}
    starts, nbytes = [], 0
    for done in blocks.embed(cut(block, ends), names):
        starts.append(done.start)
        nbytes += done.nbytes
        for name in COLUMNS:
            found[name].append(getattr(done.rows, name).copy())
    assert starts == [0, *ends]
    assert nbytes == block.data.nbytes + block.indices.nbytes
    return {name: np.concatenate(parts) for name, parts in found.items()}


def same(found, work):
    for name in COLUMNS:
        np.testing.assert_array_equal(found[name], work[3][name])
        assert found[name].dtype == work[3][name].dtype


def test_blocks_give_the_same_bits_as_all_rows_at_once_and_in_order(work):
    blocks = GpuBlocks(work[0])
    for ends in ([], [60], [1, 2, 3], [0, 20, 20, 40], list(range(7, 60, 7))):  # buffers grow and are kept
        same(embedded(blocks, work, ends), work)


@needs_stand_in
def test_the_next_blocks_are_read_before_anybody_waits_for_one(blood):
    embedder, block, names, _ = worked(blood)
    counters, launched, blocks = cupy.testing_counters, [], GpuBlocks(embedder)

    def reading():
        for item in cut(block, [20, 40]):
            launched.append(counters.launches)
            yield item

    counters.reset()
    assert len(list(blocks.embed(reading(), names))) == 3
    assert launched == [0, 0, 0]  # the stand-in works only when somebody waits
    assert (counters.launches, counters.synchronisations) == (3, 3)
    assert (counters.uploads, counters.downloads) == (3 * 3, 3 * 4)


@settings(max_examples=12)
@given(
    ends=st.lists(st.integers(0, 16), max_size=3).map(sorted),
    piece=st.integers(6_000, 60_000),
    failing=st.sets(st.integers(0, 60), max_size=3),
)
@needs_stand_in
def test_vectors_do_not_depend_on_memory(few, ends, piece, failing):
    blocks = GpuBlocks(few[0])
    blocks._piece_bytes = piece
    pretended.reset()
    pretended.failing = failing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_blocks, "_LEAST", 1000)
        try:
            found = embedded(blocks, few, ends)
        except GpuMemoryError:  # no room for a single cell; it may be better later
            assert pretended.allocations > min(failing)
            pretended.reset()
            found = embedded(blocks, few, ends)
        finally:
            pretended.reset()
    same(found, few)


@needs_stand_in
def test_every_allocation_may_fail_once(few, memory, monkeypatch):
    monkeypatch.setattr(gpu_blocks, "_LEAST", 1000)
    memory.reset()
    same(embedded(GpuBlocks(few[0]), few, [5, 10]), few)
    for k in range(memory.allocations):
        memory.reset()
        memory.failing = {k}
        blocks = GpuBlocks(few[0])
        before = blocks._piece_bytes
        same(embedded(blocks, few, [5, 10]), few)
        assert blocks._piece_bytes < before


@needs_stand_in
def test_pieces_shrink_until_they_fit_and_stay_small(few, memory, monkeypatch):
    monkeypatch.setattr(gpu_blocks, "_LEAST", 1000)
    blocks = GpuBlocks(few[0])
    memory.largest = 10_000
    same(embedded(blocks, few, [10]), few)
    small = blocks._piece_bytes
    assert small <= 3 * 10_000
    same(embedded(blocks, few, [10]), few)
    assert blocks._piece_bytes == small


@needs_stand_in
def test_the_share_of_memory_follows_from_what_is_free_and_who_shares_it(work, monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "memGetInfo", lambda: (16 << 30, 80 << 30))
    assert GpuBlocks(work[0])._piece_bytes == 4 << 30
    assert GpuBlocks(work[0], workers=16)._piece_bytes == 256 << 20
    monkeypatch.setattr(cupy.cuda.runtime, "memGetInfo", lambda: (0, 80 << 30))
    assert GpuBlocks(work[0])._piece_bytes == 1 << 20


@needs_stand_in
def test_a_gpu_without_any_room_is_one_sentence_with_ways_out(work, memory):
    blocks = GpuBlocks(work[0])
    memory.largest = 0
    with pytest.raises(GpuMemoryError, match=r"AnnData.*GPU's.*--workers.*--device cpu"):
        embedded(blocks, work, [20])
    memory.reset()
    same(embedded(blocks, work, [20]), work)  # what was under way has ended
    memory.pinned_limit = 1
    with pytest.raises(GpuMemoryError, match=r"\(--workers\)"):
        embedded(GpuBlocks(work[0]), work, [20])


def shuffled(block, rng, rows):
    """The columns of some rows in another order."""
    data, indices = block.data.copy(), block.indices.copy()
    for row in rows:
        here = slice(*block.indptr[row : row + 2])
        order = rng.permutation(here.stop - here.start)
        data[here], indices[here] = data[here][order], indices[here][order]
    return CsrBlock(data=data, indices=indices, indptr=block.indptr, n_columns=block.n_columns)


@pytest.mark.parametrize("piece", [20_000, 1 << 30])
def test_rows_out_of_order_are_put_in_order(work, piece):
    embedder, block, names, expected = work
    work = embedder, shuffled(block, np.random.default_rng(0), [3, 30, 31, 59]), names, expected
    blocks = GpuBlocks(embedder)
    blocks._piece_bytes = piece
    same(embedded(blocks, work, [20, 40]), work)


@needs_stand_in
def test_rows_out_of_order_may_fail_to_fit_too(few, memory, monkeypatch):
    monkeypatch.setattr(gpu_blocks, "_LEAST", 1000)
    embedder, block, names, expected = few
    work = embedder, shuffled(block, np.random.default_rng(0), range(16)), names, expected
    memory.reset()
    same(embedded(GpuBlocks(embedder), work, [8]), work)
    for k in range(0, memory.allocations, 5):
        memory.reset()
        memory.failing = {k}
        same(embedded(GpuBlocks(embedder), work, [8]), work)


@pytest.mark.parametrize("piece", [20_000, 1 << 30])
@pytest.mark.parametrize("value", [-4, np.nan, np.inf])
def test_the_cell_of_a_bad_value_is_named_and_the_rows_before_are_not_lost(work, blood, value, piece):
    embedder, block, names, expected = work
    block = CsrBlock(
        data=block.data.copy(), indices=block.indices, indptr=block.indptr, n_columns=block.n_columns
    )
    block.data[block.indptr[50] + 3] = value
    gene = blood.var_names[block.indices[block.indptr[50] + 3]]
    blocks = GpuBlocks(embedder)
    blocks._piece_bytes = piece
    seen = []
    with pytest.raises(CountsError, match=rf"'{blood.obs_names[50]}' \(row 50\).*{float(value)}.*'{gene}'"):
        seen.extend(done.rows.vectors.copy() for done in blocks.embed(cut(block, [20, 40]), names))
    np.testing.assert_array_equal(np.concatenate(seen), expected["vectors"][:40])


def test_logarithms_are_undone_there(blood):
    logs = blood.copy()
    logs.X = sp.csr_matrix(logs.X.log1p())
    work = worked(logs, values="lognorm")
    same(embedded(GpuBlocks(work[0]), work, [30]), work)


def test_a_run_that_ends_early_leaves_nothing_under_way(work):
    embedder, block, names, _ = work
    blocks = GpuBlocks(embedder)
    for _ in blocks.embed(cut(block, [10, 20, 30, 40]), names):
        break
    assert all(lane.stream.done for lane in blocks._lanes)
    same(embedded(blocks, work, [30]), work)


def test_threads_do_not_disturb_each_other(work):
    crew = [GpuBlocks(work[0], workers=4) for _ in range(4)]
    found = [None] * 4

    def make(i):
        found[i] = [embedded(crew[i], work, list(range(10 + i, 60, 11))) for _ in range(2)]

    threads = [threading.Thread(target=make, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in found:
        for rows in results:
            same(rows, work)


@pytest.mark.parametrize("workers", [1, 3])
def test_shards_that_threads_make_there_have_the_same_bits(work, blood, tmp_path, workers):
    embedder, _, _, expected = work
    with (
        open_counts(blood) as source,
        create_store(
            tmp_path / "out.zarr", EmbeddingSink(Layout(60, 384, "float32", 16, 8)), {}, mode="new"
        ) as store,
    ):
        job = ShardJob(None, EmbedShards(embedder, max_nnz=2_000), store.writer)
        run_local(
            job, source, store.pending, workers=workers, commit=store.commit, listener=lambda event: None
        )
        chunks = zarr.open_array(store.writer.location, path="obsm/X_lexicell", mode="r")
        np.testing.assert_array_equal(chunks[:], expected["vectors"])
        for name in COLUMNS[1:]:
            column = zarr.open_array(store.writer.location, path=f"obs/lexicell_{name}", mode="r")
            np.testing.assert_array_equal(column[:], expected[name])
