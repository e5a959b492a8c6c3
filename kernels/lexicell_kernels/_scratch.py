"""What the compiled loops over a row are given: what its columns mean, and memory to work in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIGIT_BITS", "LANES", "SPARE", "Columns", "Scratch", "new_scratch"]

LANES = 64  # bytes that are compared at once
SPARE = 8  # places after the picks that may be written to
DIGIT_BITS = 11  # that are sorted by at a time: 2,048 counters fit the first-level cache


class Columns(NamedTuple):
    """What the columns of a data set mean; the same for every row."""

    rank: NDArray[np.int32]  # [v] column -> table row or -1
    candidate: NDArray[np.uint32]  # bitmap over the columns: rank >= 0
    stop: int  # no candidates from here on
    dense: bool  # candidates only before
    in_order: bool  # candidates stand in the order of their table rows, as in a packed atlas


class Scratch(NamedTuple):
    """Working memory of one thread; reused for every row."""

    level: NDArray[np.uint8]  # [longest row + 64] saturated counts, 0 = not a candidate
    key: NDArray[np.uint32]  # [longest row] float bits of the candidates' scores
    near: NDArray[np.uint32]  # [longest row] the keys still in question
    where: NDArray[np.int32]  # [longest row + SPARE] places in the row, then table rows of what may be picked
    marks: NDArray[np.uint64]  # over table rows, a word of chosen ones, a word of ties; zero between rows
    level_of: NDArray[np.uint8]  # levels by table row, in whole words of `marks`; zero between rows
    beyond: NDArray[np.float32]  # [m] counts that have no level, by table row
    before: NDArray[np.int32]  # [words of a bitmap] how many picks lie before a word
    picked: NDArray[np.int32]  # [most picks + SPARE] table rows, ascending or by score
    value: NDArray[np.float32]  # [most picks + SPARE] their counts
    order: NDArray[np.uint64]  # [most picks] sort keys
    spare: NDArray[np.uint64]  # [most picks] the same, half sorted
    digit: NDArray[np.int32]  # [2048] how often each value of a digit occurs, then where it goes
    counts: NDArray[np.float32]  # [longest row] counts, as `where`
    score: NDArray[np.float64]  # [longest row] scores of 64 bits
    weight: NDArray[np.float32]  # [most picks] weights, as `picked`
    sums: NDArray[np.float32]  # [p] accumulators
    row: NDArray[np.float32]  # [p] a vector before it is rounded


def new_scratch(longest: int, n_genes: int, k: int, dim: int) -> Scratch:
    """Allocate for rows of up to `longest` values, `n_genes` table rows and `k` picks."""
    words = (n_genes + 63) // 64
    picks = max(1, min(k, longest))
    return Scratch(
        np.zeros(longest + LANES, np.uint8),
        np.empty(longest, np.uint32),
        np.empty(longest, np.uint32),
        np.empty(longest + SPARE, np.int32),
        np.zeros(2 * words, np.uint64),
        np.zeros(LANES * words, np.uint8),
        np.empty(n_genes, np.float32),
        np.empty(words, np.int32),
        np.empty(picks + SPARE, np.int32),
        np.empty(picks + SPARE, np.float32),
        np.empty(picks, np.uint64),
        np.empty(picks, np.uint64),
        np.empty(1 << DIGIT_BITS, np.int32),
        np.empty(longest, np.float32),
        np.empty(longest, np.float64),
        np.empty(picks, np.float32),
        np.empty(dim, np.float32),
        np.empty(dim, np.float32),
    )
