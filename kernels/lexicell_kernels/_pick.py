"""One row's picks on the CPU, in lexicon order: the second half of a selection.

Where columns stand in the order of the lexicon, as in a packed atlas, a row's values do too, and picks are
listed as they come. Elsewhere they are arranged by the bitmaps of `lexicell_kernels._select`.
"""

from __future__ import annotations

import numpy as np

from lexicell_kernels._select import (
    LANES,
    TOP_LEVEL,
    arrange,
    count_from,
    count_levels,
    find_threshold,
    keys,
    kth_key,
    lanes_inside,
    lowest_bits,
    mark_keys,
    mark_levels,
)
from lexicell_kernels.jit import at_least, count_bits, kernel, trailing_zeros

__all__ = ["list_picks", "select_row"]


@kernel()
def _levels_in_order(size, threshold, wanted, s):
    """List the places of levels above the threshold, and of the first `wanted` at it; return both counts.

    The second one is of all levels at the threshold.
    """
    n, ties, left = np.uint64(0), np.uint64(0), np.uint64(wanted)
    for start in range(0, size, LANES):
        bits = at_least(s.level, start, threshold) & lanes_inside(size - start)
        equal = bits & ~at_least(s.level, start, np.uint8(threshold + 1))
        many = count_bits(equal)
        ties += many
        if many > left:
            bits ^= equal ^ lowest_bits(equal, left)
            many = left
        left -= many
        # Some at a time, the last ones written over by the next word: a branch a gene would be mispredicted.
        i, stop = n, n + count_bits(bits)
        while i < stop:
            for _ in range(4):
                s.where[i] = np.uint64(start) + trailing_zeros(bits)
                bits &= bits - np.uint64(1)
                i += np.uint64(1)
        n = stop
    return np.int64(n), np.int64(ties)


@kernel()
def _keys_in_order(found, threshold, wanted, s):
    """Do the same by float bits, for the `found` candidates whose places are in ``where``."""
    n, ties = 0, 0
    for i in range(found):
        key = s.key[i]
        s.where[n] = s.where[i]
        n += (key > threshold) | ((key == threshold) & (ties < wanted))  # without a branch
        ties += key == threshold
    return n, ties


@kernel()
def _look_up(x, idx, rank, n, s):
    """Fill ``s.picked`` and ``s.value`` from the first `n` places."""
    for i in range(n):
        j = np.uint64(s.where[i])
        s.picked[i] = rank[np.uint64(idx[j])]
        s.value[i] = np.float32(x[j])


@kernel(merge=True)
def list_picks(x, idx, columns, factor, k, found, threshold, s):
    """Second half of `select_row`: fill ``s.picked`` and ``s.value``; return the picks and ties."""
    wanted, rank = np.int64(k), columns.rank
    by_key, threshold_key = threshold == TOP_LEVEL, np.uint32(0)
    if by_key:
        found = keys(x, idx, rank, factor, s)
        threshold_key = kth_key(s.key[:found], k, s.near) if found > wanted else np.uint32(0)
    cut = found > wanted
    if columns.in_order:
        left = found
        if by_key:
            if cut:
                left = wanted - np.int64(count_from(s.key[:found], np.uint32(threshold_key + 1)))
            picks, ties = _keys_in_order(found, threshold_key, left, s)
        else:
            if cut:
                left = wanted - count_levels(s.level, x.size, np.uint8(threshold + 1))
            picks, ties = _levels_in_order(x.size, threshold, left, s)
        _look_up(x, idx, rank, picks, s)
    else:
        if by_key:
            above, ties = mark_keys(x, idx, rank, found, threshold_key, s)
        else:
            above, ties = mark_levels(x, idx, rank, threshold, s)
        picks = arrange(above + ties, wanted - above if cut else ties, s)
        s.marks[:] = 0
    return picks, ties if cut else np.int64(0)


@kernel(merge=True)
def select_row(x, idx, columns, factor, k, s):
    """Fill ``s.picked`` and ``s.value``; return ``(flags, picks, ties, total, described)``.

    Parameters
    ----------
    x, idx
        Values and columns of the row.
    columns
        `Columns`.
    factor
        ``[m]`` float32, or ``[0]`` for no factor.
    k
        Picks wanted.
    s
        `Scratch`.
    """
    flags, found, total, described, threshold = find_threshold(x, idx, columns, factor, k, s)
    if found == 0:
        return flags, np.int64(0), np.int64(0), total, described
    picks, ties = list_picks(x, idx, columns, factor, k, found, threshold, s)
    return flags, picks, ties, total, described
