"""Cells found and named by sentences about what they do, through genes whose texts say the same."""

from lexicell.words.api import describe, score_text, search
from lexicell.words.described import Described, name_cells
from lexicell.words.descriptions import Description, read_descriptions, shipped_groups, shipped_types
from lexicell.words.table import Search

__all__ = [
    "Described",
    "Description",
    "Search",
    "describe",
    "name_cells",
    "read_descriptions",
    "score_text",
    "search",
    "shipped_groups",
    "shipped_types",
]
