"""One row's genes in the order of their scores on the CPU: a radix sort of those bits that differ.

What a sort costs is passes. Scores of a cell span few powers of two, and counts are small integers, so the
distances of their bits from the highest score's need 10 bits (counts below 256), one pass, or some 20, two.
"""

from __future__ import annotations

import numpy as np

from lexicell_kernels._numba import double_bits, float_bits, kernel
from lexicell_kernels._select import (
    DIGIT_BITS,
    DISORDERED,
    FRACTIONAL,
    INVALID,
    OUT_OF_RANGE,
    fixed_point_sums,
    scan,
    select_row,
)

__all__ = ["list_counts", "list_divided", "score_order"]

_PLACE = np.uint64(0xFFFFFFFF)  # the low half of a sort key
_PASSES = 2  # for scores of 64 bits; what is equal after them is compared
_MOST_BITS = _PASSES * DIGIT_BITS


@kernel()
def _length(bits):
    """Number of bits up to the highest that is set."""
    n = np.int64(0)
    while bits:
        bits >>= np.uint64(1)
        n += 1
    return n


@kernel()
def _radix(n, first, last, s):
    """Sort ``s.order[:n]`` by bits `first` to `last`, lowest digit first; equal ones stay as they are."""
    bits = last - first
    if n < 2 or bits <= 0:
        return
    passes = (bits + DIGIT_BITS - 1) // DIGIT_BITS
    width = (bits + passes - 1) // passes
    mask = np.uint64((1 << width) - 1)
    source, target, place = s.order, s.spare, s.digit
    for d in range(passes):
        shift = np.uint64(first + width * d)
        place[: 1 << width] = 0
        for i in range(n):
            place[(source[i] >> shift) & mask] += 1
        before = np.int32(0)
        for digit in range(1 << width):
            many = place[digit]
            place[digit] = before
            before += many
        for i in range(n):
            digit = (source[i] >> shift) & mask
            target[place[digit]] = source[i]
            place[digit] += 1
        source, target = target, source
    if passes & 1:
        s.order[:n] = source[:n]


@kernel()
def score_order(n, factor, s):
    """Fill ``s.order[:n]`` so that its low 32 bits list places of picks by ``(score descending, gene)``.

    The sort is stable and picks come in the order of genes, so equal scores stay in that order.
    """
    top = np.uint32(0)
    for i in range(n):
        score = s.value[i]
        if factor.size:
            score *= factor[s.picked[i]]
        bits = float_bits(score)
        top = max(top, bits)
        s.order[i] = (np.uint64(bits) << np.uint64(32)) | np.uint64(i)
    differ = np.uint64(0)
    for i in range(n):
        below = np.uint64(top) - (s.order[i] >> np.uint64(32))
        differ |= below
        s.order[i] = (below << np.uint64(32)) | (s.order[i] & _PLACE)
    if differ:
        lowest = _length(differ & (~differ + np.uint64(1))) - 1
        _radix(n, 32 + lowest, 32 + _length(differ), s)


@kernel()
def list_counts(x, idx, rank, candidate, ids, k, s, genes, counts):
    """Write the `k` highest counts of a row and their ids; return ``(flags, many, tied, total)``.

    `tied` is how many of them have the count of the first that is left out.
    """
    none = np.empty(0, np.float32)
    flags, n, ties, total, _ = select_row(x, idx, rank, candidate, none, k, s)
    if n == 0:
        return flags, 0, 0, total
    score_order(n, none, s)
    tied = 0
    for i in range(n):
        at = s.order[i] & _PLACE
        genes[i], counts[i] = ids[s.picked[at]], s.value[at]
        tied = tied + 1 if counts[i] == counts[max(i - 1, 0)] else 1
    return flags, n, tied if ties > tied else 0, total


@kernel()
def list_divided(x, idx, rank, candidate, ids, divisor, k, s, genes, counts):
    """Do the same by ``x / total * 10_000 / divisor`` in 64 bits; see `list_counts`."""
    flags, total, _ = scan(x, idx, rank.size)
    if flags & (DISORDERED | INVALID | OUT_OF_RANGE):
        return flags, 0, 0, total
    if flags & FRACTIONAL:
        total = fixed_point_sums(x, idx, candidate, x.max())[0]
    found = _divided_order(x, idx, rank, divisor, total, s)
    n = min(found, np.int64(k))
    for i in range(n):
        at = s.order[i] & _PLACE
        genes[i], counts[i] = ids[s.where[at]], s.count[at]
    tied = 0
    while found > n > tied and s.score[s.order[n - 1 - tied] & _PLACE] == s.score[s.order[n] & _PLACE]:
        tied += 1
    return flags, n, tied, total


@kernel()
def _divided_order(x, idx, rank, divisor, total, s):
    """List all candidates of a row by ``(x / total * 10_000 / divisor descending, gene)``, in 64 bits.

    ``s.order[:n]`` has places in ``s.where``, which has genes, ``s.count`` and ``s.score``; returns ``n``.
    The first bits of the scores are sorted by, and the rest is looked at only where they are equal.
    """
    n = 0
    for j in range(x.size):
        gene = rank[np.uint64(idx[j])]
        v = np.float32(x[j])
        s.where[n] = gene
        s.count[n] = v
        n += v > 0 and gene >= 0
    highest, lowest = np.uint64(0), ~np.uint64(0)
    for i in range(n):
        score = np.float64(s.count[i]) / total * 10_000.0 / divisor[s.where[i]]
        s.score[i] = score
        highest, lowest = max(highest, double_bits(score)), min(lowest, double_bits(score))
    if n:
        length = _length(highest - lowest)
        cut = np.uint64(max(0, length - _MOST_BITS))
        for i in range(n):
            below = (highest - double_bits(s.score[i])) >> cut
            s.order[i] = (below << np.uint64(32)) | np.uint64(i)
        _radix(n, 32, 32 + min(length, _MOST_BITS), s)
    start = 0
    for stop in range(1, n + 1):
        if stop == n or s.order[stop] >> np.uint64(32) != s.order[start] >> np.uint64(32):
            if stop - start > 1:
                _settle(start, stop, s)
            start = stop
    return n


@kernel()
def _settle(start, stop, s):
    """Sort places ``start:stop`` of ``s.order`` by score and gene: Shell's sort, since most runs are two."""
    gap = 1
    while 3 * gap < stop - start:
        gap = 3 * gap + 1
    while gap:
        for i in range(start + gap, stop):
            one = s.order[i]
            at = one & _PLACE
            score, gene = s.score[at], s.where[at]
            j = i
            while j >= start + gap:
                other = s.order[j - gap] & _PLACE
                if s.score[other] > score or (s.score[other] == score and s.where[other] < gene):
                    break
                s.order[j] = s.order[j - gap]
                j -= gap
            s.order[j] = one
        gap //= 3
