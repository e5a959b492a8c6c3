"""A projection as facts for people."""

from __future__ import annotations

from typing import Any

from lexicell.projection._projection import Projection

__all__ = ["describe"]


def describe(projection: Projection) -> dict[str, Any]:
    """Return what a projection is as plain values, for people and for ``--json``; only parts that it has.

    Parameters
    ----------
    projection
        Any.
    """
    facts: dict[str, Any] = {"name": projection.name}
    facts |= {name: projection.card[name] for name in ("label", "data") if name in projection.card}
    facts["identity"] = projection.identity
    if projection.lexicon is not None:
        facts["lexicon"] = projection.card.get("lexicon", "")
        facts["lexicon_identity"] = projection.lexicon
    residual, pooling = projection.residual, projection.pooling
    facts["text_dim"] = projection.weight.shape[1]
    facts["table_dim"], facts["dim"] = len(projection.weight), projection.dim
    if residual is not None:
        facts["residual_genes"], facts["residual_rank"] = len(residual.rows), len(residual.basis)
    if projection.masked is not None:
        facts["masked_genes"] = int(projection.masked.sum())
    if projection.head:
        facts["head"] = ", ".join(f"{len(layer.weight)} {layer.activation}" for layer in projection.head)
    present = ("bias", "offset", "gene_scale", "rank_factor")
    facts["parts"] = ", ".join(["weight", *(n for n in present if getattr(projection, n) is not None)])
    if pooling is not None:
        facts["top_k"] = "all" if pooling.top_k is None else pooling.top_k
        facts["weight"], facts["normalise"] = pooling.weight, pooling.normalise
    if projection.classifier is not None:
        facts["classes"] = ", ".join(projection.classifier.classes)
        facts["threshold"] = projection.classifier.threshold
    return facts
