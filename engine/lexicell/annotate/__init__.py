"""Names for cells: from labelled cells, from a trained projection, or from the texts of cell types."""

from lexicell.annotate.api import annotate, annotate_anndata, annotate_by_text
from lexicell.annotate.cell_ontology import CellType, read_types
from lexicell.annotate.result import Annotation

__all__ = ["Annotation", "CellType", "annotate", "annotate_anndata", "annotate_by_text", "read_types"]
