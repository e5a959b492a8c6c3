"""Fused kernels for pooled gene embeddings: CSR counts and a gene table in, unit vectors out.

This package knows NumPy and Numba; it never imports ``lexicell``. `lexicell_kernels.reference` is the
definition of the numbers, `lexicell_kernels.parity` the suite that a backend has to pass.
"""

from lexicell_kernels._dispatch import Backend, embed_rows, select_topk
from lexicell_kernels.types import CsrBlock, GeneTable, InvalidCountsError, Order, Picks, Rows, Weight

__all__ = [
    "Backend",
    "CsrBlock",
    "GeneTable",
    "InvalidCountsError",
    "Order",
    "Picks",
    "Rows",
    "Weight",
    "embed_rows",
    "select_topk",
]
