"""One row's genes in the order of their scores on the CPU.

Counts are mostly small: 63 % are 1 and 15 % are 2. So levels are noted by table row, and the genes of one
that many have are read in lexicon order, without being sorted at all; the others are dealt out to theirs.
Scores that are no levels are radix sorted by those bits that differ. What a sort costs is passes. Scores of a
cell span few powers of two, so the distances of their bits from the highest score's need some 20, two passes.
"""

from __future__ import annotations

import numpy as np

from lexicell_kernels._pick import list_picks
from lexicell_kernels._scratch import DIGIT_BITS, LANES
from lexicell_kernels._select import (
    DISORDERED,
    FRACTIONAL,
    INVALID,
    OUT_OF_RANGE,
    TOP_LEVEL,
    copy,
    count_levels,
    find_threshold,
    fixed_point_sums,
    lanes_inside,
    scan,
)
from lexicell_kernels.jit import at_least, count_bits, double_bits, float_bits, kernel, trailing_zeros

__all__ = ["list_counts", "list_divided", "rank_row", "score_order"]

_PLACE = np.uint64(0xFFFFFFFF)  # the low half of a sort key
_PASSES = 2  # for scores of 64 bits; what is equal after them is compared
_MOST_BITS = _PASSES * DIGIT_BITS
_FEW = 32  # counts beyond the levels that are sorted by insertion


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
        copy(source, n, s.order)


@kernel(merge=True)
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
def _spread_levels(x, idx, rank, threshold, s):
    """Note the levels from the threshold on, and counts beyond them, by table row."""
    for start in range(0, idx.size, LANES):
        bits = at_least(s.level, start, threshold) & lanes_inside(idx.size - start)
        top = bits & at_least(s.level, start, np.uint8(TOP_LEVEL))
        while bits:
            j = np.uint64(start) + trailing_zeros(bits)
            bits &= bits - np.uint64(1)
            s.level_of[np.uint64(rank[np.uint64(idx[j])])] = s.level[j]
        while top:
            j = np.uint64(start) + trailing_zeros(top)
            top &= top - np.uint64(1)
            s.beyond[np.uint64(rank[np.uint64(idx[j])])] = np.float32(x[j])


@kernel()
def _append(at, low, high, many, wanted, s):
    """List the first `wanted` of `many` genes of levels `low` to `high` from place `at` on.

    Returns whether there were as many.
    """
    n, found = np.uint64(at), np.uint64(0)
    left = np.uint64(wanted)
    dense = many * LANES > 3 * s.level_of.size
    for start in range(0, s.level_of.size, LANES):
        bits = at_least(s.level_of, start, low)
        if high < TOP_LEVEL:
            bits &= ~at_least(s.level_of, start, np.uint8(high + 1))
        here = count_bits(bits)
        found += here
        here = min(here, left)
        left -= here
        # Some at a time, the last ones written over by the next word: a branch a gene would be mispredicted.
        i, stop = n, n + here
        while True:
            for _ in range(4):
                s.picked[i] = np.uint64(start) + trailing_zeros(bits)
                bits &= bits - np.uint64(1)
                i += np.uint64(1)
            if dense:
                for _ in range(4):
                    s.picked[i] = np.uint64(start) + trailing_zeros(bits)
                    bits &= bits - np.uint64(1)
                    i += np.uint64(1)
            if i >= stop:
                break
        n = stop
    return np.int64(found) == many


@kernel()
def _deal(n, s):
    """Sort the picks by count, where few are beyond the levels; equal ones stay as they are."""
    genes, counts, place = s.where, s.counts, s.digit
    copy(s.picked, n, genes)
    copy(s.value, n, counts)
    place[: TOP_LEVEL + 1] = 0
    for i in range(n):
        place[np.uint64(min(counts[i], np.float32(TOP_LEVEL)))] += 1
    before = np.int32(0)
    for level in range(TOP_LEVEL, -1, -1):
        many = place[level]
        place[level] = before
        before += many
    for i in range(n):
        level = np.uint64(min(counts[i], np.float32(TOP_LEVEL)))
        at = np.uint64(place[level])
        s.picked[at] = genes[i]
        s.value[at] = counts[i]
        place[level] += 1
    for i in range(1, place[TOP_LEVEL]):
        gene, count = s.picked[i], s.value[i]
        j = i
        while j > 0 and s.value[j - 1] < count:
            s.picked[j], s.value[j] = s.picked[j - 1], s.value[j - 1]
            j -= 1
        s.picked[j], s.value[j] = gene, count


