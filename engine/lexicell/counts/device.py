"""Matrices that lie on a GPU: read there, and never brought to the host as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexicell.arrays import Device, namespace, to_host
from lexicell.containers.faults import Where, reading
from lexicell.counts.blocks import check_columns, gather_rows, kernel_values, slim_indices
from lexicell.counts.dense import DenseRows
from lexicell.counts.rows import CsrRows
from lexicell_kernels.types import CsrBlock

if TYPE_CHECKING:
    from lexicell.arrays import Array
    from lexicell.counts.rows import MatrixRows
    from lexicell.counts.scratch import Scratch

__all__ = ["DeviceDenseRows", "DeviceRows", "device_rows"]

#: Bytes of a dense slab. Finding its values takes three times as much again.
_SLAB_BYTES = 256 << 20


def device_rows(matrix: Any, where: Where) -> MatrixRows:
    """Reader of a CuPy array or CuPy sparse matrix; CSC becomes CSR there, once."""
    if not hasattr(matrix, "tocsr"):
        return DeviceDenseRows(namespace(matrix).asarray(matrix), where, _SLAB_BYTES)
    with reading(where):
        csr = matrix.tocsr()
    return DeviceRows(csr.data, csr.indices, to_host(csr.indptr), csr.shape, where)


class DeviceRows(CsrRows):
    """A CSR matrix on a GPU. Blocks are views of it; only its offsets are kept on the host.

    Parameters
    ----------
    data, indices
        ``[nnz]`` CuPy arrays.
    indptr
        ``[n + 1]`` on the host.
    shape, where
        See `MatrixRows`.
    """

    device: Device = "cuda"

    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:  # noqa: ARG002 -- views
        """See `CountSource.read`."""
        offsets = self.offsets(start, stop)
        first, last = int(offsets[0]), int(offsets[-1])
        indices = slim_indices(self._indices[first:last])
        check_columns(indices, self.n_columns, self.where.rows(start, stop))
        indptr = namespace(indices).asarray(offsets - first)
        return CsrBlock(
            data=kernel_values(self._data[first:last]),
            indices=indices,
            indptr=indptr,
            n_columns=self.n_columns,
        )

    def take(self, rows: Array) -> CsrBlock:
        """Rows in any order, gathered on the GPU."""
        xp = namespace(self._data)
        block = CsrBlock(
            data=self._data,
            indices=self._indices,
            indptr=xp.asarray(self.offsets(0, self.n_cells)),
            n_columns=self.n_columns,
        )
        block = gather_rows(block, xp.asarray(rows))
        indices = slim_indices(block.indices)
        check_columns(indices, self.n_columns, self.where)
        return CsrBlock(
            data=kernel_values(block.data), indices=indices, indptr=block.indptr, n_columns=self.n_columns
        )


class DeviceDenseRows(DenseRows):
    """A dense matrix on a GPU, of which slabs become CSR there."""

    device: Device = "cuda"
