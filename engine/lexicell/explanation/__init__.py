"""Which genes, and sets of genes, put cells where they are; `lexicell.explain`.

Pooling is linear, so contributions are exact: they sum to the score that they explain.
"""

from lexicell.explanation.api import explain, explain_anndata
from lexicell.explanation.cells import CellContributions, GeneRows, contributions, pooled_vectors, select_cell
from lexicell.explanation.directions import Direction
from lexicell.explanation.result import Explanation

__all__ = [
    "CellContributions",
    "Direction",
    "Explanation",
    "GeneRows",
    "contributions",
    "explain",
    "explain_anndata",
    "pooled_vectors",
    "select_cell",
]
