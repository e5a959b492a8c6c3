"""Names for cells: from labelled cells, from a trained projection, or from the texts of cell types."""

from lexicell.annotation.api import annotate, annotate_anndata
from lexicell.annotation.cell_ontology import CellType, read_types
from lexicell.annotation.result import Annotation

__all__ = ["Annotation", "CellType", "annotate", "annotate_anndata", "read_types"]
