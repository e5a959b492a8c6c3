"""Counts in a Dask array are embedded when the vectors are computed, chunk by chunk."""

from __future__ import annotations

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.counts import open_counts
from lexicell.embedding import Note, Options, make_plan
from lexicell.errors import CountsError, InputError

NAMES = ["lexicell_n_genes", "lexicell_coverage", "lexicell_n_tied"]


def lazy(adata, form="csr", columns=-1, asked=None):
    """The same cells in chunks of 50 rows; `asked` gets the number of each that is made."""
    make = {"csr": sp.csr_matrix, "csr_array": sp.csr_array, "dense": np.asarray}[form]

    def load(chunk, block_info=None):
        if asked is not None:
            asked.append(block_info[0]["chunk-location"][0])
        return make(chunk)

    copy = adata[:, :].copy()
    copy.obs, copy.X = (
        copy.obs[[]].copy(),
        da.from_array(adata.X.toarray(), chunks=(50, columns)).map_blocks(
            load, dtype=np.float32, meta=make(np.zeros((0, 0), np.float32))
        ),
    )
    return copy


@pytest.mark.parametrize("columns", [-1, 300])
@pytest.mark.parametrize("form", ["csr", "csr_array", "dense"])
def test_nothing_is_computed_before_it_is_asked_for_and_then_once(cells, form, columns):
    asked: list[int] = []
    adata = lazy(cells, form, columns, asked)
    lexicell.tl.embed(cells, top_k=40)
    asked.clear()
    told: list[object] = []
    assert lexicell.tl.embed(adata, top_k=40, listener=told.append) is None
    assert set(asked) == {0}  # the sample
    assert any("Dask" in event.text for event in told if isinstance(event, Note))
    vectors, quality = adata.obsm["X_lexicell"], adata.obsm["lexicell_quality"]
    assert (vectors.chunks, quality.chunks) == (((50, 50, 20), (384,)), ((50, 50, 20), (3,)))
    assert vectors.dtype == quality.dtype == np.float32
    assert isinstance(vectors._meta, np.ndarray)
    assert adata.obs.empty
    assert adata.uns["lexicell"] == cells.uns["lexicell"]

    asked.clear()
    vectors, quality = dask.compute(vectors, quality)
    assert len(asked) == 3 * (1 if columns == -1 else 3)
    np.testing.assert_array_equal(vectors, cells.obsm["X_lexicell"])
    np.testing.assert_array_equal(quality, cells.obs[NAMES].to_numpy(np.float32))


def test_a_chunk_is_contiguous_and_holds_no_more_than_it_shows(cells):
    seen = []

    def look(chunk):
        seen.append((chunk.flags.c_contiguous, chunk.base is None))
        return chunk

    adata = lazy(cells)
    lexicell.tl.embed(adata)
    for name in ("X_lexicell", "lexicell_quality"):
        array = adata.obsm[name]
        array.map_blocks(look, meta=array._meta).compute()
    assert seen == [(True, True)] * 6


def test_one_cell_costs_its_chunk_only(cells):
    asked: list[int] = []
    adata = lazy(cells, asked=asked)
    lexicell.tl.embed(adata, top_k=40)
    lexicell.tl.embed(cells, top_k=40)
    asked.clear()
    np.testing.assert_array_equal(adata.obsm["X_lexicell"][77].compute(), cells.obsm["X_lexicell"][77])
    assert asked == [1]


def test_names_layers_and_views_are_the_callers(cells):
    adata = lazy(cells)
    adata.layers["counts"] = adata.X
    adata.X = adata.X.map_blocks(lambda chunk: chunk * 0.7, dtype=np.float32)
    lexicell.tl.embed(adata, layer="counts", key_added="mine", top_k=40)
    assert set(adata.obsm) == {"mine", "mine_quality"}
    assert set(adata.uns) == {"mine"}
    lexicell.tl.embed(cells, top_k=40)
    np.testing.assert_array_equal(adata.obsm["mine"].compute(), cells.obsm["X_lexicell"])

    some, expected = lazy(cells)[::2, 100:], cells[::2, 100:].copy()
    with pytest.warns(Warning, match="initializing view as actual"):
        lexicell.tl.embed(some, top_k=40)
    lexicell.tl.embed(expected, top_k=40)
    np.testing.assert_array_equal(some.obsm["X_lexicell"].compute(), expected.obsm["X_lexicell"])


def test_a_bad_count_is_named_where_it_is_computed(cells):
    dense = cells.X.toarray()
    dense[110, 3] = -2
    cells.X = sp.csr_matrix(dense)
    adata = lazy(cells)
    lexicell.tl.embed(adata)
    adata.obsm["X_lexicell"][:100].compute()
    with pytest.raises(CountsError) as caught:
        adata.obsm["X_lexicell"].compute()
    for part in (repr(cells.obs_names[110]), "row 110", "-2.0", repr(cells.var_names[3])):
        assert part in str(caught.value)


def test_a_bad_count_in_the_first_chunk_leaves_everything_as_it_was(cells):
    adata = lazy(cells)
    adata.X = adata.X.map_blocks(lambda chunk: -chunk, dtype=np.float32)
    with pytest.raises(CountsError, match="not negative"):
        lexicell.tl.embed(adata, values="counts")
    assert not adata.obsm
    assert not adata.uns


def test_vectors_of_the_cpu_are_not_promised_on_a_gpu(cells):
    for adata in (cells, lazy(cells)):
        with pytest.raises(InputError, match="made on the CPU"):
            lexicell.tl.embed(adata, on_device=True)


def test_what_workers_need_can_be_sent_to_them(cells):
    with open_counts(cells) as source:
        plan = make_plan(source, Options(top_k=40))
        block = source.read(0, 30)
    plan.folded.table.derived["cuda:0"] = object()  # what lies on this machine's GPU stays here
    sent = pickle.loads(pickle.dumps(plan.embedder))  # noqa: S301 - our own bytes
    assert sent.folded.table.derived == {}
    rows = sent.embed(block, 0, cells.obs_names[:30])
    np.testing.assert_array_equal(rows.vectors, plan.embedder.embed(block, 0, cells.obs_names[:30]).vectors)


def test_equal_plans_share_tasks_and_others_do_not(cells):
    def name(**options):
        adata = lazy(cells)
        adata.X = array
        lexicell.tl.embed(adata, **options)
        return adata.obsm["X_lexicell"].name

    array = lazy(cells).X
    assert name(top_k=40) == name(top_k=40)
    assert name(top_k=40) != name(top_k=41)
