"""Names of cell types from a cell's vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.projection._checks import floats, put, same

__all__ = ["UNKNOWN", "Classifier"]

#: Label of a cell that no class is probable for.
UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Classifier:
    """Multinomial logistic regression on a cell's vector ``z``, with a calibrated temperature.

    ``P(class | z) = softmax((z W^T + b) / temperature)`` (Guo et al. 2017, arXiv 1706.04599).

    Attributes
    ----------
    classes
        ``C`` names, each once; "unknown" is reserved.
    weight
        ``W``, ``[C, p]`` float32, for vectors as they are embedded.
    bias
        ``b``, ``[C]`` float32.
    temperature
        Larger than 0; above 1 it takes confidence away.
    threshold
        Probability from 0 to 1 below which a cell is "unknown".

    Raises
    ------
    InputError
        A class has no name or the name of another, or a number does not fit.
    """

    classes: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float = 1.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        put(
            self,
            classes=tuple(str(name) for name in self.classes),
            weight=floats("classifier's weight", self.weight, 2),
            bias=floats("classifier's bias", self.bias, 1),
            temperature=float(self.temperature),
            threshold=float(self.threshold),
        )
        same("classifier's weight", len(self.weight), "list of classes", len(self.classes))
        same("classifier's bias", len(self.bias), "list of classes", len(self.classes))
        if not self.classes or len(set(self.classes)) < len(self.classes) or "" in self.classes:
            msg = "a classifier has classes, each with a name of its own"
            raise InputError(msg)
        if UNKNOWN in self.classes:
            msg = (
                f"a class can't be called {UNKNOWN!r}, which is what cells of no class are called; rename it"
            )
            raise InputError(msg)
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            msg = f"the classifier's temperature is finite and larger than 0, not {self.temperature}"
            raise InputError(msg)
        _check_threshold(self.threshold)

    def predict_proba(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Probability of each class for cells, float32 ``[n, C]``.

        Parameters
        ----------
        vectors
            ``[n, p]``, as they are embedded. A zero row, which a cell without any described gene has, gets 0
            for every class; all other rows sum to 1.

        Raises
        ------
        InputError
            The vectors have another length than the classifier's.
        """
        z = np.asarray(vectors)
        if z.ndim != 2 or z.shape[1] != self.weight.shape[1]:
            msg = (
                f"the classifier takes vectors [n, {self.weight.shape[1]}], not {list(z.shape)}; embed the "
                "cells with the projection that it came with"
            )
            raise InputError(msg)
        scores = (z @ self.weight.T + self.bias).astype(np.float64) / self.temperature
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        scores[~z.any(axis=1)] = 0
        return scores.astype(np.float32)

    def predict(
        self, vectors: NDArray[np.floating], threshold: float | None = None
    ) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
        """Most probable class of each cell, and its probability.

        Parameters
        ----------
        vectors
            ``[n, p]``, as they are embedded.
        threshold
            Probability below which the label is "unknown"; None for the classifier's own.

        Returns
        -------
        labels : numpy.ndarray
            ``[n]`` names of classes, or "unknown". A zero row is always unknown.
        confidence : numpy.ndarray
            ``[n]`` float32, the probability of the most probable class also where the label is "unknown"; 0
            for a zero row.

        Raises
        ------
        InputError
            See `predict_proba`; or the threshold is not from 0 to 1.
        """
        cutoff = self.threshold if threshold is None else threshold
        _check_threshold(cutoff)
        probability = self.predict_proba(vectors)
        best = probability.argmax(axis=1)
        confidence = probability[np.arange(len(best)), best]
        names = np.array([*self.classes, UNKNOWN])
        return names[np.where((confidence > 0) & (confidence >= cutoff), best, len(self.classes))], confidence


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        msg = f"the threshold of a label is a probability from 0 to 1, not {threshold}"
        raise InputError(msg)
