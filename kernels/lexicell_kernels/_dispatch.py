"""One entry point per operation; the type of the block's arrays decides who does the work."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

from lexicell_kernels.types import CsrBlock, GeneTable, Order, Picks, Rows, Weight

__all__ = ["Backend", "embed_rows", "select_topk"]

#: Array package -> module of the backend. The module is imported when the first such array arrives.
_BACKENDS = {"numpy": "lexicell_kernels.cpu"}


class Backend(Protocol):
    """What a backend module provides; `lexicell_kernels.parity` holds it against the reference."""

    def embed_rows(
        self, block: CsrBlock, table: GeneTable, *, k: int | None, weight: Weight, normalise: bool
    ) -> Rows:
        """See `lexicell_kernels.embed_rows`."""
        ...

    def select_topk(self, block: CsrBlock, table: GeneTable, *, k: int, order: Order) -> Picks:
        """See `lexicell_kernels.select_topk`."""
        ...


def _backend_of(array: Any) -> Backend:
    package = type(array).__module__.partition(".")[0]
    try:
        return cast("Backend", importlib.import_module(_BACKENDS[package]))
    except KeyError:
        known = ", ".join(sorted(_BACKENDS))
        msg = f"no kernel for arrays of {package}; there are kernels for {known}"
        raise TypeError(msg) from None


def embed_rows(
    block: CsrBlock,
    table: GeneTable,
    *,
    k: int | None,
    weight: Weight = Weight.LOG1P,
    normalise: bool = True,
) -> Rows:
    """Select, weight, pool, project and normalise every row in one pass.

    Parameters
    ----------
    block
        ``n`` cells x ``v`` columns of counts.
    table
        Gene vectors ``[m, p]`` with everything linear folded in.
    k
        Genes per cell; None for all candidates.
    weight
        How much each selected gene counts.
    normalise
        Scale each row to length 1.

    Returns
    -------
    Rows
        ``[n, p]`` float32 vectors and three quality columns, on the device of the input.

    Raises
    ------
    InvalidCountsError
        A count is negative, NaN or infinite.
    ValueError
        Shapes do not fit, ``k < 1``, or a column lies outside the matrix.
    TypeError
        There is no kernel for this type of array.

    Notes
    -----
    Defined by `lexicell_kernels.reference`. A row's vector depends on that row alone: not on other rows,
    the order of columns or the number of threads.
    """
    return _backend_of(block.data).embed_rows(block, table, k=k, weight=weight, normalise=normalise)


def select_topk(block: CsrBlock, table: GeneTable, *, k: int, order: Order = Order.LEXICON) -> Picks:
    """Select the k highest-scoring genes of every row, without pooling.

    Parameters
    ----------
    block, table, k
        As for `embed_rows`; ``table.vectors`` is not read.
    order
        List genes by lexicon row, or by ``(score descending, lexicon row ascending)``.

    Returns
    -------
    Picks
        ``[n, k]`` table rows and scores, and how many of them are used per row.

    Raises
    ------
    InvalidCountsError, ValueError, TypeError
        As for `embed_rows`.
    """
    return _backend_of(block.data).select_topk(block, table, k=k, order=order)
