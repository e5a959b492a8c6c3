from __future__ import annotations

import numpy as np
import pytest
from bench.peers import onnx_graph, products
from bench.peers.counts import Counts, first, to_length_1

from lexicell_kernels import reference

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def counts(drawn):
    block, table = drawn
    return Counts(first([block], 70)[0], table)


@pytest.mark.parametrize("name", products.__all__)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_product_over_all_genes_is_ours_without_top_k(counts, name, threads):
    if "torch" in name:
        pytest.importorskip("torch")
    z = np.concatenate(getattr(products, name)(counts, counts.table.n_genes, threads)())
    if name.startswith("genept") and "dot" not in name:
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    expected = reference.embed_rows(counts.block, counts.table, k=None).vectors
    assert np.abs(to_length_1(z) - expected).max() < 1e-5


def test_dense_cells_are_divided_by_the_number_of_columns(counts):
    (dense,) = products.genept_by_dot(counts, counts.table.n_genes, 1)()
    (product,) = products.product_by_scipy(counts, counts.table.n_genes, 1)()
    np.testing.assert_allclose(dense * counts.block.n_columns, product, atol=2e-3)


def test_the_graph_pools_the_genes_that_it_is_given(counts):
    parts = onnx_graph.pool_by_onnxruntime(counts, 64, 1)()
    assert len(parts) == 2
    expected = reference.embed_rows(counts.block, counts.table, k=64).vectors
    assert np.abs(np.concatenate(parts) - expected).max() < 1e-5
