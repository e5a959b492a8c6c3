"""What an embedding has to beat: expression without language, and language without meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTROLS", "control_vectors"]

CONTROLS = ("shuffled", "random")


def control_vectors(vectors: NDArray[np.floating[Any]], control: str, *, seed: int) -> NDArray[np.float32]:
    """Vectors without meaning: each gene keeps the length of its own vector and gets another direction.

    So what is compared is what the direction says, in a lexicon as in a folded table, where lengths hold
    how much a gene counts.

    Parameters
    ----------
    vectors
        ``[G, d]``.
    control
        "shuffled": the direction of another gene's vector. "random": any direction.
    seed
        Of both.
    """
    array = np.asarray(vectors, np.float32)
    rng = np.random.default_rng([seed, CONTROLS.index(control)])
    shuffled = control == "shuffled"
    drawn = array[rng.permutation(len(array))] if shuffled else rng.standard_normal(array.shape, np.float32)
    lengths, drawn_lengths = (np.linalg.norm(part, axis=1, keepdims=True) for part in (array, drawn))
    return np.asarray(drawn * (lengths / np.where(drawn_lengths > 0, drawn_lengths, 1)), np.float32)