@kernel()
def _by_level(x, idx, rank, k, found, threshold, s):
    """List picks by score from the levels of whole counts; return the picks and ties, as `list_picks`.

    There are -1 picks where that is not the way: no level has many genes, many counts have no level, or
    two columns that both have counts are one gene.
    """
    # Levels that have a gene in every other word of 64, or more, are listed by themselves.
    dense, bound = s.level_of.size // (2 * LANES), threshold
    above = count_levels(s.level, idx.size, bound)
    ties = np.int64(0)
    while bound < TOP_LEVEL - 1:
        over = count_levels(s.level, idx.size, np.uint8(bound + 1))
        if above - over <= dense:
            break
        if bound == threshold:
            ties = above - over
        above, bound = over, np.uint8(bound + 1)
    if bound == threshold or count_levels(s.level, idx.size, np.uint8(TOP_LEVEL)) > _FEW:
        return np.int64(-1), np.int64(0)
    wanted = min(np.int64(k), found)
    _spread_levels(x, idx, rank, threshold, s)
    n = above
    sound = _append(0, bound, np.uint8(TOP_LEVEL), n, n, s)
    if sound:
        for i in range(n):
            gene = np.uint64(s.picked[i])
            level = s.level_of[gene]
            s.value[i] = s.beyond[gene] if level == TOP_LEVEL else np.float32(level)
        _deal(n, s)
    while sound and bound > threshold:
        bound = np.uint8(bound - 1)
        many = count_levels(s.level, idx.size, bound) - above
        above += many
        sound = _append(n, bound, bound, many, min(many, wanted - n), s)
        stop = min(above, wanted)
        s.value[n:stop] = bound
        n = stop
    s.level_of[:] = 0
    return n if sound else np.int64(-1), ties if found > k else np.int64(0)


@kernel()
def rank_row(x, idx, columns, factor, k, by_score, s):
    """Do what `select_row` does, with picks in the order of scores if `by_score`; `described` is left out."""
    flags, found, total, _, threshold = find_threshold(x, idx, columns, factor, k, s)
    if found == 0:
        return flags, np.int64(0), np.int64(0), total
    picks, ties = np.int64(-1), np.int64(0)
    if by_score and threshold < TOP_LEVEL:
        picks, ties = _by_level(x, idx, columns.rank, k, found, threshold, s)
    if picks < 0:
        picks, ties = list_picks(x, idx, columns, factor, k, found, threshold, s)
        if by_score:
            score_order(picks, factor, s)
            copy(s.picked, picks, s.where)
            copy(s.value, picks, s.counts)
            for i in range(picks):
                at = s.order[i] & _PLACE
                s.picked[i], s.value[i] = s.where[at], s.counts[at]
    return flags, picks, ties, total


@kernel()
def list_counts(x, idx, columns, ids, k, s, genes, counts):
    """Write the `k` highest counts of a row and their ids; return ``(flags, many, tied, total)``.

    `tied` is how many of them have the count of the first that is left out.
    """
    none, by_score = np.empty(0, np.float32), True
    flags, n, ties, total = rank_row(x, idx, columns, none, k, by_score, s)
    tied = 0
    for i in range(n):
        genes[i], counts[i] = ids[s.picked[i]], s.value[i]
        tied = tied + 1 if counts[i] == counts[max(i - 1, 0)] else 1
    return flags, n, tied if ties > tied else 0, total


@kernel()
def list_divided(x, idx, columns, ids, divisor, k, s, genes, counts):
    """Do the same by ``x / total * 10_000 / divisor`` in 64 bits; see `list_counts`."""
    flags, total, top = scan(x, idx, columns.rank.size)
    if flags & (DISORDERED | INVALID | OUT_OF_RANGE):
        return flags, 0, 0, total
    if flags & FRACTIONAL:
        total = fixed_point_sums(x, idx, columns.candidate, top)[0]
    found = _divided_order(x, idx, columns.rank, divisor, total, s)
    n = min(found, np.int64(k))
    for i in range(n):
        at = s.order[i] & _PLACE
        genes[i], counts[i] = ids[s.where[at]], s.counts[at]
    tied = 0
    while found > n > tied and s.score[s.order[n - 1 - tied] & _PLACE] == s.score[s.order[n] & _PLACE]:
        tied += 1
    return flags, n, tied, total


@kernel()
def _divided_order(x, idx, rank, divisor, total, s):
    """List all candidates of a row by ``(x / total * 10_000 / divisor descending, gene)``, in 64 bits.

    ``s.order[:n]`` has places in ``s.where``, which has genes, ``s.counts`` and ``s.score``; returns ``n``.
    The first bits of the scores are sorted by, and the rest is looked at only where they are equal.
    """
    n = 0
    for j in range(x.size):
        gene = rank[np.uint64(idx[j])]
        v = np.float32(x[j])
        s.where[n] = gene
        s.counts[n] = v
        n += v > 0 and gene >= 0
    highest, lowest = np.uint64(0), ~np.uint64(0)
    for i in range(n):
        score = np.float64(s.counts[i]) / total * 10_000.0 / divisor[s.where[i]]
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
