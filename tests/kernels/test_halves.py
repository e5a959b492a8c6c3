"""Vectors that the CPU's kernel rounds to halves itself."""

from __future__ import annotations

import numpy as np
import pytest
from tests.kernels.test_lexicon_order import CELLS, DIM, block, counts, tables

from lexicell_kernels import embed_rows
from lexicell_kernels._pool import round_to_halves

EVERY_HALF = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def halves(x: np.ndarray) -> np.ndarray:
    out = np.empty(x.size, np.uint16)
    round_to_halves(x, out)
    return out


def as_numpy_rounds(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return x.astype(np.float16).view(np.uint16)


def test_every_half_becomes_itself():
    finite = EVERY_HALF[~np.isnan(EVERY_HALF)]
    np.testing.assert_array_equal(halves(finite.astype(np.float32)), finite.view(np.uint16))


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_numbers_between_two_halves_are_rounded_as_numpy_does(side):
    ascending = np.sort(EVERY_HALF[np.isfinite(EVERY_HALF)].astype(np.float32))
    middle = ascending[:-1] + np.diff(ascending) / 2  # exact in float32
    near = middle if side == 0 else np.nextafter(middle, np.float32(side * np.inf))
    np.testing.assert_array_equal(halves(near), as_numpy_rounds(near))


def test_any_bits_are_rounded_as_numpy_does():
    x = np.random.default_rng(0).integers(0, 1 << 32, 1 << 18, dtype=np.uint32).view(np.float32)
    ends = np.array([65503, 65519.99, 65520, 65536, 3e38, np.inf, 1e-45, 2**-25, 2**-24, 6e-8, 0], np.float32)
    x = np.concatenate([x[~np.isnan(x)], ends, -ends])
    np.testing.assert_array_equal(halves(x), as_numpy_rounds(x))


def test_nan_stays_nan():
    x = np.array([0x7FC00000, 0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(halves(x).view(np.float16)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_out_gets_the_rounded_vectors_and_nothing_else_changes(dtype):
    cells, (table, _) = block(counts("counts"), np.uint16), tables(masked=False, factors=False)
    whole = embed_rows(cells, table, k=32)
    out = np.full((CELLS, DIM), np.nan, dtype)
    rows = embed_rows(cells, table, k=32, out=out)
    assert rows.vectors is out
    np.testing.assert_array_equal(out, whole.vectors.astype(dtype))
    np.testing.assert_array_equal(rows.n_tied, whole.n_tied)


@pytest.mark.parametrize(
    "out",
    [np.empty((CELLS, DIM + 1), np.float16), np.empty((CELLS, DIM)), np.empty((DIM, CELLS), np.float32).T],
)
def test_an_out_that_does_not_fit_is_refused(out):
    cells, (table, _) = block(counts("counts"), np.uint16), tables(masked=False, factors=False)
    with pytest.raises(ValueError, match="out must be"):
        embed_rows(cells, table, k=32, out=out)
