"""Tools on an AnnData, as in scanpy: they write into it and return None."""

from lexicell.embedding import embed_anndata as embed

__all__ = ["embed"]
