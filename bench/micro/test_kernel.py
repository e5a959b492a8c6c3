"""The kernel's parts on one thread, on 2,000 synthetic cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bench import cells

from lexicell_kernels import CsrBlock, GeneTable, Order, cpu, embed_rows, reference

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.slow

_CELLS, _DIM, _CHECKED = 2_000, 256, 20


@dataclass(frozen=True)
class Made:
    wide: CsrBlock
    narrow: CsrBlock
    table: GeneTable

    def block(self, counts: str) -> CsrBlock:
        return self.narrow if counts == "u16" else self.wide


def head(block: CsrBlock) -> CsrBlock:
    stop = int(block.indptr[_CHECKED])
    return CsrBlock(
        data=block.data[:stop],
        indices=block.indices[:stop],
        indptr=block.indptr[: _CHECKED + 1],
        n_columns=block.n_columns,
    )


@pytest.fixture(scope="module")
def made() -> Made:
    x = cells.block(0)[:_CELLS]
    indptr = x.indptr.astype(np.int64)
    described = np.flatnonzero(cells.panel().described)
    rng = np.random.default_rng(0)
    rank = np.full(x.shape[1], -1, np.int32)
    rank[described] = rng.permutation(len(described))
    vectors = rng.standard_normal((len(described), _DIM)).astype(np.float16)
    return Made(
        CsrBlock(data=x.data, indices=x.indices, indptr=indptr, n_columns=x.shape[1]),
        CsrBlock(
            data=x.data.astype(np.uint16),
            indices=x.indices.astype(np.uint16),
            indptr=indptr,
            n_columns=x.shape[1],
        ),
        GeneTable(vectors, rank),
    )


@pytest.mark.parametrize("counts", ["f32", "u16"])
@pytest.mark.parametrize("k", [16, 128, 512, None])
def test_embed_rows(benchmark: BenchmarkFixture, made: Made, counts: str, k: int | None) -> None:
    rows = benchmark(embed_rows, made.block(counts), made.table, k=k, threads=1)
    exact = reference.embed_rows(head(made.block(counts)), made.table, k=k)
    np.testing.assert_allclose(rows.vectors[:_CHECKED], exact.vectors, atol=2e-3)
    np.testing.assert_array_equal(rows.n_tied[:_CHECKED], exact.n_tied)


@pytest.mark.parametrize("counts", ["f32", "u16"])
@pytest.mark.parametrize(("k", "order"), [(128, Order.LEXICON), (128, Order.SCORE), (2_048, Order.SCORE)])
def test_select_topk(benchmark: BenchmarkFixture, made: Made, counts: str, k: int, order: Order) -> None:
    chosen = benchmark(cpu.select_topk, made.block(counts), made.table, k=k, order=order, threads=1)
    exact = reference.select_topk(head(made.block(counts)), made.table, k=k, order=order)
    np.testing.assert_array_equal(chosen.genes[:_CHECKED], exact.genes)
