"""Pictures of embeddings."""

from lexicell.report.scatter import plot_scatter

__all__ = ["plot_scatter"]
