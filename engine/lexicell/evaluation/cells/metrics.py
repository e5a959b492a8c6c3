"""How right predicted labels are, and how well clusters of an embedding fit the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import MissingExtraError

__all__ = [
    "RARE",
    "Scores",
    "areas_of_classes",
    "cluster_scores",
    "clusters_missing",
    "f1_of_classes",
    "scib_scores",
    "score",
]

#: A class is rare if it has less than this share of the test cells.
RARE = 0.05
#: Cells that silhouettes are computed of: every pair is looked at.
_MOST_CELLS = 2_000
_NEIGHBOURS = 15


@dataclass(frozen=True)
class Scores:
    """How right predicted labels are, 0 to 1.

    Attributes
    ----------
    accuracy
        Share of the cells.
    macro_f1
        Mean F1 over the classes that the test cells have.
    rare_f1
        The same over classes of less than 5 % of them; NaN without any.
    """

    accuracy: float
    macro_f1: float
    rare_f1: float


def score(labels: NDArray[np.str_], predicted: NDArray[np.str_]) -> Scores:
    """Compare predicted labels ``[q]`` with the true ones."""
    of_classes = f1_of_classes(labels, predicted)
    f1 = np.array(list(of_classes.values()))
    rare = np.array([(labels == name).sum() < RARE * len(labels) for name in of_classes])
    return Scores(
        float((labels == predicted).mean()),
        float(f1.mean()),
        float(f1[rare].mean()) if rare.any() else np.nan,
    )


def f1_of_classes(labels: NDArray[np.str_], predicted: NDArray[np.str_]) -> dict[str, float]:
    """F1 of each class that the true labels ``[q]`` have, in sorted order."""
    found = {}
    for name in np.unique(labels).tolist():
        positive, true = predicted == name, labels == name
        found[name] = 2 * float((positive & true).sum()) / float(positive.sum() + true.sum())
    return found


def areas_of_classes(
    labels: NDArray[np.str_], types: Sequence[str], scores: NDArray[np.floating[Any]]
) -> dict[str, float]:
    """Area under the ROC curve of each type's score, the cells of all other types being negative.

    Parameters
    ----------
    labels
        ``[q]``.
    types
        Names of the first columns of `scores`; those that no cell has, or all have, are left out.
    scores
        ``[q, T]`` or more columns.
    """
    from sklearn.metrics import roc_auc_score

    return {
        name: float(roc_auc_score(labels == name, scores[:, at]))
        for at, name in enumerate(types)
        if 0 < (labels == name).sum() < len(labels)
    }


def clusters_missing() -> str | None:
    """Why ARI and NMI stay empty: the line that installs what finds clusters; None where it is there."""
    return None if find_spec("igraph") else "ARI and NMI of Leiden clusters need igraph: pip install igraph"


def cluster_scores(vectors: NDArray[np.float32], labels: NDArray[np.str_], seed: int = 0) -> dict[str, float]:
    """How well an embedding keeps classes together.

    Parameters
    ----------
    vectors, labels
        ``[n, p]`` and ``[n]``.
    seed
        Of the sample and of Leiden.

    Returns
    -------
    dict
        ``silhouette`` (cosine, of at most 2,000 cells), and ``ari`` and ``nmi`` of Leiden clusters
        (modularity, resolution 1, graph of the 15 nearest cells by cosine), which are NaN where igraph is not
        installed.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

    n = len(labels)
    chosen = np.arange(n)
    if n > _MOST_CELLS:
        chosen = np.sort(np.random.default_rng(seed).choice(n, _MOST_CELLS, replace=False))
    several = 1 < len(np.unique(labels[chosen])) < len(chosen)
    scores = {
        "silhouette": float(silhouette_score(vectors[chosen], labels[chosen], metric="cosine"))
        if several
        else np.nan,
        "ari": np.nan,
        "nmi": np.nan,
    }
    if clusters_missing() is None:
        clusters = _leiden(vectors, seed)
        scores["ari"] = float(adjusted_rand_score(labels, clusters))
        scores["nmi"] = float(normalized_mutual_info_score(labels, clusters))
    return scores


def scib_scores(
    vectors: NDArray[np.float32], labels: NDArray[np.str_], batch: NDArray[np.str_] | None
) -> dict[str, float]:
    """Scores of scib-metrics: NMI and ARI of k-means, silhouettes of labels and, if there are, of batches.

    Raises
    ------
    MissingExtraError
        scib-metrics is not installed.
    """
    try:
        scib: Any = import_module("scib_metrics")
    except ImportError as error:
        msg = "--scib needs a package that is not installed: pip install scib-metrics"
        raise MissingExtraError(msg) from error
    clusters: Mapping[str, float] = scib.nmi_ari_cluster_labels_kmeans(vectors, labels)
    scores = {f"scib_{name}_kmeans": float(value) for name, value in clusters.items()}
    scores["scib_silhouette_label"] = float(scib.silhouette_label(vectors, labels))
    if batch is not None and len(np.unique(batch)) > 1:
        scores["scib_silhouette_batch"] = float(scib.silhouette_batch(vectors, labels, batch))
    return scores


def _leiden(vectors: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    import random

    from sklearn.neighbors import kneighbors_graph

    igraph: Any = import_module("igraph")
    k = min(_NEIGHBOURS, len(vectors) - 1)
    near = kneighbors_graph(vectors, k, metric="cosine").tocoo()
    edges = np.unique(np.sort(np.stack([near.row, near.col], axis=1), axis=1), axis=0)
    graph = igraph.Graph(n=len(vectors), edges=edges.tolist())
    igraph.set_random_number_generator(random.Random(seed))  # noqa: S311
    parts = graph.community_leiden(objective_function="modularity", n_iterations=2)
    return np.asarray(parts.membership, np.int64)
