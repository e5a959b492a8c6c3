"""GeneTable: a lexicon (and what was learned on it) folded onto a data set's columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import blake3
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lexicell.arrays import Device, to_host
from lexicell.embedding.candidates import CandidateGenes
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon
from lexicell.projection import HeadLayer, Projection
from lexicell_kernels import GeneTable

__all__ = ["FoldedTable", "fold"]

_VECTORS = "vectors"
#: Rows of a table that are tried in half precision before all are.
_FEW = 64


@dataclass(frozen=True)
class FoldedTable:
    """A gene table for a data set's columns.

    Attributes
    ----------
    table
        What the kernel reads; rows in lexicon order.
    genes
        What its rows are, and which columns.
    head
        Layers that what the kernel makes of the table goes through.
    """

    table: GeneTable
    genes: CandidateGenes
    head: tuple[HeadLayer, ...] = ()

    @property
    def dim(self) -> int:
        """Output dimensions, after the head."""
        return len(self.head[-1].weight) if self.head else self.table.dim

    @property
    def digest(self) -> str:
        """BLAKE3 of the table and of how columns are brought to it, as hex; not of the head."""
        table = self.table
        genes = self.genes
        arrays = (table.vectors, table.rank, table.rank_factor, table.bias, genes.rows, genes.shared)
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
            vectors = load(data)[_VECTORS].copy()  # which outlives the bytes
        except (SafetensorError, KeyError):
            return None
        return replace(self, table=replace(self.table, vectors=vectors))


def fold(
    lexicon: Lexicon,
    genes: CandidateGenes,
    projection: Projection | None = None,
    *,
    rank_factor: NDArray[np.float32] | None = None,
    device: Device = "cpu",
) -> FoldedTable:
    """Fold a lexicon onto a data set's columns.

    Parameters
    ----------
    lexicon
        Vectors ``E[G, d]``.
    genes
        The ``m`` candidates, and which of the ``v`` columns they are.
    projection
        Makes the rows of the table here, so that it costs nothing per cell: ``[m, d]`` becomes ``[m, p]``.
        Genes that it masks are left out, its bias and rank factors go into the table, and its head beside it.
    rank_factor
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
        A rank factor is not finite and positive, or the projection is for another lexicon.
    """
    if rank_factor is not None and not (np.isfinite(rank_factor) & (rank_factor > 0)).all():
        msg = "rank factors must be finite and larger than 0; leave genes out by masking them"
        raise InputError(msg)
    if projection is not None:
        projection.check_lexicon(lexicon)
        rank_factor = projection.rank_factor if rank_factor is None else rank_factor
        genes = genes if projection.masked is None else genes.without(projection.masked)
    table = GeneTable(
        _table_vectors(lexicon, genes.rows, projection, device),
        genes.rank,
        None if rank_factor is None else rank_factor[genes.rows].astype(np.float32),
        None if projection is None else projection.bias,
    )
    return FoldedTable(table, genes, () if projection is None else projection.head)


def _table_vectors(
    lexicon: Lexicon, genes: NDArray[np.int32], projection: Projection | None, device: Device
) -> Any:
    """Vectors of the table, ``[m, p]``, gathered on a GPU where they are wanted there as they are.

    A projection is applied on the host: a GPU would round its sums otherwise than NumPy does, and all
    backends are to read the same table. Copies, and conversion to half and back, are exact anywhere. The
    lexicon keeps the last tables that were made on the host, so those are read-only.
    """
    if device == "cuda" and projection is None:
        return _halved(lexicon.vectors(genes.astype(np.int64), device=device), device)
    made_with = None if projection is None else projection.identity
    key = "table", blake3.blake3(genes.tobytes()).digest(), made_with

    def make() -> NDArray[Any]:
        rows = genes.astype(np.int64)
        vectors = lexicon.vectors(rows) if projection is None else projection.table_rows(lexicon, rows)
        table: NDArray[Any] = _halved(vectors, "cpu")
        table.setflags(write=False)
        return table

    return lexicon.recent.get(key, make, lambda table: table.nbytes)


def _halved(vectors: Any, device: Device) -> Any:
    """Vectors in half precision where that loses nothing."""
    with np.errstate(over="ignore"):  # what half precision can't hold becomes infinite, so unequal
        for part in (vectors[:_FEW], vectors):  # a few tell of nearly all tables that it loses something
            half = part.astype(np.float16)
            if not bool((half.astype(np.float32) == part).all()):
                break
        else:
            return half
    # What ONNX Runtime gathered into on a GPU needs the lexicon, which the table may outlive.
    return vectors if device == "cpu" else vectors.copy()
