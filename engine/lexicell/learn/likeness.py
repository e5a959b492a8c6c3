"""Which genes are alike: by their texts, by the words of these, by how they vary together in other cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.arrays import unit_rows

__all__ = ["Likeness", "likeness_matrix"]


@dataclass(frozen=True, eq=False)
class Likeness:
    """One way in which genes are alike: the cosine of vectors that all genes have.

    Attributes
    ----------
    name
        What people call it.
    vectors
        ``[G, d]`` by lexicon row; a gene of which nothing is known has zeros, and is alike to none.
    centred
        Whether the mean of the genes that are compared is subtracted first: texts are much alike.
    """

    name: str
    vectors: NDArray[np.floating[Any]]
    centred: bool = False


def likeness_matrix(
    likenesses: Sequence[tuple[Likeness, float]],
    genes: NDArray[np.integer[Any]],
    landmarks: NDArray[np.integer[Any]],
    gamma: float,
) -> NDArray[np.float64]:
    """How alike genes are to landmark genes: the sum of ``weight * exp(gamma (cos - 1))``.

    Parameters
    ----------
    likenesses
        Each with its weight.
    genes, landmarks
        ``[n]`` and ``[m]`` lexicon rows. Means are those of the landmarks.
    gamma
        How fast likeness falls with the angle.

    Returns
    -------
    numpy.ndarray
        float64 ``[n, m]``, positive definite where genes and landmarks are the same.
    """
    total = np.zeros((len(genes), len(landmarks)))
    for likeness, weight in likenesses:
        sides = [np.asarray(likeness.vectors[rows], np.float64) for rows in (genes, landmarks)]
        known: list[NDArray[np.bool_]] = [(side != 0).any(axis=1) for side in sides]
        if likeness.centred and known[1].any():
            mean = sides[1][known[1]].mean(axis=0)
            sides = [np.where(has[:, None], side - mean, 0) for side, has in zip(sides, known, strict=True)]
        cosine = unit_rows(sides[0]) @ unit_rows(sides[1]).T
        cosine -= 1
        cosine *= gamma
        total += weight * np.exp(cosine, out=cosine)
    return total
