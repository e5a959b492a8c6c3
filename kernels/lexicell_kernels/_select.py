"""One row's selection on the CPU: what the row sums to, and which score its last pick has.

A row of 2,800 counts fits the first-level cache, so the row is passed over several times with loops that
the compiler turns into vector code, rather than once with a loop that it cannot:

* whether a column is a candidate is one bit: 4 kB for 30,000 columns, where their ranks would be 120 kB;
* small counts become one byte each (255 stands for "255 or more"); the k-th largest byte is found by
  bisection, eight counts that compare 64 bytes at a time, and the bytes above it the same way;
* anything else (fractions, rank factors, a threshold beyond 254) becomes the ordered bits of the float32
  score; the same bisection, on the few keys that are left after some rounds;
* chosen genes and ties are marked in bitmaps over the *lexicon's* rows. How many bits lie below a gene's is
  its place in lexicon order, whatever the order of the data set's columns was, and the tie rule is "the
  first bits of the tie map". Looking places up has no branch that depends on the genes; reading the map bit
  by bit would have one a word, and half of them mispredicted.
"""

from __future__ import annotations

import math

import numpy as np

from lexicell_kernels._scratch import LANES
from lexicell_kernels.jit import (
    as_level,
    at_least,
    bits_to_float,
    count_bits,
    float_bits,
    kernel,
    trailing_zeros,
)

__all__ = [
    "DISORDERED",
    "FRACTIONAL",
    "INVALID",
    "OUT_OF_RANGE",
    "arrange",
    "copy",
    "count_from",
    "count_levels",
    "find_threshold",
    "fixed_point_sums",
    "keys",
    "kth_key",
    "lanes_inside",
    "lowest_bits",
    "mark_keys",
    "mark_levels",
    "scan",
]

DISORDERED = 1  # columns not strictly ascending
INVALID = 2  # a value is negative, NaN or infinite
OUT_OF_RANGE = 4  # a column is not in [0, n_columns)
FRACTIONAL = 8  # a value is not an integer

_INFINITY = np.uint32(0x7F800000)
TOP_LEVEL = 255  # the level that means "this or more"
_FULL_ROUNDS = 6  # bisection rounds over all keys before the rest is copied out


@kernel()
def copy(source, n, target):
    """``target[:n] = source[:n]``, for which Numba compiles a message of unequal lengths for a second."""
    for i in range(n):
        target[i] = source[i]


@kernel()
def _descents(idx):
    """How many columns are not larger than the one before."""
    after, before = idx[1:], idx[:-1]
    n = np.int32(0)
    for j in range(before.size):
        n = np.int32(n + np.int32(after[j] <= before[j]))
    return n


@kernel()
def _top_bits(x):
    """Float bits of the maximum. Negative, infinite and NaN all lie at or above the bits of infinity."""
    top = np.uint32(0)
    for j in range(x.size):
        top = max(top, float_bits(np.float32(x[j]) + np.float32(0)))  # + 0 makes -0 a plain zero
    return top


@kernel()
def _fractions(x):
    n = np.int32(0)
    for j in range(x.size):
        v = np.float32(x[j])
        n = np.int32(n + np.int32(v != np.floor(v)))
    return n


@kernel(reorder=True)
def _sum(x):
    """Exact, so independent of the order, for integers below 2**53."""
    total = 0.0
    for j in range(x.size):
        total += np.float64(np.float32(x[j]))
    return total


@kernel(merge=True)
def scan(x, idx, n_columns):
    """Flags, sum and float bits of the maximum of a row.

    Four short loops become vector code, and take less than half the time of one long loop, which does not.
    """
    if _descents(idx):
        return DISORDERED, 0.0, np.uint32(0)
    if idx.size and (np.int64(idx[0]) < 0 or np.int64(idx[-1]) >= n_columns):
        return OUT_OF_RANGE, 0.0, np.uint32(0)
    top = _top_bits(x)
    if top >= _INFINITY:
        return INVALID, 0.0, top
    return FRACTIONAL if _fractions(x) else 0, _sum(x), top


@kernel()
def _is_candidate(candidate, column):
    """Read the bit of `column`: 1 or 0."""
    return (candidate[column >> np.uint32(5)] >> (column & np.uint32(31))) & np.uint32(1)


