"""What a run will do, decided and checked before the first cell is embedded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lexicell._version import installed_version
from lexicell.arrays import Device, require_gpu
from lexicell.counts import MAX_NNZ, CountSource
from lexicell.embedding.align import AlignOptions, align_cells
from lexicell.embedding.aligned import AlignedCells
from lexicell.embedding.default_projection import default_projection
from lexicell.embedding.events import Listener, ignore
from lexicell.embedding.fold import FoldedTable, fold
from lexicell.embedding.pipeline import BlockEmbedder
from lexicell.embedding.projection_facts import about, facts, tell_chosen, tell_pooling
from lexicell.embedding.recipe import Recipe, resolve_recipe
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon
from lexicell.projection import Projection

__all__ = ["Options", "Plan", "make_plan", "plan_cells"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(AlignOptions):
    """What a user can choose about an embedding.

    Attributes
    ----------
    projection
        Learned map or its folder, or None for what the recipe makes of the lexicon's vectors.
    recipe
        Name or `Recipe`, or None for what the projection was learned with, else the default; `top_k` and
        `weight` replace its settings.
    top_k, weight
        See `Recipe`.
    device
        Where to embed: "cpu", "cuda", or "auto" for where the counts lie.
    """

    projection: Projection | str | Path | None = None
    recipe: str | Recipe | None = None
    top_k: int | None = None
    weight: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Plan:
    """Everything that is settled before a run; `describe` is what ``--dry-run`` prints.

    Attributes
    ----------
    cells
        The data set; its candidates are the genes of the table.
    folded
        The gene table.
    recipe
        How cells are pooled.
    projection
        What the table was folded with, None for nothing.
    refined
        Whether the projection was made of the lexicon, for the recipe.
    device
        Where cells are embedded.
    """

    cells: AlignedCells
    folded: FoldedTable
    recipe: Recipe
    projection: Projection | None = None
    refined: bool = False
    device: Device = "cpu"

    @property
    def dim(self) -> int:
        """Output dimensions, ``p``."""
        return self.folded.dim

    @property
    def embedder(self) -> BlockEmbedder:
        """What embeds blocks of the source."""
        cells = self.cells
        return BlockEmbedder(
            self.folded, self.recipe, cells.values, self.device, cells.source.label, cells.source.var.index
        )

    def describe(self, itemsize: int = 4) -> dict[str, Any]:
        """Return the plan as plain values, for people and for ``--json``; sizes are bytes.

        Parameters
        ----------
        itemsize
            Bytes of one number of the output.
        """
        table, cells = self.folded.table, self.cells
        return {
            "input": cells.source.label,
            "cells": cells.source.n_cells,
            "columns": cells.source.n_columns,
            "values": str(cells.values),
            "lexicon": cells.lexicon.name,
            "organism": cells.alignment.organism,
            "gene_column": cells.alignment.column,
            "genes": table.n_genes,
            **facts(self.projection),
            "mask": ", ".join(cells.mask) or "none",
            "masked_genes": cells.n_masked,
            "coverage": round(cells.coverage, 4),
            "recipe": self.recipe.name,
            "top_k": self.recipe.top_k,
            "weight": str(self.recipe.weight),
            "dim": self.dim,
            "table_dtype": str(table.vectors.dtype),
            "table_bytes": int(table.vectors.nbytes),
            "block_values": MAX_NNZ,
            "device": self.device,
            "output_bytes": cells.source.n_cells * self.dim * itemsize,
        }

    def provenance(self) -> dict[str, Any]:
        """Return what belongs into ``uns``: enough to make the same vectors again."""
        read, card = self.cells.provenance(), about(self.projection)
        return {
            "version": installed_version(),
            "recipe": self.recipe.name,
            "top_k": 0 if self.recipe.top_k is None else self.recipe.top_k,
            "weight": str(self.recipe.weight),
            "normalise": self.recipe.normalise,
            "values": read["values"],
            "device": self.device,
            "lexicon": read["lexicon"],
            "projection": "none" if self.projection is None else self.projection.identity,
            **({"projection_card": card} if card else {}),
            "input": read["input"],
            "genes": read["genes"],
        }


def make_plan(source: CountSource, options: Options, listener: Listener = ignore) -> Plan:
    """Settle everything about embedding `source`, and check that it makes sense.

    Parameters
    ----------
    source
        Opened counts; a sample of up to 1,800 cells is read.
    options
        What the user chose.
    listener
        Is told how the input was understood.

    Raises
    ------
    InputError, CountsError, CoverageError, CorruptDataError
        See `align_cells` and `plan_cells`; or files of the projection were changed.
    """
    projection = options.projection
    if not isinstance(projection, Projection | None):
        projection = Projection.load(projection)
    learned = None if projection is None else projection.pooling
    recipe = resolve_recipe(options.recipe, options.top_k, options.weight, learned)
    tell_pooling(learned, recipe, listener)
    device = _device(source, options.device)
    lexicon = options.lexicon if isinstance(options.lexicon, Lexicon) else Lexicon.open(options.lexicon)
    if projection is not None:
        projection.check_lexicon(lexicon)
    cells = align_cells(source, replace(options, lexicon=lexicon), listener)
    plan = plan_cells(cells, projection, recipe, device=device, listener=listener)
    if options.top_k is not None and options.top_k > plan.folded.table.n_genes:
        msg = (
            f"{source.label}: top_k is {options.top_k}, more than the "
            f"{plan.folded.table.n_genes:,} described genes; "
            "give a smaller one, or the recipe genept-w for all genes"
        )
        raise InputError(msg)
    return plan


def plan_cells(
    cells: AlignedCells,
    projection: Projection | None = None,
    recipe: Recipe | str | None = None,
    *,
    device: Device = "cpu",
    listener: Listener = ignore,
) -> Plan:
    """Fold what a data set that is understood is embedded with.

    Parameters
    ----------
    cells
        The data set.
    projection
        Learned map, or None for what the recipe makes of the lexicon's vectors.
    recipe
        None for what the projection was learned with, else the default.
    device
        Where to embed.
    listener
        Is told how many of the genes that a projection uses are here.

    Raises
    ------
    InputError
        The projection is for another lexicon, or there is no such recipe.
    CoverageError
        The data set has none of the genes that the projection uses.
    """
    if not isinstance(recipe, Recipe):
        recipe = resolve_recipe(recipe, pooling=None if projection is None else projection.pooling)
    is_refined = projection is None and recipe.refine
    if is_refined:
        projection = default_projection(cells.lexicon)
    elif projection is not None and projection.masked is not None:
        cells = replace(cells.restrict(np.flatnonzero(~projection.masked)), mask=(*cells.mask, "projection"))
        # Few genes may be chosen and hold few counts: that is no sign of a wrong lexicon, so it is told only.
        here = len(cells.genes.rows)
        tell_chosen(cells.source.label, projection.masked, here, cells.coverage, listener)
    folded = fold(cells.lexicon, cells.genes, projection, device=device)
    return Plan(cells, folded, recipe, projection, is_refined, device)


def _device(source: CountSource, asked: str) -> Device:
    choices: dict[str, Device] = {"auto": source.device, "cpu": "cpu", "cuda": "cuda"}
    if asked not in choices:
        msg = f"the device is one of {', '.join(choices)}, not {asked!r}"
        raise InputError(msg)
    if choices[asked] == "cuda":
        require_gpu()
    return choices[asked]
