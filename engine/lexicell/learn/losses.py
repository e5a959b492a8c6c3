"""Contrastive losses of unit vectors ``[n, p]``; a similarity is a product of two over a temperature."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["info_nce", "supervised_contrastive"]


def supervised_contrastive(
    z: Tensor, groups: Tensor, temperature: float, batches: Tensor | None = None
) -> Tensor:
    """SupCon, the mean outside of the logarithm (``L_out`` of Khosla et al. 2020, equation 2).

    Parameters
    ----------
    z
        ``[n, p]`` unit vectors.
    groups
        ``[n]`` what is positive to each other.
    temperature
        Smaller is sharper.
    batches
        ``[n]`` donor or batch: vectors of other groups are negatives within the same one only, so that
        telling batches apart does not help; positives are positives anywhere.

    Returns
    -------
    torch.Tensor
        Mean over vectors that have a positive; 0 where none has.
    """
    _, group = torch.unique(groups, return_inverse=True)
    sizes = torch.bincount(group)
    n_positive = sizes[group] - 1
    anchors = n_positive > 0
    if not bool(anchors.any()):
        return z.sum() * 0
    # Positives are summed as vectors, so one [n, n] array is enough, and its diagonal often the only mask.
    positives = z.new_zeros(len(sizes), z.shape[1]).index_add(0, group, z)[group] - z
    attraction = (z * positives).sum(1)[anchors] / n_positive[anchors]
    similarity = z @ z.T / temperature
    if batches is not None:
        compared = (group[:, None] == group[None, :]) | (batches[:, None] == batches[None, :])
        similarity = similarity.masked_fill(~compared, -torch.inf)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    scale = similarity.masked_fill(itself, -torch.inf).logsumexp(1)[anchors]
    return (scale - attraction / temperature).mean()


def info_nce(first: Tensor, second: Tensor, temperature: float, batches: Tensor | None = None) -> Tensor:
    """NT-Xent (Chen et al. 2020): SupCon where each cell is a group of its own, with two views as members.

    Parameters
    ----------
    first, second
        ``[n, p]`` unit vectors of two views of the same cells.
    temperature, batches
        See `supervised_contrastive`; `batches` is ``[n]``.
    """
    cell = torch.arange(len(first), device=first.device).repeat(2)
    doubled = None if batches is None else batches.repeat(2)
    return supervised_contrastive(torch.cat([first, second]), cell, temperature, doubled)
