"""The suite that every backend passes: seeded cases and a comparison with the reference.

A new backend is tested with two lines::

    @pytest.mark.parametrize("case", cases(), ids=str)
    def test_parity(case):
        check(my_backend, case)

Arrays are made with NumPy; pass ``to_device`` and ``to_host`` for a backend that wants others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lexicell_kernels import reference
from lexicell_kernels._dispatch import Backend
from lexicell_kernels.types import CsrBlock, GeneTable, Order, Picks, Rows, Weight

__all__ = ["TOLERANCE", "Case", "block_of", "cases", "check", "check_block", "table_of"]

#: Largest absolute difference of a unit vector's components, by dtype of the table.
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float16): 2e-3}

_VALUES = (np.uint8, np.uint16, np.uint32, np.int32, np.int64, np.float32, np.float64)
_PATTERNS = ("counts", "ones", "equal", "heavy", "huge", "fractions", "zeros stored")


@dataclass(frozen=True)
class Case:
    """One seeded problem.

    Attributes
    ----------
    pattern
        How values are drawn: ``counts`` (geometric), ``ones``, ``equal``, ``heavy`` (tail beyond 255),
        ``huge`` (all beyond 255), ``fractions``, ``zeros stored``.
    values, columns, vectors
        dtypes of ``data``, ``indices`` and the table.
    k
        Genes per cell, None for all.
    n_rows, n_columns, longest
        Shape, and the largest number of values in a row; rows of 0 and 1 values always occur.
    dim
        Output dimensions.
    weight, normalise
        As in `lexicell_kernels.embed_rows`.
    described
        Share of columns with a row in the table.
    in_order
        Whether columns follow the lexicon's order.
    rank_factor, bias
        Whether the table has them.
    doubled
        Whether some genes have a second column, of which cells use one or the other.
    seed
        Of all draws.
    """

    pattern: str = "counts"
    values: DTypeLike = np.float32
    columns: DTypeLike = np.int32
    vectors: DTypeLike = np.float32
    k: int | None = 64
    n_rows: int = 24
    n_columns: int = 1500
    longest: int = 600
    dim: int = 48
    weight: Weight = Weight.LOG1P
    normalise: bool = True
    described: float = 0.7
    in_order: bool = False
    rank_factor: bool = False
    bias: bool = False
    doubled: bool = False
    seed: int = 0

    def __str__(self) -> str:
        """List what differs from the default case."""
        plain = Case()
        changed = [
            f"{name}={getattr(value, '__name__', value)}"
            for name in self.__dataclass_fields__
            if (value := getattr(self, name)) != getattr(plain, name)
        ]
        return ",".join(changed) or "default"


def cases() -> Iterator[Case]:
    """Every axis varied around the default, and the combinations that are known to interact."""
    yield Case()
    for pattern in _PATTERNS:
        for k in (1, 16, 64, 599, 4096, None):
            yield Case(pattern=pattern, k=k, seed=1)
        yield Case(pattern=pattern, rank_factor=True, seed=2)
        yield Case(pattern=pattern, in_order=True, seed=3)
    for dtype in _VALUES:
        for columns in (np.uint16, np.int32, np.int64):
            yield Case(values=dtype, columns=columns, seed=4)
        yield Case(pattern="heavy", values=dtype, vectors=np.float16, seed=5)
    for weight in Weight:
        for vectors in (np.float32, np.float16):
            yield Case(weight=weight, vectors=vectors, bias=True, seed=6)
        yield Case(weight=weight, pattern="fractions", k=None, rank_factor=True, seed=7)
        yield Case(weight=weight, normalise=False, seed=8)
    for dim in (1, 7, 16, 256, 385, 1536):
        for vectors in (np.float32, np.float16):
            yield Case(dim=dim, vectors=vectors, n_rows=6, seed=9)
    for described in (0.0, 0.02, 1.0):
        yield Case(described=described, seed=10)
    yield Case(n_columns=60_000, longest=30_000, n_rows=5, k=1024, columns=np.uint16, seed=11)
    yield Case(n_columns=90_000, longest=70_000, n_rows=4, k=4096, dim=16, seed=12)
    yield Case(n_rows=0, seed=13)
    for in_order in (False, True):
        yield Case(doubled=True, in_order=in_order, pattern="zeros stored", seed=15)
    yield Case(n_rows=3000, longest=200, dim=8, seed=14)


def block_of(case: Case) -> CsrBlock:
    """Draw the counts of a case."""
    rng = np.random.default_rng([case.seed, 0])
    lengths = rng.integers(0, case.longest + 1, case.n_rows)
    lengths[:3] = np.array([0, 1, case.longest])[: len(lengths[:3])]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    columns = [np.sort(rng.permutation(case.n_columns)[:n]) for n in lengths]
    indices = np.concatenate([*columns, np.empty(0, int)]).astype(case.columns)
    data = _values(case, int(indptr[-1]), rng)
    if case.doubled:
        first = indices % 2 == rng.integers(2, size=len(lengths)).repeat(lengths)
        data = np.where(first, data, np.zeros_like(data))
    return CsrBlock(data=data, indices=indices, indptr=indptr, n_columns=case.n_columns)


def _values(case: Case, n: int, rng: np.random.Generator) -> NDArray[Any]:
    x = rng.geometric(0.6, n).astype(np.float64)
    match case.pattern:
        case "ones":
            x[:] = 1
        case "equal":
            x[:] = 7
        case "heavy":
            x *= np.where(rng.random(n) < 0.1, 300, 1)
        case "huge":
            x += 300
        case "fractions":
            x = np.round(x * rng.random(n), 2)
        case "zeros stored":
            x[rng.random(n) < 0.3] = 0
    dtype = np.dtype(case.values)
    return np.minimum(x, np.iinfo(dtype).max if dtype.kind in "iu" else np.inf).astype(dtype)


def table_of(case: Case) -> GeneTable:
    """Draw the gene table of a case."""
    rng = np.random.default_rng([case.seed, 1])
    m = round(case.described * case.n_columns)
    columns = rng.permutation(case.n_columns)[:m]
    rank = np.full(case.n_columns, -1, np.int32)
    rank[np.sort(columns) if case.in_order else columns] = np.arange(m, dtype=np.int32)
    if case.doubled:  # pairs of neighbours, of which a cell uses the even ones or the odd ones
        rank[1::2] = rank[: rank.size // 2 * 2 : 2]
    return GeneTable(
        rng.standard_normal((m, case.dim)).astype(case.vectors),
        rank,
        rng.choice(np.array([0.25, 0.5, 1.0, 3.0], np.float32), m) if case.rank_factor else None,
        rng.standard_normal(case.dim).astype(np.float32) * np.float32(0.1) if case.bias else None,
    )


def check(backend: Backend, case: Case, to_device: Callable[[Any], Any] = np.asarray,
          to_host: Callable[[Any], Any] = np.asarray) -> None:  # fmt: skip
    """Raise AssertionError where `backend` and the reference differ on `case`.

    Parameters
    ----------
    backend
        Module or object with ``embed_rows`` and ``select_topk``.
    case
        One of `cases`, or your own.
    to_device, to_host
        Applied to each array on the way in and out.
    """
    check_block(backend, block_of(case), table_of(case), k=case.k, weight=case.weight,
                normalise=case.normalise, to_device=to_device, to_host=to_host)  # fmt: skip


def check_block(
    backend: Backend,
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int | None,
    weight: Weight = Weight.LOG1P,
    normalise: bool = True,
    to_device: Callable[[Any], Any] = np.asarray,
    to_host: Callable[[Any], Any] = np.asarray,
) -> None:
    """Compare `backend` with the reference on given counts; see `check`."""
    on_device = replace(block, data=to_device(block.data), indices=to_device(block.indices),
                        indptr=to_device(block.indptr))  # fmt: skip
    there = GeneTable(*(None if a is None else to_device(a) for a in
                        (table.vectors, table.rank, table.rank_factor, table.bias)))  # fmt: skip

    expected = reference.embed_rows(block, table, k=k, weight=weight, normalise=normalise)
    runs = [backend.embed_rows(on_device, there, k=k, weight=weight, normalise=normalise) for _ in range(2)]
    got, again = (Rows(*(to_host(getattr(r, f)) for f in Rows.__slots__)) for r in runs)
    np.testing.assert_array_equal(got.n_genes, expected.n_genes)
    np.testing.assert_array_equal(got.n_tied, expected.n_tied)
    np.testing.assert_allclose(got.coverage, expected.coverage, atol=1e-6)
    assert got.vectors.dtype == np.float32
    scale = 1.0 if normalise else np.maximum(1.0, np.abs(expected.vectors).max(initial=0.0))
    tolerance = TOLERANCE[np.dtype(table.vectors.dtype)] * scale
    np.testing.assert_allclose(got.vectors, expected.vectors, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(got.vectors, again.vectors, err_msg="two runs are not bit-equal")

    wanted = k if k is not None else max(1, table.n_genes)
    # Other sums than those of whole numbers may be rounded elsewhere than in the reference.
    exact = not (block.data % 1).any() and block.data.sum(dtype=np.float64) < 2**40
    for order in Order:
        expected_picks = reference.select_topk(block, table, k=wanted, order=order)
        picks = backend.select_topk(on_device, there, k=wanted, order=order)
        for field in Picks.__slots__:
            np.testing.assert_allclose(
                to_host(getattr(picks, field)),
                getattr(expected_picks, field),
                rtol=1e-12 if field == "totals" and not exact else 0,
                err_msg=f"{field}, {order}",
            )
