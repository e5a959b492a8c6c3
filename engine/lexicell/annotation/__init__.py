"""Names for cells: from labelled cells, from a trained projection, or from sentences about cell types."""

from lexicell.annotation.api import annotate, annotate_anndata
from lexicell.annotation.result import Annotation

__all__ = ["Annotation", "annotate", "annotate_anndata"]
