"""The map that is learned, as a torch module over the genes that a data set uses."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lexicell.embedding.selected import SelectedCells
from lexicell.learn.settings import HeadLayer, TrainSettings

__all__ = ["Bags", "CellModel"]


@dataclass(frozen=True, slots=True)
class Bags:
    """Cells as weighted sets of genes.

    Attributes
    ----------
    genes
        ``[nnz]`` int64, places among the model's genes.
    weights
        ``[nnz]`` float32, summing to 1 in each cell.
    starts
        ``[n]`` int64, where each cell begins.
    """

    genes: Tensor
    weights: Tensor
    starts: Tensor

    @classmethod
    def of(cls, cells: SelectedCells, place: NDArray[np.int64], device: torch.device) -> Bags:
        """Weigh the genes of some cells; `place` is ``[G]``."""
        weights, sizes = cells.weights(), cells.sizes
        cell = np.repeat(np.arange(len(cells)), sizes)
        weights /= np.bincount(cell, weights=weights, minlength=len(cells))[cell].astype(np.float32)
        # Copies to the device need no pinned memory: they are small beside what follows.
        return cls(
            torch.from_numpy(place[cells.genes]).to(device),
            torch.from_numpy(weights).to(device),
            torch.from_numpy(cells.indptr[:-1].copy()).to(device),
        )


class CellModel(nn.Module):
    """``z = normalise(head(sum_g w_g a_g (W e_g + c + r_g) + b))`` with weights that sum to 1.

    Genes are pooled before ``W`` is applied, which is the same and reads each vector once, instead of
    once forwards and once backwards.

    Parameters
    ----------
    vectors
        ``[m, d]`` of the genes in use.
    settings
        What is learned.
    n_classes
        Of the classifier, 0 for none.
    seed
        Of what is drawn at the start.
    weight
        ``[p, d]`` to start from; by default rows that are orthogonal and of length 1.
    gene_scale
        ``[m]`` that ``a`` starts from, larger than 0; learning multiplies them.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        settings: TrainSettings,
        *,
        n_classes: int,
        seed: int,
        weight: NDArray[np.float32] | None,
        gene_scale: NDArray[np.float32],
    ) -> None:
        super().__init__()
        rng = np.random.default_rng([seed, 0])
        m, d = vectors.shape
        p = settings.dim
        if weight is None:
            longer, shorter = max(p, d), min(p, d)
            basis = np.linalg.qr(rng.standard_normal((longer, shorter)))[0].astype(np.float32)
            weight = basis.T if p <= d else basis
        self.vectors: Tensor
        self.gene_start: Tensor
        self.register_buffer("vectors", torch.from_numpy(np.ascontiguousarray(vectors)), persistent=False)
        start = torch.from_numpy(np.ascontiguousarray(gene_scale))
        self.register_buffer("gene_start", start, persistent=False)
        self.weight = nn.Parameter(torch.from_numpy(np.array(weight, np.float32, order="C")))
        self.bias = nn.Parameter(torch.zeros(p))
        self.offset = nn.Parameter(torch.zeros(p))
        self.gene = nn.Parameter(torch.zeros(m), requires_grad=settings.learn_genes)
        self.coefficients = self.basis = None
        if settings.residual_rank:
            drawn = rng.standard_normal((settings.residual_rank, p)) / np.sqrt(p)
            self.coefficients = nn.Parameter(torch.zeros(m, settings.residual_rank))
            self.basis = nn.Parameter(torch.from_numpy(drawn.astype(np.float32)))
        widths = (p, *settings.head)
        self.layers = tuple(_linear(q, r, rng) for q, r in pairwise(widths))
        self.head = nn.ModuleList(self.layers)  # so that torch knows them
        self.classifier = _linear(widths[-1], n_classes, rng) if n_classes else None
        self._temperature = settings.temperature

    def forward(self, bags: Bags) -> Tensor:
        """Embed cells: ``[n, q]`` unit vectors."""
        weights = bags.weights * (self.gene_start * self.gene.exp())[bags.genes]

        def pool(table: Tensor) -> Tensor:
            return functional.embedding_bag(
                bags.genes, table, bags.starts, mode="sum", per_sample_weights=weights
            )

        z = functional.linear(pool(self.vectors), self.weight, self.bias)
        n = len(bags.starts)
        cell = torch.bucketize(
            torch.arange(len(bags.genes), device=bags.genes.device), bags.starts, right=True
        )
        z = z + weights.new_zeros(n).index_add(0, cell - 1, weights)[:, None] * self.offset
        if self.coefficients is not None and self.basis is not None:
            z = z + pool(self.coefficients) @ self.basis
        for i, layer in enumerate(self.layers):
            z = layer(functional.gelu(z) if i else z)
        return functional.normalize(z.float(), dim=1)

    def logits(self, z: Tensor) -> Tensor:
        """Scores ``[n, C]`` of the classes for unit vectors."""
        assert self.classifier is not None  # noqa: S101
        scores: Tensor = self.classifier(z)
        return scores.float() / self._temperature

    def groups(self, settings: TrainSettings) -> list[dict[str, Any]]:
        """Parameters by how strongly they decay, for the optimiser."""
        towards_nothing = [part for part in (self.gene, self.coefficients) if part is not None]
        free = [self.bias, self.offset, *(layer.bias for layer in self.layers)]
        heads = [*self.layers, *([] if self.classifier is None else [self.classifier])]
        if self.classifier is not None:
            free.append(self.classifier.bias)
        shrinking = [self.weight, *([] if self.basis is None else [self.basis]), *(h.weight for h in heads)]
        return [
            {"params": [part for part in parts if part.requires_grad], "weight_decay": decay}
            for parts, decay in (
                (shrinking, settings.decay),
                (towards_nothing, settings.gene_decay),
                (free, 0.0),
            )
        ]

    def head_layers(self) -> tuple[HeadLayer, ...]:
        """Return the head as arrays."""
        n_hidden = len(self.layers) - 1
        return tuple(
            HeadLayer(array(layer.weight), array(layer.bias), "none" if i == n_hidden else "gelu")
            for i, layer in enumerate(self.layers)
        )


def array(tensor: Tensor) -> NDArray[Any]:
    """Copy a tensor to the host."""
    copied: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return copied


def _linear(n_in: int, n_out: int, rng: np.random.Generator) -> nn.Linear:
    """Make a layer whose start is the generator's, not torch's."""
    layer = nn.Linear(n_in, n_out)
    drawn = rng.standard_normal((n_out, n_in)) / np.sqrt(n_in)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(drawn.astype(np.float32)))
        layer.bias.zero_()
    return layer
