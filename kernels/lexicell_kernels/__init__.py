"""Fused kernels for pooled gene embeddings: CSR counts and a gene table in, unit vectors out.

This package knows NumPy, Numba and CuPy; it never imports ``lexicell``. `lexicell_kernels.reference` is the
definition of the numbers, `lexicell_kernels.parity` the suite that a backend has to pass.
"""

from lexicell_kernels._dispatch import Backend, Device, block_to_device, embed_rows, select_topk
from lexicell_kernels._host import block_to_host, check_rows, to_host
from lexicell_kernels._weights import weights
from lexicell_kernels.types import (
    CsrBlock,
    DeviceMemoryError,
    DisorderedRowsError,
    GeneTable,
    GpuUnavailableError,
    InvalidBlockError,
    InvalidCountsError,
    Order,
    Picks,
    Ranking,
    Rows,
    RowTooLongError,
    Weight,
)

__all__ = [
    "Backend",
    "CsrBlock",
    "Device",
    "DeviceMemoryError",
    "DisorderedRowsError",
    "GeneTable",
    "GpuUnavailableError",
    "InvalidBlockError",
    "InvalidCountsError",
    "Order",
    "Picks",
    "Ranking",
    "RowTooLongError",
    "Rows",
    "Weight",
    "block_to_device",
    "block_to_host",
    "check_rows",
    "embed_rows",
    "select_topk",
    "to_host",
    "weights",
]
