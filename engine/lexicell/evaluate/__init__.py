"""How good gene vectors and embeddings are, beside controls."""

from lexicell.evaluate.controls import pca_of_expression, random_vectors, shuffled_vectors
from lexicell.evaluate.gene_report import GeneReport, Prediction, evaluate_genes
from lexicell.evaluate.gene_sets import GO_SETS, GeneSet, GeneSets, match_gene_sets, read_gene_sets
from lexicell.evaluate.geometry import Geometry, Neighbours, measure_geometry, nearest_genes
from lexicell.evaluate.knn import knn_accuracy
from lexicell.evaluate.membership import (
    Membership,
    NameLeak,
    Protocol,
    control_vectors,
    name_leak,
    predict_membership,
)
from lexicell.evaluate.published import Published, Standing, read_published

__all__ = [
    "GO_SETS",
    "GeneReport",
    "GeneSet",
    "GeneSets",
    "Geometry",
    "Membership",
    "NameLeak",
    "Neighbours",
    "Prediction",
    "Protocol",
    "Published",
    "Standing",
    "control_vectors",
    "evaluate_genes",
    "knn_accuracy",
    "match_gene_sets",
    "measure_geometry",
    "name_leak",
    "nearest_genes",
    "pca_of_expression",
    "predict_membership",
    "random_vectors",
    "read_gene_sets",
    "read_published",
    "shuffled_vectors",
]
