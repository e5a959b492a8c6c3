"""One row's weights, pooled mean and length on the CPU."""

from __future__ import annotations

import math

import numpy as np

from lexicell_kernels._numba import as_float32, float_bits, kernel

__all__ = ["COUNT", "LOG1P", "RANK", "UNIFORM", "pool_row", "score_order"]

LOG1P, COUNT, UNIFORM, RANK = range(4)
_MEMO = 256


@kernel()
def score_order(n, factor, s):
    """Fill ``s.order[:n]`` so that its low 32 bits list the picks by ``(score descending, gene)``."""
    for i in range(n):
        gene = s.picked[i]
        score = s.value[gene]
        if factor.size:
            score *= factor[gene]
        s.order[i] = (np.uint64(~float_bits(score)) << np.uint64(32)) | np.uint64(gene)
    s.order[:n].sort()


@kernel()
def _weights(n, total, factor, kind, s):
    """Fill ``s.weight[:n]`` and return its sum."""
    sum_w = 0.0
    if kind == UNIFORM:
        s.weight[:n] = 1
        return np.float64(n)
    if kind == RANK:
        score_order(n, factor, s)
        for r in range(n):
            s.place[s.order[r] & np.uint64(0xFFFFFFFF)] = np.float32((n - r) / n)
        for i in range(n):
            s.weight[i] = s.place[s.picked[i]]
            sum_w += s.weight[i]
        return sum_w
    scale = 1e4 / total
    s.memo[:] = -1
    for i in range(n):
        x = s.value[s.picked[i]]
        w = np.float32(x * scale)
        if kind == LOG1P:
            small = np.int64(min(x, np.float32(_MEMO - 1)))
            if np.float32(small) == x:
                if s.memo[small] < 0:
                    s.memo[small] = math.log1p(x * scale)
                w = s.memo[small]
            else:
                w = np.float32(math.log1p(x * scale))
        s.weight[i] = w
        sum_w += w
    return sum_w


@kernel()
def _accumulate(table, n, s):
    """``sums = sum(w * T)`` in lexicon order: eight rows of the table for each pass over the sums."""
    sums = s.sums
    sums[:] = 0
    i = 0
    while i + 8 <= n:
        g, w = s.picked[i : i + 8], s.weight[i : i + 8]
        t0, t1, t2, t3 = table[g[0]], table[g[1]], table[g[2]], table[g[3]]
        t4, t5, t6, t7 = table[g[4]], table[g[5]], table[g[6]], table[g[7]]
        w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
        for d in range(sums.size):
            z = sums[d]
            z += w0 * as_float32(t0[d])
            z += w1 * as_float32(t1[d])
            z += w2 * as_float32(t2[d])
            z += w3 * as_float32(t3[d])
            z += w4 * as_float32(t4[d])
            z += w5 * as_float32(t5[d])
            z += w6 * as_float32(t6[d])
            z += w7 * as_float32(t7[d])
            sums[d] = z
        i += 8
    while i < n:
        t, w0 = table[s.picked[i]], s.weight[i]
        for d in range(sums.size):
            sums[d] += w0 * as_float32(t[d])
        i += 1


@kernel(reorder=True)
def _square_sum(z):
    q = np.float32(0)
    for d in range(z.size):
        q += z[d] * z[d]
    return q


@kernel()
def pool_row(table, bias, factor, n, total, kind, normalise, s, out):
    """Write the pooled, projected and normalised row of the `n` picked genes to `out` (``[p]`` float32)."""
    if n == 0:
        out[:] = 0
        return
    sum_w = _weights(n, total, factor, kind, s)
    _accumulate(table, n, s)
    share = np.float32(1 / sum_w)
    for d in range(out.size):
        out[d] = s.sums[d] * share
    if bias.size:
        for d in range(out.size):
            out[d] += bias[d]
    if normalise:
        length = math.sqrt(_square_sum(out))
        inverse = np.float32(1 / length) if length > 0 else np.float32(0)
        for d in range(out.size):
            out[d] *= inverse
