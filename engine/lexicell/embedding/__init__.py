"""Embedding cells: what a data set holds, recipes, folding, the pipeline, and `lexicell.embed`.

A package cannot be called as the function is; so it is with `annotation` and `evaluation`.
"""

from lexicell.embedding.align import AlignOptions, align_cells
from lexicell.embedding.aligned import AlignedCells
from lexicell.embedding.api import Embedded, embed, embed_anndata
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.coverage import GeneCoverage, gene_coverage
from lexicell.embedding.events import Advanced, Committed, Event, Listener, Note, Started
from lexicell.embedding.fold import FoldedTable, fold
from lexicell.embedding.pipeline import BlockEmbedder, Quality, embed_in_memory, embed_source
from lexicell.embedding.plan import Options, Plan, make_plan, plan_cells
from lexicell.embedding.recipe import DEFAULT_RECIPE, RECIPES, Recipe
from lexicell.embedding.selected import SelectedCells, Selection

__all__ = [
    "DEFAULT_RECIPE",
    "RECIPES",
    "Advanced",
    "AlignOptions",
    "AlignedCells",
    "BlockEmbedder",
    "CandidateGenes",
    "Committed",
    "Embedded",
    "Event",
    "FoldedTable",
    "GeneCoverage",
    "Listener",
    "Note",
    "Options",
    "Plan",
    "Quality",
    "Recipe",
    "SelectedCells",
    "Selection",
    "Started",
    "align_cells",
    "embed",
    "embed_anndata",
    "embed_in_memory",
    "embed_source",
    "fold",
    "gene_coverage",
    "make_plan",
    "plan_cells",
]
