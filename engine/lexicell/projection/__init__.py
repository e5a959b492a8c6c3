"""Projection: what learning produces, ready to be folded into a gene table."""

from lexicell.projection._classifier import UNKNOWN, Classifier
from lexicell.projection._describe import describe
from lexicell.projection._head import apply_head
from lexicell.projection._parts import Activation, HeadLayer, Pooling, Residual
from lexicell.projection._projection import GeneVectors, Projection

__all__ = [
    "UNKNOWN",
    "Activation",
    "Classifier",
    "GeneVectors",
    "HeadLayer",
    "Pooling",
    "Projection",
    "Residual",
    "apply_head",
    "describe",
]
