"""Embedding cells: recipes, folding, the pipeline and its two front doors."""

from lexicell.embedding.api import Embedded, embed, embed_anndata
from lexicell.embedding.coverage import GeneReport, gene_report
from lexicell.embedding.events import Advanced, Committed, Event, Listener, Note, Started
from lexicell.embedding.fold import FoldedTable, fold
from lexicell.embedding.pipeline import BlockEmbedder, Quality, embed_source
from lexicell.embedding.plan import Options, Plan, make_plan
from lexicell.embedding.recipe import DEFAULT_RECIPE, RECIPES, Recipe

__all__ = [
    "DEFAULT_RECIPE",
    "RECIPES",
    "Advanced",
    "BlockEmbedder",
    "Committed",
    "Embedded",
    "Event",
    "FoldedTable",
    "GeneReport",
    "Listener",
    "Note",
    "Options",
    "Plan",
    "Quality",
    "Recipe",
    "Started",
    "embed",
    "embed_anndata",
    "embed_source",
    "fold",
    "gene_report",
    "make_plan",
]
