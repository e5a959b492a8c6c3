"""GeneTable: a lexicon (and what was learned on it) folded onto a data set's columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import blake3
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lexicell._arrays import Device, namespace, rows_of, to_host
from lexicell.errors import InputError
from lexicell.lexicon import Alignment, Lexicon
from lexicell.projection import Layer, Projection
from lexicell_kernels import CsrBlock, GeneTable

__all__ = ["FoldedTable", "either", "fold"]

_VECTORS = "vectors"


@dataclass(frozen=True)
class FoldedTable:
    """A gene table and how a data set's blocks are brought to it.

    Attributes
    ----------
    table
        What the kernel reads; rows in lexicon order.
    lexicon_rows
        ``[m]`` int32, the lexicon row of each row of the table.
    shared
        ``[v]`` bool, columns whose gene another column is too; None where no gene has two.
    head
        Layers that what the kernel makes of the table goes through.
    """

    table: GeneTable
    lexicon_rows: NDArray[np.int32]
    shared: NDArray[np.bool_] | None
    head: tuple[Layer, ...] = ()

    @property
    def dim(self) -> int:
        """Output dimensions, after the head."""
        return len(self.head[-1].weight) if self.head else self.table.dim

    @property
    def digest(self) -> str:
        """BLAKE3 of the table and of how columns are brought to it, as hex; not of the head."""
        table = self.table
        arrays = (table.vectors, table.rank, table.factor, table.bias, self.lexicon_rows, self.shared)
        digest = blake3.blake3(max_threads=blake3.blake3.AUTO)
        for array in arrays:
            part = np.empty(0) if array is None else np.ascontiguousarray(to_host(array))
            digest.update(f"{part.dtype.str} {part.shape}\0".encode())
            digest.update(part.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def vectors_as_bytes(self) -> bytes:
        """The table's vectors, for `with_vectors`: safetensors."""
        return save({_VECTORS: to_host(self.table.vectors)})

    def with_vectors(self, data: bytes) -> FoldedTable | None:
        """Return the same with vectors that were computed elsewhere; None where the bytes are damaged."""
        try:
            vectors = load(data)[_VECTORS].copy()  # one that can be written to, as others are
        except (SafetensorError, KeyError):
            return None
        return replace(self, table=replace(self.table, vectors=vectors))

    def prepare(self, block: CsrBlock) -> CsrBlock:
        """Sum columns that are one gene: one of a cell's values gets the sum, the others become 0.

        So the order of columns stays, on a GPU as on the host. Where no gene has two columns, as usual, this
        is the block itself.
        """
        if self.shared is None:
            return block
        xp = namespace(block.data)
        at = xp.flatnonzero(xp.asarray(self.shared)[block.indices])
        values = block.data[at]
        if not bool((values >= 0).all()):
            return block  # the kernel names a negative value or NaN, which a sum would hide
        rank = xp.asarray(self.table.rank)
        genes = rows_of(block.indptr, at) * self.table.n_genes + rank[block.indices[at]]
        _, first, owner = xp.unique(genes, return_index=True, return_inverse=True)
        data = block.data.astype(np.float32)  # small integers would overflow
        data[at] = 0
        # Both libraries sum in float64, so the order of columns does not show.
        data[at[first]] = xp.bincount(owner, weights=values)
        return replace(block, data=data)


def fold(
    lexicon: Lexicon,
    alignment: Alignment,
    projection: Projection | None = None,
    *,
    masked: NDArray[np.bool_] | None = None,
    factor: NDArray[np.float32] | None = None,
    device: Device = "cpu",
) -> FoldedTable:
    """Fold a lexicon onto a data set's columns.

    Parameters
    ----------
    lexicon
        Vectors ``E[G, d]``.
    alignment
        Which lexicon row each of the ``v`` columns is.
    projection
        Makes the rows of the table here, so that it costs nothing per cell: ``[m, d]`` becomes ``[m, p]``.
        Its bias, mask and rank factors go into the table too, and its head beside it.
    masked
        ``[G]``, genes that are never candidates, beside those that the projection masks.
    factor
        ``[G]`` rank factors, finite and > 0, in place of the projection's.
    device
        Where the table is wanted.

    Returns
    -------
    FoldedTable
        With a table of ``m`` rows: float16 where that loses nothing (it is read twice as fast), else
        float32. Its numbers are the same on every device, and a gene's do not depend on the other genes.

    Raises
    ------
    InputError
        A factor is not finite and positive, or the projection is for another lexicon.
    """
    if factor is not None and not (np.isfinite(factor) & (factor > 0)).all():
        msg = "rank factors must be finite and larger than 0; leave genes out by masking them"
        raise InputError(msg)
    if projection is not None:
        projection.check_lexicon(lexicon)
        factor = projection.rank_factor if factor is None else factor
        masked = either(masked, projection.masked)
    rows = alignment.rows
    if masked is not None:
        rows = np.where((rows >= 0) & ~masked[np.maximum(rows, 0)], rows, -1).astype(np.int32)
    described = rows >= 0
    genes = np.unique(rows[described])
    rank = np.full(len(rows), -1, np.int32)
    rank[described] = np.searchsorted(genes, rows[described])
    shared = None
    if described.sum() > len(genes):
        shared = described & (np.bincount(rank[described])[rank] > 1)

    table = GeneTable(
        _table_vectors(lexicon, genes, projection, device),
        rank,
        None if factor is None else factor[genes].astype(np.float32),
        None if projection is None else projection.bias,
    )
    return FoldedTable(table, genes, shared, () if projection is None else projection.head)


def either(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Genes that one of two masks has; None is a mask without genes."""
    if one is None or other is None:
        return other if one is None else one
    return one | other


def _table_vectors(
    lexicon: Lexicon, genes: NDArray[np.int32], projection: Projection | None, device: Device
) -> Any:
    """Vectors of the table, ``[m, p]``, gathered on a GPU where they are wanted there as they are.

    A projection is applied on the host: a GPU would round its sums otherwise than NumPy does, and all
    backends are to read the same table. Copies, and conversion to half and back, are exact anywhere.
    """
    rows = genes.astype(np.int64)
    if projection is None:
        vectors = lexicon.vectors(rows, device=device)
    else:
        vectors = projection.table_rows(lexicon, rows)
    with np.errstate(over="ignore"):  # what half precision can't hold becomes infinite, so unequal
        half = vectors.astype(np.float16)
    if bool((half.astype(np.float32) == vectors).all()):
        return half
    # What ONNX Runtime gathered into on a GPU needs the lexicon, which the table may outlive.
    return vectors if device == "cpu" else vectors.copy()
