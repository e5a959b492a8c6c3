"""How good gene vectors and embeddings are, beside controls."""

from lexicell.evaluation.api import evaluate
from lexicell.evaluation.cell_report import Evaluation
from lexicell.evaluation.cells import evaluate_panels
from lexicell.evaluation.controls import CONTROLS, control_vectors
from lexicell.evaluation.described import DescribedTypes
from lexicell.evaluation.expression import pca_of_expression
from lexicell.evaluation.gene_report import GeneReport, Prediction, evaluate_genes
from lexicell.evaluation.generated import Distance, DistanceLine, GeneratedReport, evaluate_generated
from lexicell.evaluation.geometry import Geometry, Neighbours, measure_geometry, nearest_genes
from lexicell.evaluation.knn import knn_accuracy
from lexicell.evaluation.learned_methods import METHODS
from lexicell.evaluation.membership import (
    Membership,
    MembershipProtocol,
    NameLeak,
    name_leak,
    predict_membership,
)
from lexicell.evaluation.methods import Method
from lexicell.evaluation.panels import Panel, Task, panel_of
from lexicell.evaluation.protocol import CellProtocol
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
