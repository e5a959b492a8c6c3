"""Vectors of cells for everyone outside the field: one column of lists, beside names and quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, Listener, plan_cells
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.pipeline import BlockEmbedder, Quality
from lexicell.embedding.recipe import resolve_recipe
from lexicell.exports.prepared import Prepared
from lexicell.projection import Projection
from lexicell_kernels import CsrBlock

__all__ = ["NumberedVectors", "VectorEncoder", "VectorOptions", "prepare", "prepare_numbered"]


@dataclass(frozen=True)
class VectorOptions:
    """What vectors are; see `lexicell.embed`.

    Attributes
    ----------
    recipe
        Name of a recipe; None for what the projection was learned with, else the default.
    projection
        Folder of a learned projection.
    """

    recipe: str | None = None
    projection: str | None = None


@dataclass(frozen=True)
class VectorEncoder:
    """Makes ``embedding`` and three columns of quality; see `lexicell.embedding.tables.Encoder`.

    Attributes
    ----------
    embedder
        Makes the vectors.
    """

    embedder: BlockEmbedder

    @property
    def genes(self) -> CandidateGenes:
        """See `Encoder`."""
        return self.embedder.folded.genes

    @property
    def read_obs(self) -> Sequence[str]:
        """See `Encoder`."""
        return ()

    def encode(
        self,
        counts: CsrBlock,
        start: int,  # noqa: ARG002
        obs: pd.DataFrame,  # noqa: ARG002
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        rows = self.embedder.launch(counts, 1)
        vectors = np.ascontiguousarray(rows.vectors, np.float32)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        quality = {f"lexicell_{field.name}": pa.array(getattr(rows, field.name)) for field in fields(Quality)}
        return {"embedding": lists, **quality}, None


@dataclass(frozen=True)
class NumberedVectors(VectorEncoder):
    """Makes ``row`` too, int64 number of the cell in the data set."""

    def encode(
        self, counts: CsrBlock, start: int, obs: pd.DataFrame
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        """See `Encoder`."""
        made, kept = super().encode(counts, start, obs)
        return {"row": pa.array(np.arange(start, start + counts.n_rows, dtype=np.int64)), **made}, kept


def prepare(cells: AlignedCells, options: VectorOptions, listener: Listener) -> Prepared:
    """Settle how a data set is embedded.

    Raises
    ------
    InputError, CorruptDataError
        There is no such recipe or projection, or it is for another lexicon.
    """
    projection = None if options.projection is None else Projection.load(options.projection)
    recipe = resolve_recipe(options.recipe, pooling=None if projection is None else projection.pooling)
    plan = plan_cells(cells, projection, recipe, listener=listener)
    rows = plan.folded.genes.rows
    symbols = np.asarray(cells.lexicon.genes.column("symbol").to_pylist(), object)[rows]
    made = plan.provenance()
    facts: dict[str, Any] = {
        name: made[name] for name in ("recipe", "top_k", "weight", "normalise", "projection")
    }
    facts |= {"dim": plan.dim, "table": plan.folded.digest, "share_of_counts": round(plan.cells.coverage, 4)}
    table = pd.DataFrame({"row": rows, "symbol": symbols})
    return Prepared(VectorEncoder(plan.embedder), table, facts, empty=("lexicell_n_genes", 0))


def prepare_numbered(
    cells: AlignedCells, recipe: str | None, projection: str | None, listener: Listener
) -> Prepared:
    """As `prepare`, for an assembly that puts the vectors in another order; see `NumberedVectors`."""
    made = prepare(cells, VectorOptions(recipe, projection), listener)
    assert isinstance(made.encoder, VectorEncoder)  # noqa: S101
    return replace(made, encoder=NumberedVectors(made.encoder.embedder))