@kernel(reorder=True)
def fixed_point_sums(x, idx, candidate, top):
    """Sums over the row and over its candidates, as integers of 2**-e: any order gives the same bits.

    `top` are the float bits of the highest value.
    """
    exponent = 61 - math.frexp(np.float64(bits_to_float(top)))[1] - math.frexp(np.float64(x.size))[1]
    scale = math.ldexp(1.0, exponent)
    total, described = np.int64(0), np.int64(0)
    for j in range(x.size):
        q = np.int64(np.float64(np.float32(x[j])) * scale)
        total += q
        described += q * np.int64(_is_candidate(candidate, np.uint32(idx[j])))
    return np.float64(total) / scale, np.float64(described) / scale


@kernel()
def count_from(a, bound):
    n = np.int32(0)
    for j in range(a.size):
        n = np.int32(n + np.int32(a[j] >= bound))
    return n


@kernel()
def lanes_inside(left):
    """Bits of the lanes that lie inside the row, when `left` values are left."""
    return ~np.uint64(0) if left >= LANES else (np.uint64(1) << np.uint64(left)) - np.uint64(1)


@kernel()
def count_levels(level, size, bound):
    n = np.uint64(0)
    for start in range(0, size, LANES):
        n += count_bits(at_least(level, start, bound) & lanes_inside(size - start))
    return np.int64(n)


@kernel(reorder=True)
def _levels(x, idx, candidate, level):
    """Saturate the candidates' counts to bytes; return what they sum to."""
    for j in range(x.size):
        level[j] = np.uint8(_is_candidate(candidate, np.uint32(idx[j])))
    described = 0.0
    for j in range(x.size):
        described += np.float64(np.float32(x[j])) if level[j] else 0.0
    for j in range(x.size):
        level[j] *= as_level(x[j])
    return described


@kernel()
def _dense_levels(x, level):
    """Do the same where all are candidates, without looking columns up."""
    for j in range(x.size):
        level[j] = as_level(x[j])
    return _sum(x)


@kernel()
def _leading(idx, stop):
    """How many columns lie before `stop`; they ascend."""
    low, high = 0, idx.size
    while low < high:
        middle = (low + high) // 2
        if np.int64(idx[middle]) < stop:
            low = middle + 1
        else:
            high = middle
    return low


@kernel()
def _kth_level(level, size, k):
    """Largest t such that at least k levels are >= t (there are more than k levels above 0)."""
    low, high = 1, TOP_LEVEL
    while low < high:
        middle = (low + high + 1) // 2
        if count_levels(level, size, np.uint8(middle)) >= k:
            low = middle
        else:
            high = middle - 1
    return np.uint8(low)


@kernel()
def kth_key(key, k, near):
    """Largest t such that at least k keys are >= t (there are more than k keys)."""
    lowest, highest = key[0], key[0]
    for j in range(key.size):
        lowest, highest = min(lowest, key[j]), max(highest, key[j])
    low, high = np.int64(lowest), np.int64(highest)
    wanted = k
    for _ in range(_FULL_ROUNDS):
        if low >= high:
            return np.uint32(low)
        middle = (low + high + 1) // 2
        if count_from(key, np.uint32(middle)) >= wanted:
            low = middle
        else:
            high = middle - 1
    n = 0
    for j in range(key.size):
        near[n] = key[j]
        n += low <= key[j] <= high
        wanted -= key[j] > high
    rest = near[:n]
    while low < high:
        middle = (low + high + 1) // 2
        if count_from(rest, np.uint32(middle)) >= wanted:
            low = middle
        else:
            high = middle - 1
    return np.uint32(low)


@kernel()
def _list(i, gene, count, is_tie, s):
    """Note a gene that may be picked at place `i` of the list, and mark it."""
    s.where[i] = gene
    s.counts[i] = count
    # Without a branch: which of the two maps gets the bit can't be predicted.
    word = (np.uint64(gene) >> np.uint64(6)) * np.uint64(2) + is_tie
    s.marks[word] |= np.uint64(1) << (np.uint64(gene) & np.uint64(63))


