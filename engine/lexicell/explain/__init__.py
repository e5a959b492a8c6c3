"""Which genes make an embedding what it is."""

from lexicell.explain.groups import group_genes

__all__ = ["group_genes"]
