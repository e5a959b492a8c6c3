"""Pictures of embeddings and of gene vectors."""

from lexicell.report.gene_table import AurocPanel, check_figure, plot_gene_table
from lexicell.report.scatter import plot_scatter

__all__ = ["AurocPanel", "check_figure", "plot_gene_table", "plot_scatter"]
