"""How right a learned projection is on cells that nothing was learned from."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.embedding.selected import SelectedCells
from lexicell.learn.embed_selected import embed_selected
from lexicell.projection import Classifier, Projection

__all__ = ["Judged", "judge", "one_thread"]


@dataclass(frozen=True)
class Judged:
    """A classifier of vectors, and its scores on cells that nothing was learned from."""

    classifier: Classifier
    scores: dict[str, Any]


def one_thread() -> AbstractContextManager[Any]:
    """Let linear algebra compute on one thread: its pieces are small here, and waiting threads cost more."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with scikit-learn, which says so where it is missing
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def judge(
    projection: Projection,
    cells: SelectedCells,
    vectors: NDArray[np.float32],
    labels: NDArray[np.object_],
    used: NDArray[np.int64],
    tested: NDArray[np.int64],
    batches: NDArray[Any] | None,
    seed: int,
) -> Judged:
    """A classifier on the cells that were learned from, and how right it is on those that were not."""
    from lexicell.learn.classify import calibration_error, fit_classifier

    labelled = labels[used] != ""
    labelled_cells = used[labelled]
    z = embed_selected(cells.take(labelled_cells), vectors, projection)
    their_batches = None if batches is None else batches[labelled]
    classifier = fit_classifier(z, labels[labelled_cells].astype(str), seed=seed, batches=their_batches)
    scores: dict[str, Any] = {"cells": len(tested), "classes": len(np.unique(labels[tested]))}
    if len(tested):
        from sklearn.metrics import f1_score

        true = labels[tested].astype(str)
        queries = embed_selected(cells.take(tested), vectors, projection)
        predicted, confidence = classifier.predict(queries, threshold=0)
        right = predicted == true
        scores |= {
            "macro_f1": float(
                f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)
            ),
            "accuracy": float(right.mean()),
            "calibration_error": calibration_error(confidence, right),
            "unknown": float((confidence < classifier.threshold).mean()),
        }
    return Judged(classifier, scores)
