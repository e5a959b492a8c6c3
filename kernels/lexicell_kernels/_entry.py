"""The compiled loops over rows, one per operation, and their disk cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lexicell_kernels._order import list_counts, list_divided, rank_row
from lexicell_kernels._pick import select_row
from lexicell_kernels._pool import pool_row, round_to_halves
from lexicell_kernels._select import DISORDERED, INVALID, OUT_OF_RANGE
from lexicell_kernels.jit import kernel, source_stamp

__all__ = ["embed", "pick", "rank"]


def _entry_points(stamp: str) -> tuple[Callable[..., Any], ...]:
    """Compile on first call, for each combination of dtypes; `stamp` ties the cache to the sources."""

    @kernel(cache=True)
    def embed(data, indices, indptr, start, stop, columns, factor, table, bias, k, kind, normalise, s,
               vectors, halves, n_genes, coverage, n_tied):  # fmt: skip
        """Embed rows ``start:stop``; return the first that fails as ``(row, flags)``, else ``(-1, 0)``.

        Their vectors go to `vectors`, or as the bits of halves to `halves`; the other one is ``[0, p]``.
        """
        _ = stamp
        for row in range(start, stop):
            x, idx = data[indptr[row] : indptr[row + 1]], indices[indptr[row] : indptr[row + 1]]
            flags, n, ties, total, described = select_row(x, idx, columns, factor, k, s)
            if flags & (DISORDERED | INVALID | OUT_OF_RANGE):
                return row, flags
            n_genes[row] = n
            n_tied[row] = ties
            coverage[row] = described / total if total > 0 else 0.0
            out = vectors[row] if vectors.size else s.row
            pool_row(table, bias, factor, n, total, kind, normalise, s, out)
            if halves.size:
                round_to_halves(out, halves[row])
        return -1, 0

    @kernel(cache=True)
    def pick(data, indices, indptr, start, stop, columns, factor, k, by_score, s,
              genes, scores, counts, n_genes, totals):  # fmt: skip
        """List the picks of rows ``start:stop``; returns as `embed` does."""
        _ = stamp
        for row in range(start, stop):
            x, idx = data[indptr[row] : indptr[row + 1]], indices[indptr[row] : indptr[row + 1]]
            flags, n, _, total = rank_row(x, idx, columns, factor, k, by_score, s)
            if flags & (DISORDERED | INVALID | OUT_OF_RANGE):
                return row, flags
            n_genes[row] = n
            totals[row] = total
            for i in range(n):
                genes[row, i] = s.picked[i]
                counts[row, i] = s.value[i]  # the scores' array where there is no factor
            if factor.size:
                for i in range(n):
                    scores[row, i] = s.value[i] * factor[s.picked[i]]
            genes[row, n:] = -1
            scores[row, n:] = 0
            counts[row, n:] = 0
        return -1, 0

    @kernel(cache=True)
    def rank(data, indices, indptr, start, stop, columns, ids, divisor, k, s, at,
             genes, counts, sizes, totals, n_tied):  # fmt: skip
        """List rows ``start:stop`` by score, one after another from place `at` on."""
        _ = stamp
        for row in range(start, stop):
            x, idx = data[indptr[row] : indptr[row + 1]], indices[indptr[row] : indptr[row + 1]]
            if divisor.size:
                flags, n, tied, total = list_divided(
                    x, idx, columns, ids, divisor, k, s, genes[at:], counts[at:]
                )
            else:
                flags, n, tied, total = list_counts(x, idx, columns, ids, k, s, genes[at:], counts[at:])
            if flags & (DISORDERED | INVALID | OUT_OF_RANGE):
                return row, flags
            sizes[row], n_tied[row], totals[row] = n, tied, total
            at += n
        return -1, 0

    return embed, pick, rank


embed, pick, rank = _entry_points(source_stamp("_select", "_pick", "_order", "_pool", "_entry"))
