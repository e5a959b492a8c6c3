"""How good gene vectors and embeddings are, beside controls."""

from lexicell.evaluate.cell_report import Evaluation
from lexicell.evaluate.cells import evaluate_cells, evaluate_panels
from lexicell.evaluate.controls import CONTROLS, control_vectors, pca_of_expression
from lexicell.evaluate.figures import plot_evaluation
from lexicell.evaluate.gene_report import GeneReport, Prediction, evaluate_genes
from lexicell.evaluate.gene_sets import GO_SETS, GeneSet, GeneSets, match_gene_sets, read_gene_sets
from lexicell.evaluate.geometry import Geometry, Neighbours, measure_geometry, nearest_genes
from lexicell.evaluate.knn import knn_accuracy
from lexicell.evaluate.membership import (
    Membership,
    NameLeak,
    Protocol,
    name_leak,
    predict_membership,
)
from lexicell.evaluate.methods import Method
from lexicell.evaluate.panels import Panel, Task, panel_of
from lexicell.evaluate.protocol import CellProtocol
from lexicell.evaluate.published import Published, Standing, read_published
from lexicell.evaluate.registry import METHODS

__all__ = [
    "CONTROLS",
    "GO_SETS",
    "METHODS",
    "CellProtocol",
    "Evaluation",
    "GeneReport",
    "GeneSet",
    "GeneSets",
    "Geometry",
    "Membership",
    "Method",
    "NameLeak",
    "Neighbours",
    "Panel",
    "Prediction",
    "Protocol",
    "Published",
    "Standing",
    "Task",
    "control_vectors",
    "evaluate_cells",
    "evaluate_genes",
    "evaluate_panels",
    "knn_accuracy",
    "match_gene_sets",
    "measure_geometry",
    "name_leak",
    "nearest_genes",
    "panel_of",
    "pca_of_expression",
    "plot_evaluation",
    "predict_membership",
    "read_gene_sets",
    "read_published",
]
