"""Pictures, as in scanpy: they return the Axes that they drew on, `ax` or those of a new figure.

The caller's settings of matplotlib stay as they are, and pyplot knows of a figure only if it is shown. `save`
replaces a file with a complete one; the same picture is the same bytes. Text stays text in SVG and PDF.
"""

from lexicell.pl._contributions import contributions
from lexicell.pl._coverage import coverage
from lexicell.pl._embedding import embedding
from lexicell.pl._evaluation import evaluation
from lexicell.pl._gene_table import AurocPanel, gene_table
from lexicell.pl._groups import groups
from lexicell.pl._learning import learning
from lexicell.pl._pathways import pathways
from lexicell.pl._throughput import throughput
from lexicell.pl.canvas import check_figure

__all__ = [
    "AurocPanel",
    "check_figure",
    "contributions",
    "coverage",
    "embedding",
    "evaluation",
    "gene_table",
    "groups",
    "learning",
    "pathways",
    "throughput",
]
