"""How good an embedding is, beside controls."""

from lexicell.evaluate.controls import pca_of_expression, random_vectors, shuffled_vectors
from lexicell.evaluate.knn import knn_accuracy

__all__ = ["knn_accuracy", "pca_of_expression", "random_vectors", "shuffled_vectors"]
