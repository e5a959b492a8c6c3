import anndata as ad
import numpy as np
import pytest
from bench import cells, popularity

pytestmark = pytest.mark.slow

FEW = 600  # cells; a block is generated in full whatever is asked for


@pytest.fixture(scope="module")
def first_block():
    return cells.block(0, seed=1)


def test_cells_have_the_non_zeros_and_ones_of_the_targets(first_block):
    found = cells.statistics(first_block)
    assert found.nnz == pytest.approx(2_800, rel=0.05)
    assert found.ones == pytest.approx(0.63, abs=0.03)


def test_popularity_and_library_sizes_follow_the_fit(first_block):
    found = cells.statistics(first_block)
    assert found.library_log_sd == pytest.approx(popularity.LIBRARY_LOG_SD, abs=0.03)
    knots = np.array(popularity.POPULARITY_LOG_SHARES)
    assert np.abs(np.array(found.log_shares) - knots).max() < 0.35


def test_counts_have_a_heavy_tail_that_fits_uint16(first_block):
    assert 3e-4 < (first_block.data >= 256).mean() < 2e-3
    assert first_block.data.max() < 65_536


def test_rows_are_sorted_whole_and_positive(first_block):
    assert first_block.data.dtype == np.float32
    assert first_block.indices.dtype == np.int32
    assert first_block.has_canonical_format
    assert (first_block.data == np.round(first_block.data)).all()
    assert (first_block.data >= 1).all()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(first_block):
    again, other = cells.block(0, seed=1), cells.block(0, seed=2)
    for name in ("data", "indices", "indptr"):
        assert getattr(again, name).tobytes() == getattr(first_block, name).tobytes()
    assert not np.array_equal(other.indptr, first_block.indptr)


def test_a_cell_does_not_depend_on_how_many_are_asked_for(first_block):
    few = cells.csr(FEW, seed=1)
    more = list(cells.blocks(cells.BLOCK_CELLS + FEW, seed=1, threads=1))
    assert [b.shape[0] for b in more] == [cells.BLOCK_CELLS, FEW]
    assert (few != first_block[:FEW]).nnz == 0
    assert (more[0] != first_block).nnz == 0
    assert (more[1] != cells.block(1, seed=1)[:FEW]).nnz == 0


def test_about_two_thirds_of_the_columns_are_described_and_popular_ones_more_often():
    genes = cells.panel()
    assert 0.60 < genes.described.mean() < 0.70
    assert len(set(genes.names)) == genes.n_genes
    unknown = np.char.startswith(genes.names, "UNKNOWN")
    assert np.array_equal(unknown, ~genes.described)
    popular = np.argsort(-genes.programs.mean(axis=0))[:3_000]
    assert genes.described[popular].mean() > 0.9


@pytest.mark.parametrize("compression", ["gzip", None])
def test_anndata_reads_what_is_streamed(tmp_path, compression, first_block):
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path, FEW, seed=1, compression=compression)
    data = ad.read_h5ad(path)
    assert data.shape == (FEW, cells.N_GENES)
    assert data.X.dtype == np.float32
    assert (first_block[:FEW] != data.X).nnz == 0
    assert list(data.var_names) == list(cells.panel().names)
