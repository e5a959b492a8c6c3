"""How good gene vectors and embeddings are, beside controls."""

from lexicell.evaluation.cells.api import evaluate
from lexicell.evaluation.cells.described import DescribedTypes
from lexicell.evaluation.cells.evaluator import evaluate_panels
from lexicell.evaluation.cells.expression import pca_of_expression
from lexicell.evaluation.cells.generated import Distance, DistanceLine, GeneratedReport, evaluate_generated
from lexicell.evaluation.cells.knn import knn_accuracy
from lexicell.evaluation.cells.learned_methods import METHODS
from lexicell.evaluation.cells.methods import Method
from lexicell.evaluation.cells.panels import Panel, Task, panel_of
from lexicell.evaluation.cells.protocol import CellProtocol
from lexicell.evaluation.cells.report import Evaluation
from lexicell.evaluation.controls import CONTROLS, control_vectors
from lexicell.evaluation.genes.geometry import Geometry, Neighbours, measure_geometry, nearest_genes
from lexicell.evaluation.genes.membership import (
    Membership,
    MembershipProtocol,
    NameLeak,
    name_leak,
    predict_membership,
)
from lexicell.evaluation.genes.report import GeneReport, Prediction, evaluate_genes
from lexicell.lexicon.gene_sets import GO_SETS, GeneSet, GeneSets, match_gene_sets, read_gene_sets

__all__ = [
    "CONTROLS",
    "GO_SETS",
    "METHODS",
    "CellProtocol",
    "DescribedTypes",
    "Distance",
    "DistanceLine",
    "Evaluation",
    "GeneReport",
    "GeneSet",
    "GeneSets",
    "GeneratedReport",
    "Geometry",
    "Membership",
    "MembershipProtocol",
    "Method",
    "NameLeak",
    "Neighbours",
    "Panel",
    "Prediction",
    "Task",
    "control_vectors",
    "evaluate",
    "evaluate_generated",
    "evaluate_genes",
    "evaluate_panels",
    "knn_accuracy",
    "match_gene_sets",
    "measure_geometry",
    "name_leak",
    "nearest_genes",
    "panel_of",
    "pca_of_expression",
    "predict_membership",
    "read_gene_sets",
]
