"""Tools on an AnnData, as in scanpy: they write into it and return None."""

from lexicell.annotation import annotate_anndata as annotate
from lexicell.embedding import embed_anndata as embed
from lexicell.explanation import explain_anndata as explain
from lexicell.words import score_text

__all__ = ["annotate", "embed", "explain", "score_text"]