@kernel()
def mark_levels(x, idx, rank, threshold, s):
    """List and mark levels above the threshold as chosen and those at it as ties; return both counts."""
    n, ties = np.uint64(0), np.uint64(0)
    for start in range(0, x.size, LANES):
        bits = at_least(s.level, start, threshold) & lanes_inside(x.size - start)
        equal = bits & ~at_least(s.level, start, np.uint8(threshold + 1))
        ties += count_bits(equal)
        while bits:
            lane = trailing_zeros(bits)
            bits &= bits - np.uint64(1)
            j = np.uint64(start) + lane
            _list(n, rank[np.uint64(idx[j])], np.float32(x[j]), (equal >> lane) & np.uint64(1), s)
            n += np.uint64(1)
    return np.int64(n - ties), np.int64(ties)


@kernel()
def mark_keys(x, idx, rank, n, threshold, s):
    """The same by float bits, for the `n` candidates whose places are in ``where``."""
    listed, ties = np.uint64(0), np.uint64(0)
    for i in range(n):
        if s.key[i] >= threshold:
            j = np.uint64(s.where[i])
            is_tie = np.uint64(s.key[i] == threshold)
            _list(listed, rank[np.uint64(idx[j])], np.float32(x[j]), is_tie, s)
            listed += np.uint64(1)
            ties += is_tie
    return np.int64(listed - ties), np.int64(ties)


@kernel()
def keys(x, idx, rank, factor, s):
    """List the candidates and the float bits of their scores; return how many there are."""
    n = 0
    if factor.size:
        for j in range(x.size):
            gene = rank[np.uint64(idx[j])]
            v = np.float32(x[j])
            s.where[n] = j
            s.key[n] = float_bits(v * factor[max(gene, 0)])
            n += v > 0 and gene >= 0
    else:
        for j in range(x.size):
            v = np.float32(x[j])
            s.where[n] = j
            s.key[n] = float_bits(v)
            n += v > 0 and rank[np.uint64(idx[j])] >= 0
    return n


@kernel()
def lowest_bits(bits, wanted):
    """The `wanted` lowest of the bits that are set."""
    left = bits
    for _ in range(wanted):
        left &= left - np.uint64(1)
    return bits ^ left


@kernel()
def arrange(listed, wanted, s):
    """Put the chosen ones of those listed, and the first `wanted` ties, in lexicon order; return how many.

    They stay in the map of chosen ones, the map of ties is cleared.
    """
    n = np.int32(0)
    for w in range(np.uint64(s.before.size)):
        ties = s.marks[2 * w + 1]
        many = np.int64(count_bits(ties))
        if many > wanted:
            ties, many = lowest_bits(ties, wanted), wanted
        wanted -= many
        chosen = s.marks[2 * w] | ties
        s.marks[2 * w] = chosen
        s.marks[2 * w + 1] = 0
        s.before[w] = n
        n += np.int32(count_bits(chosen))
    for i in range(listed):
        gene = np.uint64(s.where[i])
        word, bit = gene >> np.uint64(6), np.uint64(1) << (gene & np.uint64(63))
        chosen = s.marks[np.uint64(2) * word]
        place = s.before[word] + np.int32(count_bits(chosen & (bit - np.uint64(1))))
        place = np.uint64(place if chosen & bit else n)
        s.picked[place] = s.where[i]
        s.value[place] = s.counts[i]
    return np.int64(n)


@kernel(merge=True)
def find_threshold(x, idx, columns, factor, k, s):
    """First half of a selection: fill ``s.level``; return ``(flags, found, total, described, threshold)``.

    `found` is 0 where there is nothing to pick from. Where whole counts without a factor are told apart by
    their levels, it is the number of candidates, and `threshold` the level of the last pick. Elsewhere that
    is TOP_LEVEL, and the scores decide.
    """
    flags, total, top = scan(x, idx, columns.rank.size)
    if flags & (DISORDERED | INVALID | OUT_OF_RANGE) or top == 0:
        return flags, np.int64(0), total, 0.0, np.uint8(TOP_LEVEL)
    if flags & FRACTIONAL:
        total, described = fixed_point_sums(x, idx, columns.candidate, top)
        return flags, np.int64(x.size), total, described, np.uint8(TOP_LEVEL)
    n = _leading(idx, columns.stop)
    if columns.dense:
        described = _dense_levels(x[:n], s.level)
    else:
        described = _levels(x[:n], idx[:n], columns.candidate, s.level)
    s.level[n : x.size] = 0
    found = count_levels(s.level, n, np.uint8(1))
    threshold = np.uint8(TOP_LEVEL)
    if not factor.size:
        threshold = _kth_level(s.level, x.size, k) if found > k else np.uint8(1)
    return flags, found, total, described, threshold
