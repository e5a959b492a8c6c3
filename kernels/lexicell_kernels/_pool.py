"""One row's weights, pooled mean and length on the CPU.

Reading the table is what takes the time, and a float16 table halves what is read. Its rows come from the
second- and third-level caches, so they are asked for some rows ahead.
"""

from __future__ import annotations

import math

import numpy as np

from lexicell_kernels._order import score_order
from lexicell_kernels._select import copy
from lexicell_kernels.jit import (
    TILE,
    as_float32,
    bits_to_double,
    bits_to_float,
    double_bits,
    float_bits,
    kernel,
    weighted_rows,
)

__all__ = ["COUNT", "LOG1P", "RANK", "UNIFORM", "pool_row", "round_to_halves"]

LOG1P, COUNT, UNIFORM, RANK = range(4)
_LOG_2 = math.log(2)
_TINY = 1e-30
# Bits of float32: 2**-14, below which halves are subnormal; the first that rounds to an infinite half.
_SUBNORMAL, _TOO_LARGE, _INFINITY = np.uint32(0x38800000), np.uint32(0x477FF000), np.uint32(0x7F800000)
_ROOT_HALF = np.uint64(0x3FE6A09E667F3BCD)  # float64 bits of sqrt(1/2)


@kernel(merge=True)
def _weights(n, total, factor, kind, s):
    """Fill ``s.weight[:n]`` and return its sum."""
    sum_w = 0.0
    if kind == UNIFORM:
        s.weight[:n] = 1
        return np.float64(n)
    if kind == RANK:
        score_order(n, factor, s)
        for r in range(n):
            s.weight[s.order[r] & np.uint64(0xFFFFFFFF)] = np.float32((n - r) / n)
        for i in range(n):
            sum_w += s.weight[i]
        return sum_w
    scale = 1e4 / total
    w = s.weight[:n]
    copy(s.value, n, w)
    sum_w = _log1p_scaled(w, scale) if kind == LOG1P else _scaled(w, scale)
    if sum_w < _TINY:
        # Next to nothing beside the undescribed genes: log1p is linear there, and float32 at its end.
        copy(s.value, n, w)
        highest = w[0]
        for i in range(n):
            highest = max(highest, w[i])
        sum_w = _scaled(w, 1.0 / np.float64(highest))
    return sum_w


@kernel(reorder=True)
def _scaled(w, scale):
    """``w = w * scale``; return the sum."""
    sum_w = 0.0
    for i in range(w.size):
        w[i] = np.float32(w[i] * scale)
        sum_w += np.float64(w[i])
    return sum_w


@kernel(reorder=True)
def _log1p_scaled(w, scale):
    """``w = log1p(w * scale)``, in vector code and float64 inside; return the sum.

    With ``1 + y = m 2**e`` and m near 1, ``log1p(y) = 2 atanh((m - 1) / (m + 1)) + e log 2``. The series is
    cut where the rest is far below float32's last bit, and for ``e == 0`` m - 1 is y itself, so that small y
    lose nothing.
    """
    sum_w = 0.0
    for i in range(w.size):
        y = w[i] * scale
        bits = double_bits(1.0 + y)
        e = np.int64(bits - _ROOT_HALF) >> np.int64(52)
        m = bits_to_double(bits - (np.uint64(e) << np.uint64(52)))
        d = y if e == 0 else m - 1.0
        z = d / (d + 2.0)
        q = z * z
        series = 1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13))))))
        w[i] = np.float32(2 * z * series + np.float64(e) * _LOG_2)
        sum_w += np.float64(w[i])
    return sum_w


@kernel(merge=True)
def _accumulate(table, n, s):
    """``sums = sum(w * T)`` in lexicon order."""
    first = 0
    while first + TILE <= s.sums.size:
        weighted_rows(table, s.picked, s.weight, n, first, s.sums)
        first += TILE
    if first < s.sums.size:
        _accumulate_rest(table[:, first:], n, s.sums[first:], s)


@kernel()
def _accumulate_rest(table, n, sums, s):
    """The columns that make no tile: eight rows of the table for each pass over the sums."""
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


@kernel(merge=True)
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


@kernel()
def round_to_halves(row, out):
    """Write float32 to `out` as the bits of IEEE halves, rounded to the nearest, ties to even.

    In whole numbers, since not every CPU converts and NumPy does so one by one; vector code of any CPU. NaN
    stays NaN.
    """
    for d in range(row.size):
        bits = float_bits(row[d])
        sign = np.uint16((bits >> np.uint32(16)) & np.uint32(0x8000))
        size = bits & np.uint32(0x7FFFFFFF)
        # Where it is subnormal, a sum with 1/2 rounds to the last bit that a half has there.
        small = float_bits(bits_to_float(size) + np.float32(0.5)) - float_bits(np.float32(0.5))
        odd = (size >> np.uint32(13)) & np.uint32(1)
        half = (size + np.uint32(0xFFF) + odd - np.uint32(0x38000000)) >> np.uint32(13)
        half = small if size < _SUBNORMAL else half
        half = np.uint32(0x7C00) if size >= _TOO_LARGE else half
        half = np.uint32(0x7E00) if size > _INFINITY else half
        out[d] = np.uint16(half) | sign
